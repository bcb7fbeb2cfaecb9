//! Storage of streams whose calls belong to a process.

use std::collections::BTreeMap;

use async_trait::async_trait;
use livestream_orchestrator::{
    domain::{
        Block, Change, Egress, EgressId, Identity, Ingress, IngressId, Participant, RoomName, RtmpAddress,
        Stream, StreamEgresses, StreamId, StreamIngresses, StreamRef, StreamView, TargetId, Timestamp,
        stream::NewStream,
    },
    store::{
        Applied, CreateOutcome, Guard, Page, ParticipantFilter, PartitionStore, SharedState, StoreError,
        StreamFilter, StreamStore, Totals,
    },
};

use super::Crashing;

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
    async fn blocks(
        &self,
        id: StreamId,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Block>, StoreError> {
        self.process.call(self.inner.blocks(id, limit, after)).await
    }
    async fn blocked(&self, id: StreamId, identities: &[&Identity]) -> Result<Vec<bool>, StoreError> {
        self.process.call(self.inner.blocked(id, identities)).await
    }

    async fn ingress(&self, id: StreamId, ingress: &IngressId) -> Result<Option<Ingress>, StoreError> {
        self.process.call(self.inner.ingress(id, ingress)).await
    }
    async fn ingresses(&self, id: StreamId) -> Result<StreamIngresses, StoreError> {
        self.process.call(self.inner.ingresses(id)).await
    }
    async fn egress(&self, id: StreamId, egress: &EgressId) -> Result<Option<Egress>, StoreError> {
        self.process.call(self.inner.egress(id, egress)).await
    }
    async fn egresses(&self, id: StreamId) -> Result<StreamEgresses, StoreError> {
        self.process.call(self.inner.egresses(id)).await
    }
    async fn egress_addresses(
        &self,
        id: StreamId,
        egress: &EgressId,
    ) -> Result<BTreeMap<TargetId, RtmpAddress>, StoreError> {
        self.process.call(self.inner.egress_addresses(id, egress)).await
    }
    async fn totals(&self) -> Result<Totals, StoreError> {
        self.process.call(self.inner.totals()).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.process.call(self.inner.ping()).await
    }
}
