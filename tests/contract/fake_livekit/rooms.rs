//! Calls of the fake LiveKit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use livestream_orchestrator::{
    access::token::ApiKey,
    domain::{Identity, Metadata, ParticipantSid, RoomName, RoomSid, Session, Track},
    rooms::{
        JoinToken, Occupants, Room, RoomSpec, Rooms, RoomsError, SessionUpdate, TokenRequest, TrackSelection,
        tokens,
    },
};

use super::{FakeLiveKit, Meanwhile};

impl FakeLiveKit {
    /// Lets something happen while LiveKit handles the next change of a participant.
    pub fn during_next_update(&self, meanwhile: Meanwhile) {
        *self.meanwhile.lock().unwrap() = Some(meanwhile);
    }
}

#[async_trait]
impl Rooms for FakeLiveKit {
    async fn create(&self, spec: &RoomSpec) -> Result<Room, RoomsError> {
        let seconds = u32::try_from(spec.empty_timeout.as_secs()).unwrap();
        self.answer(|state, now| {
            let settings = (spec.max_participants.unwrap_or(state.default_limit), seconds);
            state.open(spec.name.as_str(), spec.metadata.as_text(), settings, now)
        })
    }

    async fn delete(&self, room: &RoomName) -> Result<(), RoomsError> {
        self.answer(|state, now| state.finish(room.as_str(), now))
    }

    async fn remove_participant(&self, room: &RoomName, identity: &Identity) -> Result<(), RoomsError> {
        self.answer(|state, now| state.leave(room.as_str(), identity.as_str(), now))
    }

    async fn update_participant(
        &self,
        room: &RoomName,
        identity: &Identity,
        update: &SessionUpdate,
    ) -> Result<(), RoomsError> {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        let after = match meanwhile {
            Some(Meanwhile::Before(before)) => {
                before.await;
                None
            }
            Some(Meanwhile::After(after)) => Some(after),
            None => None,
        };
        let answer = self.answer(|state, _| {
            let room = state.rooms.get_mut(room.as_str());
            let Some(session) = room.and_then(|room| room.sessions.get_mut(identity.as_str())) else {
                return;
            };
            session.role = update.role.or(session.role);
            session.name = update.name.clone().or(session.name.take());
            if let Some(metadata) = update.metadata.clone() {
                session.metadata = Some(metadata.into());
            }
        });
        if let Some(after) = after {
            after.await;
        }
        answer
    }

    async fn mute(
        &self,
        room: &RoomName,
        identity: &Identity,
        selection: &TrackSelection,
    ) -> Result<Vec<(ParticipantSid, Track)>, RoomsError> {
        self.answer(|state, _| {
            let room = state.rooms.get_mut(room.as_str());
            let Some(session) = room.and_then(|room| room.sessions.get_mut(identity.as_str())) else {
                return Vec::new();
            };
            let selected = session.tracks.as_slice().iter().filter(|track| selection.includes(track));
            let muted: Vec<_> = selected.cloned().map(|track| Track { muted: true, ..track }).collect();
            for track in &muted {
                session.tracks = session.tracks.with(track.clone());
            }
            muted.into_iter().map(|track| (session.sid.clone(), track)).collect()
        })
    }

    async fn set_metadata(&self, room: &RoomName, metadata: &Metadata) -> Result<(), RoomsError> {
        self.answer(|state, _| {
            if let Some(room) = state.rooms.get_mut(room.as_str()) {
                metadata.as_text().clone_into(&mut room.metadata);
            }
        })
    }

    async fn list(&self, names: &[RoomName]) -> Result<Vec<Room>, RoomsError> {
        self.answer(|state, _| {
            let listed = names.iter().filter_map(|name| state.rooms.get_key_value(name.as_str()));
            listed.map(|(name, room)| room.listed(name)).collect()
        })
    }

    async fn occupants_of(&self, room: &RoomName, room_sid: &RoomSid) -> Result<Occupants, RoomsError> {
        let delay = self.listing_delay.load(Ordering::Relaxed);
        if self.failing_room.lock().unwrap().as_deref() == Some(room.as_str()) {
            return Err(RoomsError::Unavailable("the node of the room is unavailable".to_owned()));
        }
        self.answer(|state, now| {
            let room = state.rooms.get(room.as_str()).filter(|room| room.sid == *room_sid);
            let as_of = |list: &&(i64, Vec<Session>)| list.0 <= now - delay;
            let listed = room.and_then(|room| room.history.iter().rev().find(as_of));
            let sessions = listed.map(|(_, sessions)| sessions.clone()).unwrap_or_default();
            Occupants { room_sid: room_sid.clone(), sessions, unsettled: Vec::new() }
        })
    }

    async fn ping(&self) -> Result<(), RoomsError> {
        self.answer(|_, _| ())
    }

    fn token(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError> {
        tokens::sign(&ApiKey { key: "devkey".to_owned(), secret: "secret".into() }, request)
    }
    fn token_again(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError> {
        tokens::sign(&ApiKey { key: "devkey".to_owned(), secret: "secret".into() }, request)
    }

    fn simulated(&self) -> bool {
        true
    }
}
