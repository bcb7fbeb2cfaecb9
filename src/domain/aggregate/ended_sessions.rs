//! Ended sessions, and the visits that they were.

use std::collections::BTreeMap;

use crate::domain::{Participant, ParticipantSid, StreamId, Timestamp, Visit};

/// Sessions that have ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndedSessions {
    /// Time at which the end was recorded, by LiveKit's id of the session.
    times: BTreeMap<ParticipantSid, Timestamp>,
    /// Visits that nothing has taken yet.
    visits: Vec<Visit>,
}

impl EndedSessions {
    /// Returns the time at which the end of a session was recorded.
    pub(super) fn ended_at(&self, sid: &ParticipantSid) -> Option<Timestamp> {
        self.times.get(sid).copied()
    }

    /// Records the end of a session that need not be that of a listed participant.
    pub(super) fn insert(&mut self, sid: ParticipantSid, now: Timestamp) {
        self.times.insert(sid, now);
    }

    /// Records the end of the visit of a participant that has left.
    pub(super) fn record(&mut self, stream: StreamId, participant: &Participant, now: Timestamp) {
        self.times.extend(participant.sid.clone().map(|sid| (sid, now)));
        self.visits.extend(Visit::of(stream, participant));
    }

    /// Forgets the end of a session, because the session goes on.
    pub(super) fn remove(&mut self, sid: &ParticipantSid) {
        self.times.remove(sid);
    }

    pub(super) fn take_visits(&mut self) -> Vec<Visit> {
        std::mem::take(&mut self.visits)
    }
}
