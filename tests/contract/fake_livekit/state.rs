//! Rooms and queued webhooks of the fake LiveKit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use livestream_orchestrator::{
    domain::{EgressId, IngressId, RoomName, RoomSid, Session, Timestamp},
    media::{ListedEgress, ListedIngress, MediaError},
    rooms::{Room, RoomEvent, RoomEventKind},
};

#[derive(Default)]
pub(super) struct State {
    pub(super) rooms: BTreeMap<String, FakeRoom>,
    pub(super) last_id: u32,
    pub(super) rooms_created: u32,
    /// Limit of rooms that set none, as LiveKit's setting `room.max_participants`.
    pub(super) default_limit: u32,
    pub(super) webhooks: Vec<RoomEvent>,
    pub(super) ingresses: BTreeMap<IngressId, ListedIngress>,
    pub(super) egresses: BTreeMap<EgressId, ListedEgress>,
    pub(super) egress_faults: EgressFaults,
}

/// How the workers of egresses answer.
#[derive(Default)]
pub(super) struct EgressFaults {
    /// The worker does not answer stops.
    pub(super) fails_stops: bool,
    /// The state of an egress is not told.
    pub(super) holds_reads: bool,
    /// A stopped egress is complete at once.
    pub(super) completes_stops: bool,
    /// Failure of changes of targets.
    pub(super) target_failure: Option<MediaError>,
    /// A change of targets is made although it fails.
    pub(super) loses_target_answers: bool,
}

#[derive(Clone)]
pub struct FakeRoom {
    pub(super) sid: RoomSid,
    pub(super) metadata: String,
    /// Maximum participants, and empty timeout in seconds.
    pub(super) settings: (u32, u32),
    pub(super) sessions: BTreeMap<String, Session>,
    /// Sessions after each change, with the time of the change.
    pub(super) history: Vec<(i64, Vec<Session>)>,
}

impl FakeRoom {
    pub(super) fn listed(&self, name: &str) -> Room {
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

impl State {
    pub(super) fn open(&mut self, room: &str, metadata: &str, settings: (u32, u32), now: i64) -> Room {
        if let Some(existing) = self.rooms.get(room) {
            return existing.listed(room);
        }
        self.rooms_created += 1;
        self.last_id += 1;
        let sid = format!("RM_{}", self.last_id).into();
        let created = FakeRoom {
            sid,
            metadata: metadata.to_owned(),
            settings,
            sessions: BTreeMap::new(),
            history: vec![(now, Vec::new())],
        };
        let listed = created.listed(room);
        self.rooms.insert(room.to_owned(), created);
        self.emit(room, RoomEventKind::Started, now);
        listed
    }

    pub(super) fn leave(&mut self, room: &str, who: &str, now: i64) {
        let gone = self.rooms.get_mut(room).and_then(|room| room.sessions.remove(who));
        if let Some(gone) = gone {
            self.emit(room, RoomEventKind::Left { identity: gone.identity, sid: gone.sid }, now);
        }
    }

    pub(super) fn finish(&mut self, room: &str, now: i64) {
        let present: Vec<_> =
            self.rooms.get(room).map(|room| room.sessions.keys().cloned().collect()).unwrap_or_default();
        for who in present {
            self.leave(room, &who, now);
        }
        if self.rooms.contains_key(room) {
            self.emit(room, RoomEventKind::Finished, now);
            self.rooms.remove(room);
        }
    }

    pub(super) fn emit(&mut self, room: &str, kind: RoomEventKind, now: i64) {
        self.last_id += 1;
        self.webhooks.push(RoomEvent {
            id: Some(format!("EV_{}", self.last_id)),
            room: RoomName::parse(room).unwrap(),
            room_sid: self.rooms.get(room).map(|room| room.sid.clone()),
            // In whole seconds, as in LiveKit's webhooks.
            at: Some(Timestamp::from_millis(now / 1_000 * 1_000)),
            kind,
        });
    }
}
