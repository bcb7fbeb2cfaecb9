//! Clock, leases, locked room names, listing history and probe webhooks in memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::{RoomName, StreamId, Timestamp},
    store::{Clock, Lease, Leases, ListingHistory, ProbeWebhooks, RoomNameLocks, StoreError},
};

/// State of the reconciliation lease.
#[derive(Default)]
pub(super) struct LeaseState {
    /// The current lease and its end.
    current: Option<(Lease, Timestamp)>,
    issued: u64,
    /// End of the last job.
    done: Option<Timestamp>,
    /// Latest time of the next job.
    again: Option<Timestamp>,
}

impl LeaseState {
    pub(super) fn is_held_by(&self, lease: &Lease, now: Timestamp) -> bool {
        self.current.as_ref().is_some_and(|(held, until)| held == lease && *until > now)
    }

    fn take(&mut self, now: Timestamp, ttl: Duration, every: Duration) -> Option<Lease> {
        let again = self.again.is_some_and(|again| again <= now);
        let too_soon = !again && self.done.is_some_and(|done| done.plus(every) > now);
        if too_soon || self.current.as_ref().is_some_and(|(_, until)| *until > now) {
            return None;
        }
        self.issued += 1;
        let lease = Lease { token: self.issued.to_string() };
        self.current = Some((lease.clone(), now.plus(ttl)));
        Some(lease)
    }

    fn renew(&mut self, lease: &Lease, now: Timestamp, ttl: Duration) -> bool {
        let held = self.is_held_by(lease, now);
        if held {
            self.current = Some((lease.clone(), now.plus(ttl)));
        }
        held
    }

    fn end(&mut self, lease: &Lease, now: Timestamp, again: Option<Duration>) {
        if self.is_held_by(lease, now) {
            (self.current, self.done) = (None, Some(now));
            self.again = again.map(|again| now.plus(again));
        }
    }
}

/// Room names of ended streams.
#[derive(Default)]
pub(super) struct ClosedRooms {
    /// Expiry of the last join token for each room.
    closed: BTreeMap<RoomName, Timestamp>,
    /// End of each lock.
    locked: BTreeMap<RoomName, Timestamp>,
}

impl ClosedRooms {
    pub(super) fn close(&mut self, room: RoomName, until: Timestamp) {
        self.closed.insert(room, until);
    }

    pub(super) fn reopen(&mut self, room: &RoomName) {
        self.closed.remove(room);
    }

    pub(super) fn is_locked(&self, room: &RoomName, now: Timestamp) -> bool {
        self.locked.get(room).is_some_and(|until| *until > now)
    }

    fn lock(&mut self, room: &RoomName, now: Timestamp, ttl: Duration) -> bool {
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
pub(super) struct Listings {
    missing: HashMap<StreamId, Timestamp>,
    /// Time of the first empty listing.
    empty_since: Option<Timestamp>,
}

/// Rooms with a probe webhook. The command `check` creates only a few.
pub(super) type ProbedRooms = BTreeSet<RoomName>;

#[async_trait]
impl Clock for MemoryStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok((self.time_source)())
    }
}

#[async_trait]
impl Leases for MemoryStore {
    async fn take_lease(&self, ttl: Duration, every: Duration) -> Result<Option<Lease>, StoreError> {
        let (mut inner, now) = self.current();
        Ok(inner.lease.take(now, ttl, every))
    }

    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<bool, StoreError> {
        let (mut inner, now) = self.current();
        Ok(inner.lease.renew(lease, now, ttl))
    }

    async fn end_lease(&self, lease: &Lease, again: Option<Duration>) -> Result<(), StoreError> {
        let (mut inner, now) = self.current();
        inner.lease.end(lease, now, again);
        Ok(())
    }
}

#[async_trait]
impl RoomNameLocks for MemoryStore {
    async fn closed_rooms(&self, limit: usize, offset: usize) -> Result<Vec<RoomName>, StoreError> {
        let (inner, now) = self.current();
        let closed = inner.closed_rooms.closed.iter().filter(|(_, until)| **until > now);
        Ok(closed.map(|(room, _)| room.clone()).skip(offset).take(limit).collect())
    }

    async fn lock_room_name(&self, room: &RoomName, ttl: Duration) -> Result<bool, StoreError> {
        let (mut inner, now) = self.current();
        Ok(inner.live_owner(room).is_none() && inner.closed_rooms.lock(room, now, ttl))
    }

    async fn unlock_room_name(&self, room: &RoomName) -> Result<(), StoreError> {
        self.current().0.closed_rooms.locked.remove(room);
        Ok(())
    }
}

#[async_trait]
impl ListingHistory for MemoryStore {
    async fn missing(&self) -> Result<HashMap<StreamId, Timestamp>, StoreError> {
        Ok(self.current().0.listings.missing.clone())
    }

    async fn set_missing(&self, streams: &[StreamId]) -> Result<(), StoreError> {
        let (mut inner, now) = self.current();
        for id in streams {
            inner.listings.missing.entry(*id).or_insert(now);
        }
        Ok(())
    }

    async fn clear_missing(&self, streams: &[StreamId]) -> Result<(), StoreError> {
        let (mut inner, _) = self.current();
        inner.listings.missing.retain(|id, _| !streams.contains(id));
        Ok(())
    }

    async fn confirm_empty_listing(&self, after: Duration) -> Result<bool, StoreError> {
        let (mut inner, now) = self.current();
        let since = *inner.listings.empty_since.get_or_insert(now);
        Ok(since != now && since.plus(after) <= now)
    }

    async fn clear_empty_listing(&self) -> Result<(), StoreError> {
        self.current().0.listings.empty_since = None;
        Ok(())
    }
}

#[async_trait]
impl ProbeWebhooks for MemoryStore {
    async fn record_probe_webhook(&self, room: &RoomName) -> Result<(), StoreError> {
        self.current().0.probed_rooms.insert(room.clone());
        Ok(())
    }

    async fn has_probe_webhook(&self, room: &RoomName) -> Result<bool, StoreError> {
        Ok(self.current().0.probed_rooms.contains(room))
    }
}
