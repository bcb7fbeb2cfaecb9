//! A process that crashes at one of its calls to the store or to LiveKit, before the call or after its effect.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod media;
mod service;
mod streams;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use livestream_orchestrator::{
    domain::{Identity, Metadata, ParticipantSid, RoomName, RoomSid, StreamId, Timestamp, Track},
    rooms::{
        JoinToken, Occupants, Room, RoomSpec, Rooms, RoomsError, SessionUpdate, TokenRequest, TrackSelection,
    },
    store::{
        Clock, DueCounts, Job, Lease, Leases, ListingHistory, Maintenance, PartitionStore, ProbeWebhooks,
        Pruned, RoomNameLocks, ScheduledJob, StoreError,
    },
};
use tokio::sync::Notify;

pub use self::service::crashing_service;

/// Point at which a process crashes.
#[derive(Clone, Copy, Debug)]
pub struct CrashPoint {
    /// Index of the call, from 0.
    pub call: usize,
    /// Whether the call takes effect before the crash.
    pub after: bool,
}

/// One process: counts its calls and stops at the crash point.
pub struct Process {
    crash_point: CrashPoint,
    calls: AtomicUsize,
    crashed: Notify,
}

impl Process {
    pub fn crashing_at(crash_point: CrashPoint) -> Arc<Self> {
        Arc::new(Self { crash_point, calls: AtomicUsize::new(0), crashed: Notify::new() })
    }

    /// Runs a use case; returns false if the process crashed before its end.
    pub async fn run(&self, use_case: impl Future<Output = ()>) -> bool {
        tokio::select! {
            () = use_case => true,
            () = self.crashed.notified() => false,
        }
    }

    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        if self.calls.fetch_add(1, Ordering::Relaxed) != self.crash_point.call {
            return call.await;
        }
        if self.crash_point.after {
            call.await;
        }
        self.crashed.notify_one();
        std::future::pending().await
    }
}

/// A store or rooms whose calls belong to a process.
struct Crashing<T: ?Sized> {
    process: Arc<Process>,
    inner: Arc<T>,
}

