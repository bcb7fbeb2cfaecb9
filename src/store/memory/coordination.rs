//! Clock, leases, locked room names, listing history and probe webhooks in memory.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;

use super::state::MemoryStore;
use crate::{
    domain::{RoomName, StreamId, Timestamp},
    store::{Clock, Job, Lease, Leases, ListingHistory, ProbeWebhooks, RoomNameLocks, StoreError},
};

#[async_trait]
impl Clock for MemoryStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok((self.time_source)())
    }
}

#[async_trait]
impl Leases for MemoryStore {
    async fn take_lease(
        &self,
        job: Job,
        ttl: Duration,
        every: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let (mut inner, now) = self.current();
        Ok(inner.leases.entry(job).or_default().take(job, now, ttl, every))
    }

    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<bool, StoreError> {
        let (mut inner, now) = self.current();
        Ok(inner.leases.entry(lease.job).or_default().renew(lease, now, ttl))
    }

    async fn end_lease(&self, lease: &Lease, again: Option<Duration>) -> Result<(), StoreError> {
        let (mut inner, now) = self.current();
        inner.leases.entry(lease.job).or_default().end(lease, now, again);
        Ok(())
    }
}

#[async_trait]
impl RoomNameLocks for MemoryStore {
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
