//! Leases, suspicions and names of rooms that are over, in this process's memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::{RoomName, StreamId, Timestamp},
    store::{Coordination, Kept, Lease, StoreError},
};

#[derive(Default)]
pub(super) struct Jobs {
    lease: Option<(Lease, Timestamp)>,
    taken: u64,
    done: Option<Timestamp>,
    /// When the job is due again at the latest.
    again: Option<Timestamp>,
    missing: HashMap<StreamId, Timestamp>,
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
        let again = self.again.is_some_and(|again| again <= now);
        let too_soon = !again && self.done.is_some_and(|done| done.plus(every) > now);
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

    pub(super) fn end(&mut self, lease: &Lease, now: Timestamp, again: Option<Duration>) {
        if self.is_held_by(lease, now) {
            (self.lease, self.done) = (None, Some(now));
            self.again = again.map(|again| now.plus(again));
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

#[async_trait]
impl Coordination for MemoryStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok((self.clock)())
    }

    async fn take_lease(&self, ttl: Duration, every: Duration) -> Result<Option<Lease>, StoreError> {
        let (mut inner, now) = self.current();
        Ok(inner.jobs.take(now, ttl, every))
    }

    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<bool, StoreError> {
        let (mut inner, now) = self.current();
        Ok(inner.jobs.renew(lease, now, ttl))
    }

    async fn end_lease(&self, lease: &Lease, again: Option<Duration>) -> Result<(), StoreError> {
        let (mut inner, now) = self.current();
        inner.jobs.end(lease, now, again);
        Ok(())
    }

    async fn missing(&self) -> Result<HashMap<StreamId, Timestamp>, StoreError> {
        Ok(self.current().0.jobs.missing.clone())
    }

    async fn set_missing(&self, streams: &[StreamId]) -> Result<(), StoreError> {
        let (mut inner, now) = self.current();
        for id in streams {
            inner.jobs.missing.entry(*id).or_insert(now);
        }
        Ok(())
    }

    async fn clear_missing(&self, streams: &[StreamId]) -> Result<(), StoreError> {
        let (mut inner, _) = self.current();
        inner.jobs.missing.retain(|id, _| !streams.contains(id));
        Ok(())
    }

    async fn suspect(&self, after: Duration) -> Result<bool, StoreError> {
        let (mut inner, now) = self.current();
        Ok(inner.jobs.suspect(now, after))
    }

    async fn trust(&self) -> Result<(), StoreError> {
        self.current().0.jobs.trust();
        Ok(())
    }

    async fn hold_room(&self, room: &RoomName, ttl: Duration) -> Result<bool, StoreError> {
        let (mut inner, now) = self.current();
        Ok(inner.live_holder(room).is_none() && inner.jobs.hold(room, now, ttl))
    }

    async fn release_room(&self, room: &RoomName) -> Result<(), StoreError> {
        self.current().0.jobs.release(room);
        Ok(())
    }

    async fn note(&self, room: &RoomName) -> Result<(), StoreError> {
        self.current().0.jobs.note(room.clone());
        Ok(())
    }

    async fn is_noted(&self, room: &RoomName) -> Result<bool, StoreError> {
        Ok(self.current().0.jobs.is_noted(room))
    }

    async fn closed_rooms(&self, limit: usize, offset: usize) -> Result<Vec<RoomName>, StoreError> {
        let (inner, now) = self.current();
        Ok(inner.jobs.closed(now).skip(offset).take(limit).cloned().collect())
    }

    async fn keep(&self, _: usize, _: Option<&str>) -> Result<Kept, StoreError> {
        // Nothing here expires while it lives.
        Ok(Kept::default())
    }
}