#[async_trait]
impl Rooms for Crashing<dyn Rooms> {
    async fn create(&self, spec: &RoomSpec) -> Result<Room, RoomsError> {
        self.process.call(self.inner.create(spec)).await
    }
    async fn delete(&self, room: &RoomName) -> Result<(), RoomsError> {
        self.process.call(self.inner.delete(room)).await
    }
    async fn remove_participant(&self, room: &RoomName, identity: &Identity) -> Result<(), RoomsError> {
        self.process.call(self.inner.remove_participant(room, identity)).await
    }
    async fn update_participant(
        &self,
        room: &RoomName,
        identity: &Identity,
        update: &SessionUpdate,
    ) -> Result<(), RoomsError> {
        self.process.call(self.inner.update_participant(room, identity, update)).await
    }
    async fn mute(
        &self,
        room: &RoomName,
        identity: &Identity,
        selection: &TrackSelection,
    ) -> Result<Vec<(ParticipantSid, Track)>, RoomsError> {
        self.process.call(self.inner.mute(room, identity, selection)).await
    }
    async fn set_metadata(&self, room: &RoomName, metadata: &Metadata) -> Result<(), RoomsError> {
        self.process.call(self.inner.set_metadata(room, metadata)).await
    }
    async fn list(&self, names: &[RoomName]) -> Result<Vec<Room>, RoomsError> {
        self.process.call(self.inner.list(names)).await
    }
    async fn occupants_of(&self, room: &RoomName, room_sid: &RoomSid) -> Result<Occupants, RoomsError> {
        self.process.call(self.inner.occupants_of(room, room_sid)).await
    }
    async fn occupants(&self, room: &RoomName) -> Result<Option<Occupants>, RoomsError> {
        self.process.call(self.inner.occupants(room)).await
    }
    async fn ping(&self) -> Result<(), RoomsError> {
        self.process.call(self.inner.ping()).await
    }
    fn token(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError> {
        self.inner.token(request)
    }
    fn token_again(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError> {
        self.inner.token_again(request)
    }
    fn simulated(&self) -> bool {
        self.inner.simulated()
    }
}

#[async_trait]
impl Clock for Crashing<dyn PartitionStore> {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.process.call(self.inner.now()).await
    }
}

#[async_trait]
impl Leases for Crashing<dyn PartitionStore> {
    async fn take_lease(
        &self,
        job: Job,
        ttl: Duration,
        every: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        self.process.call(self.inner.take_lease(job, ttl, every)).await
    }
    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<bool, StoreError> {
        self.process.call(self.inner.renew_lease(lease, ttl)).await
    }
    async fn end_lease(&self, lease: &Lease, again: Option<Duration>) -> Result<(), StoreError> {
        self.process.call(self.inner.end_lease(lease, again)).await
    }
}

#[async_trait]
impl RoomNameLocks for Crashing<dyn PartitionStore> {
    async fn lock_room_name(&self, room: &RoomName, ttl: Duration) -> Result<bool, StoreError> {
        self.process.call(self.inner.lock_room_name(room, ttl)).await
    }
    async fn unlock_room_name(&self, room: &RoomName) -> Result<(), StoreError> {
        self.process.call(self.inner.unlock_room_name(room)).await
    }
}

#[async_trait]
impl ListingHistory for Crashing<dyn PartitionStore> {
    async fn missing(&self) -> Result<HashMap<StreamId, Timestamp>, StoreError> {
        self.process.call(self.inner.missing()).await
    }
    async fn set_missing(&self, streams: &[StreamId]) -> Result<(), StoreError> {
        self.process.call(self.inner.set_missing(streams)).await
    }
    async fn clear_missing(&self, streams: &[StreamId]) -> Result<(), StoreError> {
        self.process.call(self.inner.clear_missing(streams)).await
    }
    async fn confirm_empty_listing(&self, after: Duration) -> Result<bool, StoreError> {
        self.process.call(self.inner.confirm_empty_listing(after)).await
    }
    async fn clear_empty_listing(&self) -> Result<(), StoreError> {
        self.process.call(self.inner.clear_empty_listing()).await
    }
}

#[async_trait]
impl ProbeWebhooks for Crashing<dyn PartitionStore> {
    async fn record_probe_webhook(&self, room: &RoomName) -> Result<(), StoreError> {
        self.process.call(self.inner.record_probe_webhook(room)).await
    }
    async fn has_probe_webhook(&self, room: &RoomName) -> Result<bool, StoreError> {
        self.process.call(self.inner.has_probe_webhook(room)).await
    }
}

#[async_trait]
impl Maintenance for Crashing<dyn PartitionStore> {
    async fn scheduled_jobs(&self, limit: usize) -> Result<Vec<ScheduledJob>, StoreError> {
        self.process.call(self.inner.scheduled_jobs(limit)).await
    }
    async fn due_counts(&self, limit: usize) -> Result<DueCounts, StoreError> {
        self.process.call(self.inner.due_counts(limit)).await
    }
    async fn postpone_counts(&self, id: StreamId) -> Result<(), StoreError> {
        self.process.call(self.inner.postpone_counts(id)).await
    }
    async fn remove_job(&self, due: ScheduledJob) -> Result<(), StoreError> {
        self.process.call(self.inner.remove_job(due)).await
    }
    async fn closed_rooms(&self, limit: usize, offset: usize) -> Result<Vec<RoomName>, StoreError> {
        self.process.call(self.inner.closed_rooms(limit, offset)).await
    }
    async fn renew_and_prune(&self, limit: usize, after: Option<&str>) -> Result<Pruned, StoreError> {
        self.process.call(self.inner.renew_and_prune(limit, after)).await
    }
}
