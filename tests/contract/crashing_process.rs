//! A process that crashes at one of its calls to the store or to LiveKit, before the call or after its effect.

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
    domain::{
        Block, Change, Identity, Metadata, Participant, ParticipantSid, RoomName, RoomSid, Stream, StreamId,
        StreamRef, StreamView, Timestamp, Track, stream::NewStream,
    },
    rooms::{
        JoinToken, Occupants, Room, RoomSpec, Rooms, RoomsError, SessionUpdate, TokenRequest, TrackSelection,
    },
    store::{
        Applied, Clock, CreateOutcome, DueCounts, Guard, Job, Lease, Leases, ListingHistory, Maintenance,
        Page, ParticipantFilter, PartitionStore, ProbeWebhooks, Pruned, RoomNameLocks, ScheduledJob,
        SharedState, StoreError, StreamFilter, StreamStore, Totals,
    },
};
use tokio::sync::Notify;

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
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        if number != self.crash_point.call {
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
pub struct Crashing<T: ?Sized> {
    pub process: Arc<Process>,
    pub inner: Arc<T>,
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

#[async_trait]
impl StreamStore for Crashing<dyn PartitionStore> {
    fn place(&self, id: StreamId, room: &RoomName) -> StreamId {
        self.inner.place(id, room)
    }
    async fn time_of(&self, id: StreamId) -> Result<Timestamp, StoreError> {
        self.process.call(self.inner.time_of(id)).await
    }
    async fn apply(&self, stream: &StreamRef, change: Change, guard: Guard) -> Result<Applied, StoreError> {
        self.process.call(self.inner.apply(stream, change, guard)).await
    }
    async fn reference(&self, id: StreamId) -> Result<Option<StreamRef>, StoreError> {
        self.process.call(self.inner.reference(id)).await
    }

    async fn id_of_room(&self, room: &RoomName) -> Result<Option<StreamId>, StoreError> {
        self.process.call(self.inner.id_of_room(room)).await
    }
    async fn list(
        &self,
        filter: StreamFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<SharedState<Stream>>, StoreError> {
        self.process.call(self.inner.list(filter, limit, after)).await
    }
    async fn participants(
        &self,
        id: StreamId,
        filter: ParticipantFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Participant>, StoreError> {
        self.process.call(self.inner.participants(id, filter, limit, after)).await
    }
    async fn unlisted(&self, id: StreamId, identity: &str) -> Result<Option<Participant>, StoreError> {
        self.process.call(self.inner.unlisted(id, identity)).await
    }
    async fn participant(&self, id: StreamId, identity: &str) -> Result<Option<Participant>, StoreError> {
        self.process.call(self.inner.participant(id, identity)).await
    }
    async fn create(&self, new: NewStream) -> Result<CreateOutcome, StoreError> {
        self.process.call(self.inner.create(new)).await
    }
    async fn get(&self, id: StreamId) -> Result<Option<Stream>, StoreError> {
        self.process.call(self.inner.get(id)).await
    }
    async fn view(&self, id: StreamId) -> Result<Option<SharedState<StreamView>>, StoreError> {
        self.process.call(self.inner.view(id)).await
    }
    async fn block(&self, id: StreamId, identity: &str) -> Result<Option<Block>, StoreError> {
        self.process.call(self.inner.block(id, identity)).await
    }

    async fn blocks(&self, id: StreamId) -> Result<Vec<Block>, StoreError> {
        self.process.call(self.inner.blocks(id)).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.process.call(self.inner.totals()).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.process.call(self.inner.ping()).await
    }
}
