//! A store and rooms on which a process dies: at one of its calls it gets no further, before the call or just after it
//! took effect.

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
        Change, Identity, Metadata, Participant, RoomName, RoomSid, Shared, Stream, StreamId, StreamRef,
        StreamView, Timestamp, stream::NewStream,
    },
    rooms::{JoinToken, Occupants, Room, RoomSpec, Rooms, RoomsError, TokenRequest},
    store::{
        Applied, Clock, CreateOutcome, Guard, Lease, Leases, ListingHistory, Maintenance, Page,
        ParticipantFilter, ProbeWebhooks, Pruned, RoomNameLocks, ScheduledJob, Store, StoreError,
        StreamFilter, StreamStore, Totals,
    },
};
use tokio::sync::Notify;

/// At which call it dies.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    pub call: usize,
    /// Whether the call still takes effect.
    pub after: bool,
}

/// The life of one process.
pub struct Life {
    death: Death,
    calls: AtomicUsize,
    died: Notify,
}

impl Life {
    pub fn until(death: Death) -> Arc<Self> {
        Arc::new(Self { death, calls: AtomicUsize::new(0), died: Notify::new() })
    }

    /// Lives through a use case; says whether it came to its end.
    pub async fn through(&self, usecase: impl Future<Output = ()>) -> bool {
        tokio::select! {
            () = usecase => true,
            () = self.died.notified() => false,
        }
    }

    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        if number != self.death.call {
            return call.await;
        }
        if self.death.after {
            call.await;
        }
        self.died.notify_one();
        std::future::pending().await
    }
}

/// Something that is reached by calls.
pub struct Mortal<T: ?Sized> {
    pub life: Arc<Life>,
    pub inner: Arc<T>,
}

#[async_trait]
impl Rooms for Mortal<dyn Rooms> {
    async fn create(&self, spec: &RoomSpec) -> Result<Room, RoomsError> {
        self.life.call(self.inner.create(spec)).await
    }
    async fn delete(&self, room: &RoomName) -> Result<(), RoomsError> {
        self.life.call(self.inner.delete(room)).await
    }
    async fn remove(&self, room: &RoomName, identity: &Identity) -> Result<(), RoomsError> {
        self.life.call(self.inner.remove(room, identity)).await
    }
    async fn set_metadata(&self, room: &RoomName, metadata: &Metadata) -> Result<(), RoomsError> {
        self.life.call(self.inner.set_metadata(room, metadata)).await
    }
    async fn list(&self, names: &[RoomName]) -> Result<Vec<Room>, RoomsError> {
        self.life.call(self.inner.list(names)).await
    }
    async fn occupants_of(&self, room: &RoomName, room_sid: &RoomSid) -> Result<Occupants, RoomsError> {
        self.life.call(self.inner.occupants_of(room, room_sid)).await
    }
    async fn occupants(&self, room: &RoomName) -> Result<Option<Occupants>, RoomsError> {
        self.life.call(self.inner.occupants(room)).await
    }
    async fn ping(&self) -> Result<(), RoomsError> {
        self.life.call(self.inner.ping()).await
    }
    fn token(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError> {
        self.inner.token(request)
    }
    fn simulated(&self) -> bool {
        self.inner.simulated()
    }
}

#[async_trait]
impl Clock for Mortal<dyn Store> {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.life.call(self.inner.now()).await
    }
}

#[async_trait]
impl Leases for Mortal<dyn Store> {
    async fn take_lease(&self, ttl: Duration, every: Duration) -> Result<Option<Lease>, StoreError> {
        self.life.call(self.inner.take_lease(ttl, every)).await
    }
    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<bool, StoreError> {
        self.life.call(self.inner.renew_lease(lease, ttl)).await
    }
    async fn end_lease(&self, lease: &Lease, again: Option<Duration>) -> Result<(), StoreError> {
        self.life.call(self.inner.end_lease(lease, again)).await
    }
}

