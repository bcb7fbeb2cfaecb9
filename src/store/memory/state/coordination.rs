//! State of leases, locked room names, LiveKit's listings and probe webhooks.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use crate::{
    domain::{RoomName, StreamId, Timestamp},
    store::{Job, Lease},
};

/// State of the lease of one job.
#[derive(Default)]
pub(in crate::store::memory) struct LeaseState {
    /// The current lease and its end.
    current: Option<(Lease, Timestamp)>,
    issued: u64,
    /// End of the last job.
    done: Option<Timestamp>,
    /// Latest time of the next job.
    again: Option<Timestamp>,
}

impl LeaseState {
    pub(in crate::store::memory) fn is_held_by(&self, lease: &Lease, now: Timestamp) -> bool {
        self.current.as_ref().is_some_and(|(held, until)| held == lease && *until > now)
    }

    pub(in crate::store::memory) fn take(
        &mut self,
        job: Job,
        now: Timestamp,
        ttl: Duration,
        every: Duration,
    ) -> Option<Lease> {
        let again = self.again.is_some_and(|again| again <= now);
        let too_soon = !again && self.done.is_some_and(|done| done.plus(every) > now);
        if too_soon || self.current.as_ref().is_some_and(|(_, until)| *until > now) {
            return None;
        }
        self.issued += 1;
        let lease = Lease { job, token: self.issued.to_string() };
        self.current = Some((lease.clone(), now.plus(ttl)));
        Some(lease)
    }

    pub(in crate::store::memory) fn renew(&mut self, lease: &Lease, now: Timestamp, ttl: Duration) -> bool {
        let held = self.is_held_by(lease, now);
        if held {
            self.current = Some((lease.clone(), now.plus(ttl)));
        }
        held
    }

    pub(in crate::store::memory) fn end(&mut self, lease: &Lease, now: Timestamp, again: Option<Duration>) {
        if self.is_held_by(lease, now) {
            (self.current, self.done) = (None, Some(now));
            self.again = again.map(|again| now.plus(again));
        }
    }
}

/// Room names of ended streams.
#[derive(Default)]
pub(in crate::store::memory) struct ClosedRooms {
    /// Expiry of the last join token for each room.
    pub(in crate::store::memory) closed: BTreeMap<RoomName, Timestamp>,
    /// End of each lock.
    pub(in crate::store::memory) locked: BTreeMap<RoomName, Timestamp>,
}

impl ClosedRooms {
    pub(in crate::store::memory) fn close(&mut self, room: RoomName, until: Timestamp) {
        self.closed.insert(room, until);
    }

    pub(in crate::store::memory) fn reopen(&mut self, room: &RoomName) {
        self.closed.remove(room);
    }

    pub(in crate::store::memory) fn is_locked(&self, room: &RoomName, now: Timestamp) -> bool {
        self.locked.get(room).is_some_and(|until| *until > now)
    }

    pub(in crate::store::memory) fn lock(&mut self, room: &RoomName, now: Timestamp, ttl: Duration) -> bool {
        let closed = self.closed.get(room).is_some_and(|until| *until > now);
        let free = closed && !self.is_locked(room, now);
        if free {
            self.locked.insert(room.clone(), now.plus(ttl));
        }
        free
    }
}

/// Results of LiveKit's earlier room listings.
#[derive(Default)]
pub(in crate::store::memory) struct Listings {
    pub(in crate::store::memory) missing: HashMap<StreamId, Timestamp>,
    /// Time of the first empty listing.
    pub(in crate::store::memory) empty_since: Option<Timestamp>,
}

/// Rooms with a probe webhook. The command `check` creates only a few.
pub(in crate::store::memory) type ProbedRooms = BTreeSet<RoomName>;
