//! LiveKit as a world whose truth a test knows, with webhooks that the test may lose, double, delay and permute, lists
//! that are late, and time that the test moves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use livestream_orchestrator::{
    domain::{
        Attributes, Identity, Metadata, ParticipantKind, ParticipantSid, RoomName, RoomSid, Session,
        Timestamp, Track, TrackSource, Tracks,
    },
    orchestrator::{Orchestrator, Policy},
    rooms::{
        JoinToken, Occupants, Room, RoomEvent, RoomEventKind, RoomSpec, Rooms, RoomsError, TokenRequest,
        tokens::{self, ApiKey},
    },
    store::{Store, memory::MemoryStore},
    telemetry::Metrics,
};

use super::store::{RETENTION, identity};

/// How late lists of participants are at the most.
pub const MOST_LATE: Duration = Duration::from_secs(5);

pub const POLICY: Policy = Policy {
    token_ttl: Duration::from_secs(600),
    joining_ttl: Duration::from_secs(60),
    idle_timeout: None,
    reconcile_interval: Duration::from_secs(30),
    listing_grace: Duration::from_secs(10),
};

pub struct World {
    now: AtomicI64,
    answers: AtomicBool,
    lateness: AtomicI64,
    /// By how much LiveKit's clock is ahead.
    ahead: AtomicI64,
    /// The room for whose participants it does not answer.
    broken: Mutex<Option<String>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rooms: BTreeMap<String, TrueRoom>,
    made: u32,
    /// How often a room was made.
    opened: u32,
    /// The limit of rooms that set none, as LiveKit's `room.max_participants`.
    default_limit: u32,
    webhooks: Vec<RoomEvent>,
}

#[derive(Clone)]
pub struct TrueRoom {
    sid: RoomSid,
    metadata: String,
    /// The most participants, and seconds that it stays empty.
    settings: (u32, u32),
    sessions: BTreeMap<String, Session>,
    /// What the lists said, from when on.
    lists: Vec<(i64, Vec<Session>)>,
}

impl TrueRoom {
    fn listed(&self, name: &str) -> Room {
        Room {
            name: name.to_owned(),
            sid: self.sid.clone(),
            metadata: self.metadata.clone(),
            participants: u32::try_from(self.sessions.len()).unwrap(),
            max_participants: self.settings.0,
            empty_timeout: self.settings.1,
            departure_timeout: self.settings.1,
        }
    }
}

/// The truth about one room.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    pub sid: RoomSid,
    pub metadata: String,
    /// Who is connected, in which session, with which tracks.
    pub present: Vec<(String, ParticipantSid, Tracks)>,
}

