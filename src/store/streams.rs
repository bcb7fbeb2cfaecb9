//! Storage of streams: their state, changes and lists.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{DedupKey, Lease, Page, ParticipantFilter, SharedState, StoreError, StreamFilter};
use crate::domain::{
    Block, Change, Egress, EgressId, Identity, Ingress, IngressId, Participant, RoomName, RtmpAddress,
    Stream, StreamEgresses, StreamId, StreamIngresses, StreamRef, StreamStatus, StreamView, TargetId,
    Timestamp, change::Effect, stream::NewStream,
};

/// Outcome of [`StreamStore::create`].
#[derive(Clone, Debug)]
pub enum CreateOutcome {
    /// The stream is recorded; this is its first state.
    Created(Stream),
    /// This stream has the same id, or is live and owns the room name. Nothing was recorded.
    Existing(Stream),
    /// The room name is locked while an orphaned room of that name is deleted. Nothing was recorded.
    RoomNameLocked,
}

/// Preconditions of a change, checked in the same atomic step as the change.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Required version of the stream.
    pub version: Option<u64>,
    /// Deduplication key: the change is made at most once under it. The key is stored together with the change, so
    /// neither exists without the other.
    pub dedup_key: Option<DedupKey>,
    /// A lease that the caller must still hold. An instance that has lost it changes nothing.
    pub lease: Option<Lease>,
}

/// Outcome of a change that was not rejected.
#[derive(Clone, Debug)]
pub struct Applied {
    /// What the change did.
    pub effect: Effect,
    /// The stream after the change.
    pub stream: Stream,
    /// Entry of the participant whom the change concerns, if there is one.
    pub participant: Option<Participant>,
    /// The block that [`Change::Block`] has set or found.
    pub block: Option<Block>,
}

/// Totals over all instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Number of streams by status.
    pub streams: Vec<(StreamStatus, u64)>,
    /// Number of active participants in all streams, as of the newest event of each.
    pub participants: u64,
}

/// State of all streams.
///
/// Every method takes effect completely or not at all, whatever number of instances call at once. Reads include every
/// change that was acknowledged before.
///
/// # Errors
/// Every method returns [`StoreError::Unavailable`] after a bounded time without an answer.
#[async_trait]
pub trait StreamStore: Send + Sync {
    /// Returns the id for a new stream with this room name: `id`, changed so that it says the partition of the name.
    /// Placing the result again has no effect.
    fn place(&self, id: StreamId, room: &RoomName) -> StreamId;

    /// Returns the current time of the clock that a stream's records have.
    async fn time_of(&self, id: StreamId) -> Result<Timestamp, StoreError>;

    /// Records a stream in status `creating`, with its first event.
    ///
    /// The id must be one that [`Self::place`] has returned for the room name. Records nothing if a stream has this id,
    /// if a live stream owns the room name, or if the name is locked. Exactly one of any number of concurrent calls
    /// with one name returns [`CreateOutcome::Created`].
    async fn create(&self, new: NewStream) -> Result<CreateOutcome, StoreError>;

    /// Makes one change: state, counters, log, indexes, TTLs and publication in one step.
    ///
    /// Every change with an effect has its events in the log, with consecutive versions. Every event in the log has its
    /// effect.
    async fn apply(&self, stream: &StreamRef, change: Change, guard: Guard) -> Result<Applied, StoreError>;

    /// Returns the stream with this id.
    async fn get(&self, id: StreamId) -> Result<Option<Stream>, StoreError>;

    /// Returns a stream's id and room name, which never change. The value may be cached: the stream may have expired.
    async fn reference(&self, id: StreamId) -> Result<Option<StreamRef>, StoreError>;

    /// Returns the id of the live stream that owns a room name, or of its last owner until that expires.
    async fn id_of_room(&self, room: &RoomName) -> Result<Option<StreamId>, StoreError>;

    /// Returns a stream with its first participants, both as of one moment.
    async fn view(&self, id: StreamId) -> Result<Option<SharedState<StreamView>>, StoreError>;

    /// Returns a page of streams, newest first. The cost depends on the page size, not on the number of streams.
    async fn list(
        &self,
        filter: StreamFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<SharedState<Stream>>, StoreError>;

    /// Returns a page of a stream's participants in list order.
    async fn participants(
        &self,
        id: StreamId,
        filter: ParticipantFilter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Participant>, StoreError>;

    /// Returns an unlisted participant: a recorder or a hidden participant.
    async fn unlisted(&self, id: StreamId, identity: &str) -> Result<Option<Participant>, StoreError>;

    /// Returns a listed participant.
    async fn participant(&self, id: StreamId, identity: &str) -> Result<Option<Participant>, StoreError>;

    /// Returns the block of an identity.
    async fn block(&self, id: StreamId, identity: &str) -> Result<Option<Block>, StoreError>;

    /// Returns a page of a stream's blocks, oldest first.
    async fn blocks(
        &self,
        id: StreamId,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Block>, StoreError>;

    /// Reports of each of these identities, at most 1,000, whether it is blocked.
    async fn blocked(&self, id: StreamId, identities: &[&Identity]) -> Result<Vec<bool>, StoreError>;

    /// Returns a recorded ingress.
    async fn ingress(&self, id: StreamId, ingress: &IngressId) -> Result<Option<Ingress>, StoreError>;

    /// Returns the ingresses of a stream and the intents to create some. What becomes of an intent is never missing.
    async fn ingresses(&self, id: StreamId) -> Result<StreamIngresses, StoreError>;

    /// Returns a recording or a broadcast, also of a stream that has ended.
    async fn egress(&self, id: StreamId, egress: &EgressId) -> Result<Option<Egress>, StoreError>;

    /// Returns the recordings and broadcasts of a stream, and the intents to start some. What becomes of an intent is
    /// never missing.
    async fn egresses(&self, id: StreamId) -> Result<StreamEgresses, StoreError>;

    /// Returns the whole addresses of the RTMP targets of a broadcast that runs. They are secrets.
    async fn egress_addresses(
        &self,
        id: StreamId,
        egress: &EgressId,
    ) -> Result<BTreeMap<TargetId, RtmpAddress>, StoreError>;

    /// Returns totals over all instances, at a constant cost.
    async fn totals(&self) -> Result<Totals, StoreError>;

    /// Checks that the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
}
