//! Model of the figures of one stream: what its history must say of its viewers and hosts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, time::Duration};

use livestream_orchestrator::{
    domain::{ParticipantKind, ParticipantSid, Role, Session, Timestamp},
    history::{WatchTime, WatchTimes},
};

/// Bounds of a number. A reconciliation takes time, and tells its repairs in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub least: i64,
    pub most: i64,
}

impl Bounds {
    fn contain(self, number: i64) -> bool {
        (self.least..=self.most).contains(&number)
    }

    /// Raises both bounds to those of a later number, of which the greatest counts.
    fn raise(&mut self, least: i64, most: i64) {
        *self = Self { least: self.least.max(least), most: self.most.max(most) };
    }
}

/// Times, in milliseconds since 1970, between which something happened.
pub type Moment = Bounds;

/// A connected session that the service knows.
#[derive(Clone, Debug)]
struct Known {
    sid: ParticipantSid,
    role: Role,
    kind: ParticipantKind,
    joined_at: i64,
}

/// An ended session.
struct Visit {
    identity: String,
    session: Known,
    left_at: Moment,
}

/// What the service knows of a stream.
#[derive(Default)]
pub struct Model {
    connected: BTreeMap<String, Known>,
    visits: Vec<Visit>,
    peak: Bounds,
    /// True while the log loses the events.
    pub is_lost: bool,
}

fn millis(time: Timestamp) -> i64 {
    time.as_millis()
}

impl Model {
    /// A webhook reports a session.
    pub fn joined(&mut self, session: &Session, now: Moment) {
        let before = self.viewers();
        self.begin(session, now);
        self.tell(before, self.viewers());
    }

    /// A webhook reports the end of a session.
    pub fn left(&mut self, identity: &str, sid: &ParticipantSid, at: Timestamp, now: Moment) {
        let before = self.viewers();
        if self.connected.get(identity).is_some_and(|known| known.sid == *sid) {
            let joined_at = self.connected[identity].joined_at;
            let time = |now: i64| millis(at).min(now).max(joined_at);
            self.end(identity, Moment { least: time(now.least), most: time(now.most) });
        }
        self.tell(before, self.viewers());
    }

    /// A reconciliation compares the record with all sessions of LiveKit's list.
    pub fn reconciled(&mut self, listed: &[&Session], now: Moment) {
        let before = self.viewers();
        let is_listed = |known: &Known| listed.iter().any(|session| session.sid == known.sid);
        let lost = self.connected.iter().filter(|(_, known)| !is_listed(known));
        for identity in lost.map(|(identity, _)| identity.clone()).collect::<Vec<_>>() {
            self.end(&identity, now);
        }
        let (after_losses, most) = (self.viewers(), before + i64::try_from(listed.len()).unwrap());
        listed.iter().for_each(|session| self.begin(session, now));
        let is_changed = before != self.viewers();
        let most = if is_changed || after_losses != before { most } else { before };
        self.tell(before, most);
    }

    /// The stream ends.
    pub fn stopped(&mut self, now: Moment) {
        for identity in self.connected.keys().cloned().collect::<Vec<_>>() {
            self.end(&identity, now);
        }
    }

    fn begin(&mut self, session: &Session, now: Moment) {
        let identity = session.identity.as_str();
        if let Some(known) = self.connected.get(identity) {
            if known.sid == session.sid {
                return;
            }
            self.end(identity, now);
        }
        let role = session.role.unwrap();
        let (sid, kind) = (session.sid.clone(), session.kind);
        let known = Known { sid, role, kind, joined_at: millis(session.joined_at.unwrap()) };
        self.connected.insert(identity.to_owned(), known);
    }

    fn end(&mut self, identity: &str, left_at: Moment) {
        let session = self.connected.remove(identity).unwrap();
        self.visits.push(Visit { identity: identity.to_owned(), session, left_at });
    }

    /// Number of connected viewers.
    fn viewers(&self) -> i64 {
        let counts = |known: &&Known| known.role == Role::Viewer && known.kind != ParticipantKind::Agent;
        i64::try_from(self.connected.values().filter(counts).count()).unwrap()
    }

    /// An event tells the number of viewers, unless it is the one of before.
    fn tell(&mut self, before: i64, most: i64) {
        if self.is_lost {
            return;
        }
        let now = self.viewers();
        self.peak.raise(if now == before { 0 } else { now }, most);
    }

    pub fn assert_peak(&self, peak: u32) {
        assert!(self.peak.contain(i64::from(peak)), "peak {peak}, expected {:?}", self.peak);
    }

    pub fn assert_watch_times(&self, times: WatchTimes) {
        self.assert_watch_time(Role::Viewer, times.viewers);
        self.assert_watch_time(Role::Host, times.hosts);
    }

    fn assert_watch_time(&self, role: Role, found: WatchTime) {
        let mut persons: BTreeMap<&str, Bounds> = BTreeMap::new();
        let is_counted =
            |visit: &&Visit| visit.session.role == role && visit.session.kind != ParticipantKind::Agent;
        for Visit { identity, session, left_at } in self.visits.iter().filter(is_counted) {
            let watched = persons.entry(identity).or_default();
            watched.least += left_at.least - session.joined_at;
            watched.most += left_at.most - session.joined_at;
        }
        assert_eq!(found.persons, persons.len() as u64, "persons of the role {role:?}");
        let least: Vec<_> = persons.values().map(|watched| watched.least).collect();
        let most: Vec<_> = persons.values().map(|watched| watched.most).collect();
        assert_between(sum(&least), found.total, sum(&most));
        assert_between(median(least), found.median, median(most));
    }

    /// Number of ended sessions.
    pub fn visits(&self) -> usize {
        self.visits.len()
    }
}

fn assert_between(least: i64, found: Duration, most: i64) {
    let bounds = Bounds { least, most };
    assert!(bounds.contain(i64::try_from(found.as_millis()).unwrap()), "{found:?}, expected {bounds:?} ms");
}

fn sum(watched: &[i64]) -> i64 {
    watched.iter().sum()
}

/// The mean of the two values in the middle, if their number is even.
fn median(mut watched: Vec<i64>) -> i64 {
    watched.sort_unstable();
    match (watched.len() / 2, watched.len() % 2) {
        (0, 0) => 0,
        (half, 0) => i64::midpoint(watched[half - 1], watched[half]),
        (half, _) => watched[half],
    }
}