impl World {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            now: AtomicI64::new(1_795_000_000_000),
            answers: AtomicBool::new(true),
            lateness: AtomicI64::new(0),
            ahead: AtomicI64::new(0),
            broken: Mutex::default(),
            state: Mutex::default(),
        })
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::Relaxed))
    }

    pub fn advance(&self, by: Duration) {
        self.now.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// From now on LiveKit answers, or does not.
    pub fn answer(&self, answers: bool) {
        self.answers.store(answers, Ordering::Relaxed);
    }

    /// LiveKit's clock is so many milliseconds ahead from now on, as on another node.
    pub fn step_clock(&self, ahead: i64) {
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    /// From now on LiveKit does not say who is in this room, as when its node has died.
    pub fn break_room(&self, room: &str) {
        *self.broken.lock().unwrap() = Some(room.to_owned());
    }

    /// How late lists of participants are from now on.
    pub fn be_late(&self, by: Duration) {
        self.lateness.store(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// A store on this world's clock.
    pub fn store(self: &Arc<Self>) -> Arc<MemoryStore> {
        let world = self.clone();
        Arc::new(MemoryStore::new(RETENTION, Arc::new(move || world.now())))
    }

    pub fn orchestrator(self: &Arc<Self>, store: Arc<dyn Store>) -> Orchestrator {
        Orchestrator::new(store, self.clone(), POLICY, Arc::new(Metrics::new().unwrap()))
    }

    /// The webhooks since this was asked last, in the order of what happened.
    pub fn webhooks(&self) -> Vec<RoomEvent> {
        std::mem::take(&mut self.state.lock().unwrap().webhooks)
    }

    pub fn truth(&self, room: &str) -> Option<Truth> {
        let state = self.state.lock().unwrap();
        let room = state.rooms.get(room)?;
        let present = room.sessions.values();
        let present = present.map(|one| (one.identity.to_string(), one.sid.clone(), one.tracks.clone()));
        Some(Truth { sid: room.sid.clone(), metadata: room.metadata.clone(), present: present.collect() })
    }

    pub fn rooms(&self) -> Vec<String> {
        self.state.lock().unwrap().rooms.keys().cloned().collect()
    }

    /// Somebody connects with a token: LiveKit opens the room if there is none, and puts an older session of the same
    /// identity out.
    pub fn connect(&self, room: &str, who: &str) {
        let ahead = self.ahead.load(Ordering::Relaxed);
        self.happen(|state, now| {
            state.open(room, "", (0, 300), now);
            state.leave(room, who, now);
            state.made += 1;
            let sid = format!("PA_{}", state.made).into();
            let there = state.rooms.get_mut(room).unwrap();
            let session = Session {
                room_sid: there.sid.clone(),
                sid,
                identity: identity(who),
                name: None,
                role: None,
                metadata: None,
                attributes: Attributes::default(),
                kind: ParticipantKind::Standard,
                hidden: false,
                joined_at: Some(Timestamp::from_millis(now + ahead)),
                tracks: Tracks::default(),
            };
            there.sessions.insert(who.to_owned(), session.clone());
            state.tell(room, RoomEventKind::Joined(session), now);
        });
    }

    pub fn disconnect(&self, room: &str, who: &str) {
        self.happen(|state, now| state.leave(room, who, now));
    }

    /// Somebody who is there publishes a track, or ceases to if there is one already.
    pub fn publish(&self, room: &str, who: &str, source: TrackSource) {
        self.happen(|state, now| {
            state.made += 1;
            let sid = format!("TR_{}", state.made).into();
            let there = state.rooms.get_mut(room).and_then(|room| room.sessions.get_mut(who));
            let Some(session) = there else { return };
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
            state.tell(room, kind, now);
        });
    }

    /// From now on LiveKit limits rooms that set no limit.
    pub fn limit_rooms(&self, limit: u32) {
        self.state.lock().unwrap().default_limit = limit;
    }

    /// How often a room was made.
    pub fn opened(&self) -> u32 {
        self.state.lock().unwrap().opened
    }

    /// LiveKit closes the room in good order.
    pub fn finish(&self, room: &str) {
        self.happen(|state, now| state.finish(room, now));
    }

    /// LiveKit loses the room without a word, as when it crashes.
    pub fn forget(&self, room: &str) {
        self.happen(|state, _| {
            state.rooms.remove(room);
        });
    }

    /// LiveKit does not show the room for a while; see [`Self::put_back`].
    pub fn take(&self, room: &str) -> (String, TrueRoom) {
        self.state.lock().unwrap().rooms.remove_entry(room).unwrap()
    }

    pub fn put_back(&self, name: &str, room: TrueRoom) {
        self.state.lock().unwrap().rooms.insert(name.to_owned(), room);
    }

    fn happen<T>(&self, what: impl FnOnce(&mut State, i64) -> T) -> T {
        // No two things happen in the same millisecond: LiveKit's times tell them apart.
        self.advance(Duration::from_millis(1));
        let now = self.now().as_millis();
        let mut state = self.state.lock().unwrap();
        let happened = what(&mut state, now);
        for room in state.rooms.values_mut() {
            room.lists.push((now, room.sessions.values().cloned().collect()));
        }
        happened
    }

    fn ask<T>(&self, what: impl FnOnce(&mut State, i64) -> T) -> Result<T, RoomsError> {
        if self.answers.load(Ordering::Relaxed) {
            Ok(self.happen(what))
        } else {
            Err(RoomsError::Unavailable("it is away".to_owned()))
        }
    }
}

impl State {
    fn open(&mut self, room: &str, metadata: &str, settings: (u32, u32), now: i64) -> Room {
        if let Some(there) = self.rooms.get(room) {
            return there.listed(room);
        }
        self.opened += 1;
        self.made += 1;
        let sid = format!("RM_{}", self.made).into();
        let made = TrueRoom {
            sid,
            metadata: metadata.to_owned(),
            settings,
            sessions: BTreeMap::new(),
            lists: vec![(now, Vec::new())],
        };
        let listed = made.listed(room);
        self.rooms.insert(room.to_owned(), made);
        self.tell(room, RoomEventKind::Started, now);
        listed
    }

    fn leave(&mut self, room: &str, who: &str, now: i64) {
        let gone = self.rooms.get_mut(room).and_then(|room| room.sessions.remove(who));
        if let Some(gone) = gone {
            self.tell(room, RoomEventKind::Left { identity: gone.identity, sid: gone.sid }, now);
        }
    }

    fn finish(&mut self, room: &str, now: i64) {
        let present: Vec<_> =
            self.rooms.get(room).map(|room| room.sessions.keys().cloned().collect()).unwrap_or_default();
        for who in present {
            self.leave(room, &who, now);
        }
        if self.rooms.contains_key(room) {
            self.tell(room, RoomEventKind::Finished, now);
            self.rooms.remove(room);
        }
    }

    fn tell(&mut self, room: &str, kind: RoomEventKind, now: i64) {
        self.made += 1;
        self.webhooks.push(RoomEvent {
            id: Some(format!("EV_{}", self.made)),
            room: RoomName::parse(room).unwrap(),
            room_sid: self.rooms.get(room).map(|room| room.sid.clone()),
            // To the second, as LiveKit tells it.
            at: Some(Timestamp::from_millis(now / 1_000 * 1_000)),
            kind,
        });
    }
}

#[async_trait]
impl Rooms for World {
    async fn create(&self, spec: &RoomSpec) -> Result<Room, RoomsError> {
        let seconds = u32::try_from(spec.empty_timeout.as_secs()).unwrap();
        self.ask(|state, now| {
            let settings = (spec.max_participants.unwrap_or(state.default_limit), seconds);
            state.open(spec.name.as_str(), spec.metadata.as_text(), settings, now)
        })
    }

    async fn delete(&self, room: &RoomName) -> Result<(), RoomsError> {
        self.ask(|state, now| state.finish(room.as_str(), now))
    }

    async fn remove(&self, room: &RoomName, identity: &Identity) -> Result<(), RoomsError> {
        self.ask(|state, now| state.leave(room.as_str(), identity.as_str(), now))
    }

    async fn set_metadata(&self, room: &RoomName, metadata: &Metadata) -> Result<(), RoomsError> {
        self.ask(|state, _| {
            if let Some(room) = state.rooms.get_mut(room.as_str()) {
                metadata.as_text().clone_into(&mut room.metadata);
            }
        })
    }

    async fn list(&self, names: &[RoomName]) -> Result<Vec<Room>, RoomsError> {
        self.ask(|state, _| {
            let listed = names.iter().filter_map(|name| state.rooms.get_key_value(name.as_str()));
            listed.map(|(name, room)| room.listed(name)).collect()
        })
    }

    async fn occupants_of(&self, room: &RoomName, room_sid: &RoomSid) -> Result<Occupants, RoomsError> {
        let late = self.lateness.load(Ordering::Relaxed);
        if self.broken.lock().unwrap().as_deref() == Some(room.as_str()) {
            return Err(RoomsError::Unavailable("its node is away".to_owned()));
        }
        self.ask(|state, now| {
            let room = state.rooms.get(room.as_str()).filter(|room| room.sid == *room_sid);
            let as_of = |list: &&(i64, Vec<Session>)| list.0 <= now - late;
            let listed = room.and_then(|room| room.lists.iter().rev().find(as_of));
            let sessions = listed.map(|(_, sessions)| sessions.clone()).unwrap_or_default();
            Occupants { room_sid: room_sid.clone(), sessions, unsettled: Vec::new() }
        })
    }

    async fn ping(&self) -> Result<(), RoomsError> {
        self.ask(|_, _| ())
    }

    fn token(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError> {
        tokens::sign(&ApiKey { key: "devkey".to_owned(), secret: "secret".into() }, request)
    }

    fn simulated(&self) -> bool {
        true
    }
}
