//! Decoded states of streams, cached in this process and validated against Redis on every read.
//!
//! A read asks the master for the stream's [`StateVersion`] and uses the cached state only where the version is equal.
//! So a read on any instance includes every acknowledged change. Every visible change gives the stream a cursor that no
//! other change gets (`next_cursor` in `lua/changes/shared/events.lua`). The version has it and all else that may
//! change without an event: the end of the operation lock, the number of unlisted participants and the time since which
//! a counted stream is empty.

use quick_cache::{Weighter, sync::Cache};

use super::codec::{Fields, STATE};
use crate::{
    domain::{RoomName, Stream, StreamId, StreamView},
    store::{SharedState, StateWithJson},
};

/// The approximate limit of each state cache, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The limit of the cache of room names, in entries.
const MAX_ROOM_NAMES: usize = 20_000;
/// The expected number of entries. It is low because it determines the number of shards, and a large state must fit
/// into one shard.
const EXPECTED_ENTRIES: usize = 128;
/// The approximate size of a stream or participant without its metadata, decoded and as JSON.
const BASE_BYTES: usize = 1_024;
/// The copies of the metadata's text: the decoded value and two JSON documents.
const METADATA_COPIES: usize = 3;

/// Identifies one state of a stream among all its states: the value of the hash's field [`STATE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateVersion(String);

impl StateVersion {
    /// Builds a version from the value of [`STATE`].
    pub fn new(state: String) -> Self {
        Self(state)
    }

    /// Builds a version from the stream's whole hash; `None` where the stream does not exist.
    pub fn from_fields(fields: &Fields) -> Option<Self> {
        fields.get(STATE).cloned().map(Self)
    }
}

type Versioned<T> = (StateVersion, SharedState<T>);

/// The caches of one store.
pub struct StateCaches {
    pub(super) streams: StateCache<Stream>,
    pub(super) views: StateCache<StreamView>,
    /// Room names never change, so they need no version.
    pub(super) room_names: Cache<StreamId, RoomName>,
}

impl StateCaches {
    pub(super) fn new() -> Self {
        let room_names = Cache::new(MAX_ROOM_NAMES);
        Self { streams: StateCache::new(), views: StateCache::new(), room_names }
    }
}

/// States by stream, up to about [`MAX_BYTES`]; evicts by S3-FIFO.
pub(super) struct StateCache<T>(Cache<StreamId, Versioned<T>, SizeWeighter>);

impl<T: EstimatedSize> StateCache<T> {
    fn new() -> Self {
        Self(Cache::with_weighter(EXPECTED_ENTRIES, MAX_BYTES, SizeWeighter))
    }

    /// Whether a state of any version is cached. Without one, asking Redis for the version is useless.
    pub(super) fn contains(&self, id: StreamId) -> bool {
        self.0.peek(&id).is_some()
    }

    /// The cached state, if it has this version.
    pub(super) fn get(&self, id: StreamId, version: &StateVersion) -> Option<SharedState<T>> {
        self.0.get(&id).filter(|(cached, _)| cached == version).map(|(_, state)| state)
    }

    /// Caches a state. `version` must come from the same atomic read as `state`; without a version nothing is cached.
    pub(super) fn insert(&self, id: StreamId, version: Option<StateVersion>, state: T) -> SharedState<T> {
        let state = StateWithJson::shared(state);
        if let Some(version) = version {
            self.0.insert(id, (version, state.clone()));
        }
        state
    }
}

/// A state whose size in memory can be estimated.
pub(super) trait EstimatedSize {
    /// The approximate size in bytes, decoded and as JSON.
    fn estimated_bytes(&self) -> usize;
}

fn bytes_with_metadata(text: &str) -> usize {
    BASE_BYTES + METADATA_COPIES * text.len()
}

impl EstimatedSize for Stream {
    fn estimated_bytes(&self) -> usize {
        bytes_with_metadata(self.metadata.as_text())
    }
}

impl EstimatedSize for StreamView {
    fn estimated_bytes(&self) -> usize {
        let participants = self.participants.iter().map(|entry| {
            let texts = [entry.metadata.as_text(), entry.attributes.as_text()];
            texts.into_iter().map(bytes_with_metadata).sum::<usize>()
        });
        self.stream.estimated_bytes() + participants.sum::<usize>()
    }
}

#[derive(Clone)]
struct SizeWeighter;

impl<T: EstimatedSize> Weighter<StreamId, Versioned<T>> for SizeWeighter {
    fn weight(&self, _: &StreamId, (_, state): &Versioned<T>) -> u64 {
        state.estimated_bytes() as u64
    }
}
