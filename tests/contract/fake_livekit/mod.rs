//! A fake LiveKit whose rooms, clock and failures a test controls.
//!
//! It queues its webhooks, so that a test can drop, duplicate, delay and reorder them. Its listings can lag.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod egress_states;
mod egresses;
mod ingresses;
mod rooms;
mod state;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use livestream_orchestrator::{
    domain::{
        Attributes, AudienceMode, ParticipantKind, ParticipantSid, Role, RoomSid, Session, Timestamp,
        TokenMark, Track, TrackSource, Tracks,
    },
    media::MediaError,
    orchestrator::{EGRESS_END_TIMEOUT, Policy},
    rooms::{RoomEvent, RoomEventKind, RoomsError},
    store::{PartitionStore, memory::MemoryStore},
    telemetry::Metrics,
};

use self::state::State;
pub use self::{ingresses::reported_state, state::FakeRoom};
use crate::backend::{RETENTION, identity};
use crate::service::Service;

/// Maximum delay of listings.
pub const MAX_LISTING_DELAY: Duration = Duration::from_secs(5);

pub const POLICY: Policy = Policy {
    token_ttl: Duration::from_secs(600),
    joining_ttl: Duration::from_secs(60),
    idle_timeout: None,
    audience: AudienceMode::Auto,
    audience_listed_max: 200,
    reconcile_interval: Duration::from_secs(30),
    listing_grace: Duration::from_secs(10),
    egress_start_timeout: Duration::from_secs(60),
    egress_end_timeout: EGRESS_END_TIMEOUT,
    // In real time, while the fake's clock stands.
    egress_stop_wait: Duration::from_millis(20),
};

pub struct FakeLiveKit {
    now: AtomicI64,
    available: AtomicBool,
    listing_delay: AtomicI64,
    /// Milliseconds by which LiveKit's clock is ahead of the store's.
    clock_offset: AtomicI64,
    /// Room whose participants cannot be listed.
    failing_room: Mutex<Option<String>>,
    /// Failure of all calls about media jobs.
    media_failure: Mutex<Option<MediaError>>,
    /// What happens while LiveKit handles the next change of a participant.
    meanwhile: Mutex<Option<Meanwhile>>,
    state: Mutex<State>,
}

