//! Leases, suspicions and names of rooms that are over, in this process's memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    domain::{RoomName, Timestamp},
    store::Lease,
};

#[derive(Default)]
pub(super) struct Jobs {
    lease: Option<(Lease, Timestamp)>,
    taken: u64,
    done: Option<Timestamp>,
    suspected: Option<Timestamp>,
    /// When the last join token for each has lapsed.
    closed: BTreeMap<RoomName, Timestamp>,
    /// Until when each is held.
    held: BTreeMap<RoomName, Timestamp>,
    /// Of `check`, which makes a handful.
    noted: BTreeSet<RoomName>,
}

impl Jobs {
    pub(super) fn is_held_by(&self, lease: &Lease, now: Timestamp) -> bool {
        self.lease.as_ref().is_some_and(|(held, until)| held == lease && *until > now)
    }

    pub(super) fn take(&mut self, now: Timestamp, ttl: Duration, every: Duration) -> Option<Lease> {
        let too_soon = self.done.is_some_and(|done| done.plus(every) > now);
        if too_soon || self.lease.as_ref().is_some_and(|(_, until)| *until > now) {
            return None;
        }
        self.taken += 1;
        let lease = Lease { token: self.taken.to_string() };
        self.lease = Some((lease.clone(), now.plus(ttl)));
        Some(lease)
    }

    pub(super) fn renew(&mut self, lease: &Lease, now: Timestamp, ttl: Duration) -> bool {
        let held = self.is_held_by(lease, now);
        if held {
            self.lease = Some((lease.clone(), now.plus(ttl)));
        }
        held
    }

    pub(super) fn end(&mut self, lease: &Lease, now: Timestamp) {
        if self.is_held_by(lease, now) {
            (self.lease, self.done) = (None, Some(now));
        }
    }

    pub(super) fn suspect(&mut self, now: Timestamp, after: Duration) -> bool {
        self.suspected.get_or_insert(now).plus(after) <= now && self.suspected != Some(now)
    }

    pub(super) fn trust(&mut self) {
        self.suspected = None;
    }

    pub(super) fn close(&mut self, room: RoomName, until: Timestamp) {
        self.closed.insert(room, until);
    }

    pub(super) fn reopen(&mut self, room: &RoomName) {
        self.closed.remove(room);
    }

    pub(super) fn closed(&self, now: Timestamp) -> impl Iterator<Item = &RoomName> {
        self.closed.iter().filter(move |(_, until)| **until > now).map(|(room, _)| room)
    }

    pub(super) fn is_held(&self, room: &RoomName, now: Timestamp) -> bool {
        self.held.get(room).is_some_and(|until| *until > now)
    }

    pub(super) fn hold(&mut self, room: &RoomName, now: Timestamp, ttl: Duration) -> bool {
        let closed = self.closed.get(room).is_some_and(|until| *until > now);
        let free = closed && !self.is_held(room, now);
        if free {
            self.held.insert(room.clone(), now.plus(ttl));
        }
        free
    }

    pub(super) fn note(&mut self, room: RoomName) {
        self.noted.insert(room);
    }

    pub(super) fn is_noted(&self, room: &RoomName) -> bool {
        self.noted.contains(room)
    }

    pub(super) fn release(&mut self, room: &RoomName) {
        self.held.remove(room);
    }
}
