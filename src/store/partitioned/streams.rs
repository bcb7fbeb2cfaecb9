//! Streams, room names and probe webhooks: each call goes to one partition.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use futures_util::future::select_ok;

use super::{PartitionBackend, PartitionedStore};
use crate::{
    domain::{
        Block, Change, Egress, EgressId, Identity, Ingress, IngressId, Participant, RoomName, RtmpAddress,
        Stream, StreamEgresses, StreamId, StreamIngresses, StreamRef, StreamView, TargetId, Timestamp,
        stream::NewStream,
    },
    store::{
        Applied, CreateOutcome, Guard, Page, ParticipantFilter, ProbeWebhooks, RoomNameLocks, SharedState,
        StoreError, StreamFilter, StreamStore, Totals,
    },
};

#[async_trait]
impl<P: PartitionBackend> StreamStore for PartitionedStore<P> {
    fn place(&self, id: StreamId, room: &RoomName) -> StreamId {
        self.partitioning.place(id, room)
    }

    async fn time_of(&self, id: StreamId) -> Result<Timestamp, StoreError> {
        self.of_stream(id).time_of(id).await
    }

    async fn create(&self, new: NewStream) -> Result<CreateOutcome, StoreError> {
        debug_assert_eq!(self.place(new.id, &new.room_name), new.id);
        self.of_room(&new.room_name).create(new).await
    }

    async fn apply(&self, stream: &StreamRef, change: Change, guard: Guard) -> Result<Applied, StoreError> {
        self.of_stream(stream.id).apply(stream, change, guard).await
    }

    async fn get(&self, id: StreamId) -> Result<Option<Stream>, StoreError> {
        self.of_stream(id).get(id).await
    }

    async fn reference(&self, id: StreamId) -> Result<Option<StreamRef>, StoreError> {
        self.of_stream(id).reference(id).await
    }

    async fn id_of_room(&self, room: &RoomName) -> Result<Option<StreamId>, StoreError> {
        self.of_room(room).id_of_room(room).await
    }

    async fn view(&self, id: StreamId) -> Result<Option<SharedState<StreamView>>, StoreError> {
        self.of_stream(id).view(id).await
    }

    async fn list(
        &self,
        filter: StreamFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<SharedState<Stream>>, StoreError> {
        self.merged_list(filter, limit, after).await
    }

    async fn participants(
        &self,
        id: StreamId,
        filter: ParticipantFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Participant>, StoreError> {
        self.of_stream(id).participants(id, filter, limit, after).await
    }

    async fn unlisted(&self, id: StreamId, identity: &str) -> Result<Option<Participant>, StoreError> {
        self.of_stream(id).unlisted(id, identity).await
    }

    async fn participant(&self, id: StreamId, identity: &str) -> Result<Option<Participant>, StoreError> {
        self.of_stream(id).participant(id, identity).await
    }

    async fn block(&self, id: StreamId, identity: &str) -> Result<Option<Block>, StoreError> {
        self.of_stream(id).block(id, identity).await
    }

    async fn blocks(
        &self,
        id: StreamId,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Block>, StoreError> {
        self.of_stream(id).blocks(id, limit, after).await
    }

    async fn blocked(&self, id: StreamId, identities: &[&Identity]) -> Result<Vec<bool>, StoreError> {
        self.of_stream(id).blocked(id, identities).await
    }

    async fn ingress(&self, id: StreamId, ingress: &IngressId) -> Result<Option<Ingress>, StoreError> {
        self.of_stream(id).ingress(id, ingress).await
    }

    async fn ingresses(&self, id: StreamId) -> Result<StreamIngresses, StoreError> {
        self.of_stream(id).ingresses(id).await
    }

    async fn egress(&self, id: StreamId, egress: &EgressId) -> Result<Option<Egress>, StoreError> {
        self.of_stream(id).egress(id, egress).await
    }

    async fn egresses(&self, id: StreamId) -> Result<StreamEgresses, StoreError> {
        self.of_stream(id).egresses(id).await
    }

    async fn egress_addresses(
        &self,
        id: StreamId,
        egress: &EgressId,
    ) -> Result<BTreeMap<TargetId, RtmpAddress>, StoreError> {
        self.of_stream(id).egress_addresses(id, egress).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.merged_totals().await
    }

    /// Succeeds if any partition answers: the others' streams are unavailable, and the instance serves the rest.
    async fn ping(&self) -> Result<(), StoreError> {
        let pings = self.partitions().iter().map(|partition| partition.ping());
        select_ok(pings).await.map(drop)
    }
}

#[async_trait]
impl<P: PartitionBackend> RoomNameLocks for PartitionedStore<P> {
    async fn lock_room_name(&self, room: &RoomName, ttl: Duration) -> Result<bool, StoreError> {
        self.of_room(room).lock_room_name(room, ttl).await
    }

    async fn unlock_room_name(&self, room: &RoomName) -> Result<(), StoreError> {
        self.of_room(room).unlock_room_name(room).await
    }
}

#[async_trait]
impl<P: PartitionBackend> ProbeWebhooks for PartitionedStore<P> {
    async fn record_probe_webhook(&self, room: &RoomName) -> Result<(), StoreError> {
        self.of_room(room).record_probe_webhook(room).await
    }

    async fn has_probe_webhook(&self, room: &RoomName) -> Result<bool, StoreError> {
        self.of_room(room).has_probe_webhook(room).await
    }
}