/// What happens while LiveKit handles a change.
pub enum Meanwhile {
    /// Before the change takes effect.
    Before(BoxFuture<'static, ()>),
    /// After the change has taken effect, before its answer arrives.
    After(BoxFuture<'static, ()>),
}

/// State of one room.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomState {
    pub sid: RoomSid,
    pub metadata: String,
    /// Identity, session and tracks of each connected participant that is not hidden.
    pub present: Vec<(String, ParticipantSid, Tracks)>,
    /// Identities of the hidden participants.
    pub hidden: Vec<String>,
}

impl FakeLiveKit {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            now: AtomicI64::new(1_795_000_000_000),
            available: AtomicBool::new(true),
            listing_delay: AtomicI64::new(0),
            clock_offset: AtomicI64::new(0),
            failing_room: Mutex::default(),
            media_failure: Mutex::default(),
            meanwhile: Mutex::default(),
            state: Mutex::default(),
        })
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::Relaxed))
    }

    pub fn advance(&self, by: Duration) {
        self.now.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Makes all calls fail, or succeed again.
    pub fn set_available(&self, available: bool) {
        self.available.store(available, Ordering::Relaxed);
    }

    /// Sets LiveKit's clock ahead of the store's by this many milliseconds, as on another node.
    pub fn set_clock_offset(&self, clock_offset: i64) {
        self.clock_offset.store(clock_offset, Ordering::Relaxed);
    }

    /// Makes listings of this room's participants fail, as after the crash of its node.
    pub fn fail_listings_of(&self, room: &str) {
        *self.failing_room.lock().unwrap() = Some(room.to_owned());
    }

    /// Delays listings of participants.
    pub fn delay_listings(&self, by: Duration) {
        self.listing_delay.store(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Returns a memory store on this clock.
    pub fn store(self: &Arc<Self>) -> Arc<MemoryStore> {
        let livekit = self.clone();
        Arc::new(MemoryStore::new(RETENTION, Arc::new(move || livekit.now())))
    }

    pub fn orchestrator(self: &Arc<Self>, store: Arc<dyn PartitionStore>) -> Service {
        Service::new(store, self.clone(), self.clone(), POLICY, Arc::new(Metrics::new().unwrap()))
    }

    /// Returns and clears the queued webhooks, in the order of their events.
    pub fn take_webhooks(&self) -> Vec<RoomEvent> {
        std::mem::take(&mut self.state.lock().unwrap().webhooks)
    }

    pub fn room_state(&self, room: &str) -> Option<RoomState> {
        let state = self.state.lock().unwrap();
        let room = state.rooms.get(room)?;
        let (hidden, present): (Vec<_>, Vec<_>) = room.sessions.values().partition(|one| one.hidden);
        let present = present.into_iter();
        let present = present.map(|one| (one.identity.to_string(), one.sid.clone(), one.tracks.clone()));
        Some(RoomState {
            sid: room.sid.clone(),
            metadata: room.metadata.clone(),
            present: present.collect(),
            hidden: hidden.into_iter().map(|one| one.identity.to_string()).collect(),
        })
    }

    /// The role that LiveKit's permission gives a connected participant.
    pub fn role_of(&self, room: &str, who: &str) -> Option<Role> {
        self.state.lock().unwrap().rooms.get(room)?.sessions.get(who)?.role
    }

    pub fn rooms(&self) -> Vec<String> {
        self.state.lock().unwrap().rooms.keys().cloned().collect()
    }

    /// Connects a participant. LiveKit opens the room if necessary, and disconnects an older session of the identity.
    pub fn connect(&self, room: &str, who: &str) {
        self.connect_with(room, who, |_| {});
    }

    /// As [`Self::connect`], with the permission of a role.
    pub fn connect_as(&self, room: &str, who: &str, role: Role) {
        self.connect_with(room, who, |session| session.role = Some(role));
    }

    /// As [`Self::connect`], with a token of the service.
    pub fn connect_marked(&self, room: &str, who: &str, mark: &TokenMark) {
        self.connect_with(room, who, |session| session.mark = Some(mark.clone()));
    }

    /// As [`Self::connect`], hidden from other participants.
    pub fn connect_hidden(&self, room: &str, who: &str) {
        self.connect_with(room, who, |session| session.hidden = true);
    }

    /// As [`Self::connect`], of another kind.
    fn connect_kind(&self, room: &str, who: &str, kind: ParticipantKind) {
        self.connect_with(room, who, |session| session.kind = kind);
    }

    /// As [`Self::connect`], with a changed session.
    pub fn connect_with(&self, room: &str, who: &str, change: impl FnOnce(&mut Session)) {
        let clock_offset = self.clock_offset.load(Ordering::Relaxed);
        self.update(|state, now| {
            state.open(room, "", (0, 300), now);
            state.leave(room, who, now);
            state.last_id += 1;
            let sid = format!("PA_{}", state.last_id).into();
            let existing = state.rooms.get_mut(room).unwrap();
            let mut session = Session {
                room_sid: existing.sid.clone(),
                sid,
                identity: identity(who),
                name: None,
                role: None,
                metadata: None,
                attributes: Attributes::default(),
                mark: None,
                kind: ParticipantKind::Standard,
                hidden: false,
                joined_at: Some(Timestamp::from_millis(now + clock_offset)),
                tracks: Tracks::default(),
            };
            change(&mut session);
            existing.sessions.insert(who.to_owned(), session.clone());
            state.emit(room, RoomEventKind::Joined(session), now);
        });
    }

    pub fn disconnect(&self, room: &str, who: &str) {
        self.update(|state, now| state.leave(room, who, now));
    }

    /// Publishes a track of a connected participant, or unpublishes it if it is published.
    pub fn publish(&self, room: &str, who: &str, source: TrackSource) {
        self.update(|state, now| {
            state.last_id += 1;
            let sid = format!("TR_{}", state.last_id).into();
            let session = state.rooms.get_mut(room).and_then(|room| room.sessions.get_mut(who));
            let Some(session) = session else { return };
            let known = session.tracks.as_slice().iter().find(|track| track.source == source).cloned();
            let (identity, session_sid) = (session.identity.clone(), session.sid.clone());
            let kind = if let Some(known) = known {
                session.tracks = session.tracks.without(&known.sid);
                RoomEventKind::Unpublished { identity, sid: session_sid, track: known.sid }
            } else {
                let track = Track { sid, source, muted: false };
                session.tracks = session.tracks.with(track.clone());
                RoomEventKind::Published { identity, sid: session_sid, track }
            };
            state.emit(room, kind, now);
        });
    }

    /// Sets the limit of rooms that set none.
    pub fn set_default_limit(&self, limit: u32) {
        self.state.lock().unwrap().default_limit = limit;
    }

    pub fn rooms_created(&self) -> u32 {
        self.state.lock().unwrap().rooms_created
    }

    /// Closes the room with all its webhooks.
    pub fn close_room(&self, room: &str) {
        self.update(|state, now| state.finish(room, now));
    }

    /// Removes the room without webhooks, as a crash of LiveKit does.
    pub fn lose_room(&self, room: &str) {
        self.update(|state, _| {
            state.rooms.remove(room);
        });
    }

    /// Removes the room until [`Self::show_room`].
    pub fn hide_room(&self, room: &str) -> (String, FakeRoom) {
        self.state.lock().unwrap().rooms.remove_entry(room).unwrap()
    }

    pub fn show_room(&self, name: &str, room: FakeRoom) {
        self.state.lock().unwrap().rooms.insert(name.to_owned(), room);
    }

    fn update<T>(&self, change: impl FnOnce(&mut State, i64) -> T) -> T {
        // Every change has a millisecond of its own, because the orchestrator compares LiveKit's times.
        self.advance(Duration::from_millis(1));
        let now = self.now().as_millis();
        let mut state = self.state.lock().unwrap();
        let result = change(&mut state, now);
        for room in state.rooms.values_mut() {
            room.history.push((now, room.sessions.values().cloned().collect()));
        }
        result
    }

    fn answer<T>(&self, change: impl FnOnce(&mut State, i64) -> T) -> Result<T, RoomsError> {
        if self.available.load(Ordering::Relaxed) {
            Ok(self.update(change))
        } else {
            Err(RoomsError::Unavailable("the fake LiveKit is unavailable".to_owned()))
        }
    }
}
