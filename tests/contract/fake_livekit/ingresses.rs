//! Ingresses of the fake LiveKit, and its calls about them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use async_trait::async_trait;
use livestream_orchestrator::{
    domain::{
        Identity, IngressId, IngressKind, IngressReport, IngressState, IngressStatus, JobMark, MaskedUrl,
        ParticipantKind, RoomName, Timestamp, ingress::StateTime,
    },
    media::{ListedIngress, MediaError, MediaJobs, NewIngress},
    rooms::{RoomEvent, RoomEventKind},
};
use secrecy::{ExposeSecret, SecretString};

use super::{FakeLiveKit, state::State};
use crate::backend::identity;

impl State {
    fn add_ingress(
        &mut self,
        room: &str,
        who: &Identity,
        kind: IngressKind,
        mark: Option<JobMark>,
    ) -> IngressId {
        self.last_id += 1;
        let id: IngressId = format!("IN_{}", self.last_id).into();
        let report = IngressReport {
            id: id.clone(),
            mark,
            kind,
            identity: who.clone(),
            name: None,
            url: Some(MaskedUrl::public("rtmp://fake.example/live".to_owned())),
            state: IngressState::default(),
        };
        let stream_key = Some(SecretString::from(format!("key of {id}")));
        self.ingresses.insert(id.clone(), ListedIngress { room: room.to_owned(), report, stream_key });
        id
    }

    /// Sets the state of an ingress, and queues its webhook.
    fn set_ingress(&mut self, id: &IngressId, status: IngressStatus, now: i64) {
        let Some(ingress) = self.ingresses.get_mut(id) else { return };
        let state = &mut ingress.report.state;
        if status == IngressStatus::Publishing {
            state.time.session = now * 1_000;
            (state.started_at, state.ended_at) = (Some(Timestamp::from_millis(now)), None);
        } else {
            state.ended_at = Some(Timestamp::from_millis(now));
        }
        (state.status, state.time.report) = (status, now * 1_000);
        let (room, report) = (ingress.room.clone(), ingress.report.clone());
        self.last_id += 1;
        self.webhooks.push(RoomEvent {
            id: Some(format!("EV_{}", self.last_id)),
            room: RoomName::parse(room).unwrap(),
            room_sid: None,
            at: None,
            kind: RoomEventKind::IngressChanged(report),
        });
    }
}

impl FakeLiveKit {
    /// Makes calls about media jobs fail, or succeed again.
    pub fn fail_media(&self, error: Option<MediaError>) {
        *self.media_failure.lock().unwrap() = error;
    }

    /// Creates an ingress as another tool does, with or without a mark.
    pub fn create_foreign_ingress(&self, room: &str, who: &str, mark: Option<JobMark>) -> IngressId {
        self.update(|state, _| state.add_ingress(room, &identity(who), IngressKind::Rtmp, mark))
    }

    /// Room and identity of each ingress.
    pub fn ingresses_present(&self) -> Vec<(String, String)> {
        let state = self.state.lock().unwrap();
        let of = |one: &ListedIngress| (one.room.clone(), one.report.identity.to_string());
        state.ingresses.values().map(of).collect()
    }

    /// An encoder begins to push: its participant connects. LiveKit opens the room if necessary.
    pub fn push(&self, id: &IngressId) {
        let (room, who) = self.room_of(id);
        self.connect_kind(&room, &who, ParticipantKind::Ingress);
        self.update(|state, now| state.set_ingress(id, IngressStatus::Publishing, now));
    }

    /// An encoder ends.
    pub fn stop_pushing(&self, id: &IngressId) {
        let (room, who) = self.room_of(id);
        self.disconnect(&room, &who);
        self.update(|state, now| state.set_ingress(id, IngressStatus::Inactive, now));
    }

    /// The worker of an ingress dies: its participant leaves, and LiveKit goes on calling the ingress publishing.
    pub fn kill_worker(&self, id: &IngressId) {
        let (room, who) = self.room_of(id);
        self.disconnect(&room, &who);
    }

    fn room_of(&self, id: &IngressId) -> (String, String) {
        let state = self.state.lock().unwrap();
        let ingress = &state.ingresses[id];
        (ingress.room.clone(), ingress.report.identity.to_string())
    }

    pub(super) fn media_answer<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, MediaError> {
        if let Some(error) = self.media_failure.lock().unwrap().clone() {
            return Err(error);
        }
        self.answer(|state, _| change(state)).map_err(|error| MediaError::Unavailable(error.to_string()))
    }
}

#[async_trait]
impl MediaJobs for FakeLiveKit {
    fn simulated(&self) -> bool {
        false
    }

    async fn create_ingress(&self, new: &NewIngress) -> Result<ListedIngress, MediaError> {
        self.media_answer(|state| {
            let id = state.add_ingress(new.room.as_str(), &new.identity, new.kind, Some(new.mark));
            let created = state.ingresses.get_mut(&id).unwrap();
            created.report.name.clone_from(&new.name);
            if let Some(source) = &new.source {
                created.report.url = Some(MaskedUrl::of(source.expose_secret()));
                created.stream_key = None;
            }
            created.clone()
        })
    }

    async fn ingresses(&self, room: Option<&RoomName>) -> Result<Vec<ListedIngress>, MediaError> {
        self.media_answer(|state| {
            let is_in = |one: &&ListedIngress| room.is_none_or(|room| room.as_str() == one.room);
            state.ingresses.values().filter(is_in).cloned().collect()
        })
    }

    async fn ingress(&self, id: &IngressId) -> Result<Option<ListedIngress>, MediaError> {
        self.media_answer(|state| state.ingresses.get(id).cloned())
    }

    async fn delete_ingress(&self, id: &IngressId) -> Result<(), MediaError> {
        self.media_answer(|state| state.ingresses.remove(id))?;
        Ok(())
    }
}

/// A state that LiveKit reports, with a session and a report of these seconds.
pub fn reported_state(status: IngressStatus, session: i64, report: i64) -> IngressState {
    let time = StateTime { session: session * 1_000_000, report: report * 1_000_000 };
    IngressState { status, time, ..IngressState::default() }
}
