//! Rooms that exist only in this process, for dev mode without a LiveKit server.
//!
//! A participant connects as soon as its token is signed. Events are sent as LiveKit's webhooks would report them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    JoinToken, Occupants, Room, RoomEvent, RoomEventKind, RoomSpec, Rooms, RoomsError, SessionUpdate,
    TokenRequest, TrackSelection, seconds, tokens,
};
use crate::{
    access::token::ApiKey,
    domain::{
        Identity, Metadata, ParticipantKind, ParticipantSid, RoomName, RoomSid, Session, Track, Tracks,
    },
};

/// Simulation of a LiveKit deployment.
pub struct SimulatedRooms {
    key: ApiKey,
    rooms: Mutex<BTreeMap<RoomName, Simulated>>,
    events: mpsc::UnboundedSender<RoomEvent>,
}

struct Simulated {
    sid: RoomSid,
    metadata: Metadata,
    spec: RoomSpec,
    sessions: BTreeMap<Identity, Session>,
}

impl Simulated {
    fn described(&self) -> Room {
        let timeout = seconds(self.spec.empty_timeout);
        Room {
            name: self.spec.name.to_string(),
            sid: self.sid.clone(),
            metadata: self.metadata.as_text().to_owned(),
            participants: u32::try_from(self.sessions.len()).unwrap_or(u32::MAX),
            max_participants: self.spec.max_participants.unwrap_or_default(),
            empty_timeout: timeout,
            departure_timeout: timeout,
        }
    }
}

impl SimulatedRooms {
    /// Returns a simulation without rooms, and the receiver of its events.
    pub fn new(key: ApiKey) -> (Self, mpsc::UnboundedReceiver<RoomEvent>) {
        let (events, receiver) = mpsc::unbounded_channel();
        (Self { key, rooms: Mutex::default(), events }, receiver)
    }

    fn rooms(&self) -> MutexGuard<'_, BTreeMap<RoomName, Simulated>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn emit(&self, room: &RoomName, room_sid: &RoomSid, kind: RoomEventKind) {
        let event = RoomEvent {
            id: Some(unique("EV")),
            room: room.clone(),
            room_sid: Some(room_sid.clone()),
            at: None,
            kind,
        };
        // The receiver is dropped only while the process ends, when no event matters.
        let _ = self.events.send(event);
    }

    fn emit_left(&self, room: &RoomName, session: Session) {
        let kind = RoomEventKind::Left { identity: session.identity, sid: session.sid };
        self.emit(room, &session.room_sid, kind);
    }
}

fn muted_tracks(session: &mut Session, selection: &TrackSelection) -> Vec<(ParticipantSid, Track)> {
    let selected = session.tracks.as_slice().iter().filter(|track| selection.includes(track));
    let muted: Vec<_> = selected.cloned().map(|track| Track { muted: true, ..track }).collect();
    for track in &muted {
        session.tracks = session.tracks.with(track.clone());
    }
    muted.into_iter().map(|track| (session.sid.clone(), track)).collect()
}

fn unique(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::now_v7().simple())
}

#[async_trait]
impl Rooms for SimulatedRooms {
    async fn create(&self, spec: &RoomSpec) -> Result<Room, RoomsError> {
        let mut rooms = self.rooms();
        let room = rooms.entry(spec.name.clone()).or_insert_with(|| Simulated {
            sid: unique("RM").into(),
            metadata: spec.metadata.clone(),
            spec: spec.clone(),
            sessions: BTreeMap::new(),
        });
        Ok(room.described())
    }

    async fn delete(&self, room: &RoomName) -> Result<(), RoomsError> {
        let Some(deleted) = self.rooms().remove(room) else { return Ok(()) };
        for session in deleted.sessions.into_values() {
            self.emit_left(room, session);
        }
        self.emit(room, &deleted.sid, RoomEventKind::Finished);
        Ok(())
    }

    async fn remove_participant(&self, room: &RoomName, identity: &Identity) -> Result<(), RoomsError> {
        let removed = self.rooms().get_mut(room).and_then(|room| room.sessions.remove(identity));
        if let Some(session) = removed {
            self.emit_left(room, session);
        }
        Ok(())
    }

    async fn update_participant(
        &self,
        room: &RoomName,
        identity: &Identity,
        update: &SessionUpdate,
    ) -> Result<(), RoomsError> {
        let mut rooms = self.rooms();
        let Some(session) = rooms.get_mut(room).and_then(|room| room.sessions.get_mut(identity)) else {
            return Ok(());
        };
        session.role = update.role.or(session.role);
        session.name = update.name.clone().or(session.name.take());
        if let Some(metadata) = update.metadata.clone() {
            session.metadata = Some(metadata.into());
        }
        Ok(())
    }

    async fn mute(
        &self,
        room: &RoomName,
        identity: &Identity,
        selection: &TrackSelection,
    ) -> Result<Vec<(ParticipantSid, Track)>, RoomsError> {
        let mut rooms = self.rooms();
        let session = rooms.get_mut(room).and_then(|room| room.sessions.get_mut(identity));
        Ok(session.map(|session| muted_tracks(session, selection)).unwrap_or_default())
    }

    async fn set_metadata(&self, room: &RoomName, metadata: &Metadata) -> Result<(), RoomsError> {
        let mut rooms = self.rooms();
        let room =
            rooms.get_mut(room).ok_or_else(|| RoomsError::Refused("there is no such room".to_owned()))?;
        room.metadata = metadata.clone();
        Ok(())
    }

    async fn list(&self, names: &[RoomName]) -> Result<Vec<Room>, RoomsError> {
        let rooms = self.rooms();
        Ok(names.iter().filter_map(|name| rooms.get(name)).map(Simulated::described).collect())
    }

    async fn occupants_of(&self, room: &RoomName, room_sid: &RoomSid) -> Result<Occupants, RoomsError> {
        let rooms = self.rooms();
        let room = rooms.get(room).filter(|room| room.sid == *room_sid);
        let sessions = room.map(|room| room.sessions.values().cloned().collect()).unwrap_or_default();
        Ok(Occupants { sessions, ..Occupants::none(room_sid) })
    }

    async fn ping(&self) -> Result<(), RoomsError> {
        Ok(())
    }

    fn token(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError> {
        let token = tokens::sign(&self.key, request)?;
        let mut rooms = self.rooms();
        let Some(room) = rooms.get_mut(&request.room) else { return Ok(token) };
        let full = room.spec.max_participants.is_some_and(|max| room.sessions.len() >= max as usize);
        if full && !room.sessions.contains_key(&request.identity) {
            return Ok(token);
        }
        let session = Session {
            room_sid: room.sid.clone(),
            sid: unique("PA").into(),
            identity: request.identity.clone(),
            name: request.name.clone(),
            role: Some(request.role),
            metadata: request.metadata.clone().map(Into::into),
            attributes: request.attributes.clone().unwrap_or_default(),
            mark: Some(request.mark.clone()),
            kind: ParticipantKind::Standard,
            hidden: false,
            joined_at: None,
            tracks: Tracks::default(),
        };
        let replaced = room.sessions.insert(request.identity.clone(), session.clone());
        drop(rooms);
        if let Some(replaced) = replaced {
            self.emit_left(&request.room, replaced);
        }
        self.emit(&request.room, &session.room_sid.clone(), RoomEventKind::Joined(session));
        Ok(token)
    }

    fn token_again(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError> {
        tokens::sign(&self.key, request)
    }

    fn simulated(&self) -> bool {
        true
    }
}