#[async_trait]
impl RoomNameLocks for Mortal<dyn Store> {
    async fn closed_rooms(&self, limit: usize, offset: usize) -> Result<Vec<RoomName>, StoreError> {
        self.life.call(self.inner.closed_rooms(limit, offset)).await
    }
    async fn lock_room_name(&self, room: &RoomName, ttl: Duration) -> Result<bool, StoreError> {
        self.life.call(self.inner.lock_room_name(room, ttl)).await
    }
    async fn unlock_room_name(&self, room: &RoomName) -> Result<(), StoreError> {
        self.life.call(self.inner.unlock_room_name(room)).await
    }
}

#[async_trait]
impl ListingHistory for Mortal<dyn Store> {
    async fn missing(&self) -> Result<HashMap<StreamId, Timestamp>, StoreError> {
        self.life.call(self.inner.missing()).await
    }
    async fn set_missing(&self, streams: &[StreamId]) -> Result<(), StoreError> {
        self.life.call(self.inner.set_missing(streams)).await
    }
    async fn clear_missing(&self, streams: &[StreamId]) -> Result<(), StoreError> {
        self.life.call(self.inner.clear_missing(streams)).await
    }
    async fn confirm_empty_listing(&self, after: Duration) -> Result<bool, StoreError> {
        self.life.call(self.inner.confirm_empty_listing(after)).await
    }
    async fn clear_empty_listing(&self) -> Result<(), StoreError> {
        self.life.call(self.inner.clear_empty_listing()).await
    }
}

#[async_trait]
impl ProbeWebhooks for Mortal<dyn Store> {
    async fn record_probe_webhook(&self, room: &RoomName) -> Result<(), StoreError> {
        self.life.call(self.inner.record_probe_webhook(room)).await
    }
    async fn has_probe_webhook(&self, room: &RoomName) -> Result<bool, StoreError> {
        self.life.call(self.inner.has_probe_webhook(room)).await
    }
}

#[async_trait]
impl Maintenance for Mortal<dyn Store> {
    async fn scheduled_jobs(&self, limit: usize) -> Result<Vec<ScheduledJob>, StoreError> {
        self.life.call(self.inner.scheduled_jobs(limit)).await
    }
    async fn remove_job(&self, due: ScheduledJob) -> Result<(), StoreError> {
        self.life.call(self.inner.remove_job(due)).await
    }
    async fn renew_and_prune(&self, limit: usize, after: Option<&str>) -> Result<Pruned, StoreError> {
        self.life.call(self.inner.renew_and_prune(limit, after)).await
    }
}

#[async_trait]
impl StreamStore for Mortal<dyn Store> {
    async fn apply(&self, stream: &StreamRef, change: Change, guard: Guard) -> Result<Applied, StoreError> {
        self.life.call(self.inner.apply(stream, change, guard)).await
    }
    async fn reference(&self, id: StreamId) -> Result<Option<StreamRef>, StoreError> {
        self.life.call(self.inner.reference(id)).await
    }

    async fn id_of_room(&self, room: &RoomName) -> Result<Option<StreamId>, StoreError> {
        self.life.call(self.inner.id_of_room(room)).await
    }
    async fn list(
        &self,
        filter: StreamFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Shared<Stream>>, StoreError> {
        self.life.call(self.inner.list(filter, limit, after)).await
    }
    async fn participants(
        &self,
        id: StreamId,
        filter: ParticipantFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Participant>, StoreError> {
        self.life.call(self.inner.participants(id, filter, limit, after)).await
    }
    async fn unlisted(&self, id: StreamId, identity: &str) -> Result<Option<Participant>, StoreError> {
        self.life.call(self.inner.unlisted(id, identity)).await
    }
    async fn participant(&self, id: StreamId, identity: &str) -> Result<Option<Participant>, StoreError> {
        self.life.call(self.inner.participant(id, identity)).await
    }
    async fn create(&self, new: NewStream) -> Result<CreateOutcome, StoreError> {
        self.life.call(self.inner.create(new)).await
    }
    async fn get(&self, id: StreamId) -> Result<Option<Stream>, StoreError> {
        self.life.call(self.inner.get(id)).await
    }
    async fn view(&self, id: StreamId) -> Result<Option<Shared<StreamView>>, StoreError> {
        self.life.call(self.inner.view(id)).await
    }
    async fn totals(&self) -> Result<Totals, StoreError> {
        self.life.call(self.inner.totals()).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.life.call(self.inner.ping()).await
    }
}
