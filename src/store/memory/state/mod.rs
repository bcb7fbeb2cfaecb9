//! State of the memory store, which the implementations of the store's traits share.

pub(super) mod coordination;
pub(super) mod follower;
pub(super) mod log;
pub(super) mod rates;
pub(super) mod requests;
pub(super) mod visits;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::{
    coordination::{ClosedRooms, LeaseState, Listings, ProbedRooms},
    follower::Follower,
    log::Log,
    rates::Rates,
    requests::Requests,
    visits::Visits,
};
use crate::{
    domain::{
        Aggregate, Block, Cursor, Event, RoomName, Stream, StreamId, StreamView, Timestamp, event::Draft,
        stream::MAX_LISTED_PARTICIPANTS,
    },
    store::{DedupKey, EndpointRecords, FollowerRecord, Job, Lease, LogBounds, Retention, TRIM_BLOCKS},
};

/// Source of the current time.
pub type TimeSource = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Store in memory. Clones share one state.
#[derive(Clone)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
    pub(in crate::store::memory) retention: Retention,
    pub(in crate::store::memory) time_source: TimeSource,
}

#[derive(Default)]
pub(in crate::store::memory) struct Inner {
    pub(in crate::store::memory) streams: BTreeMap<StreamId, Entry>,
    pub(in crate::store::memory) rooms: HashMap<RoomName, StreamId>,
    pub(in crate::store::memory) dedup_keys: HashMap<DedupKey, StreamId>,
    pub(in crate::store::memory) log: Log,
    pub(in crate::store::memory) newest: Cursor,
    pub(in crate::store::memory) connections: Vec<Follower>,
    pub(in crate::store::memory) leases: HashMap<Job, LeaseState>,
    pub(in crate::store::memory) closed_rooms: ClosedRooms,
    pub(in crate::store::memory) listings: Listings,
    pub(in crate::store::memory) probed_rooms: ProbedRooms,
    pub(in crate::store::memory) rates: Rates,
    pub(in crate::store::memory) requests: Requests,
    pub(in crate::store::memory) webhook_endpoints: EndpointRecords,
    pub(in crate::store::memory) followers: BTreeMap<String, FollowerRecord>,
    /// See [`crate::store::Followers::keep_after`].
    pub(in crate::store::memory) kept_after: Option<Cursor>,
    pub(in crate::store::memory) visits: Visits,
}

/// A stream with its log.
pub(in crate::store::memory) struct Entry {
    pub(in crate::store::memory) aggregate: Aggregate,
    pub(in crate::store::memory) log: Log,
    pub(in crate::store::memory) newest: Cursor,
}

impl MemoryStore {
    /// Creates an empty store that takes the time from `time_source`.
    pub fn new(retention: Retention, time_source: TimeSource) -> Self {
        Self { inner: Arc::default(), retention, time_source }
    }

    /// Creates an empty store on this machine's clock.
    pub fn on_system_clock(retention: Retention) -> Self {
        Self::new(retention, Arc::new(|| Timestamp::from_millis(chrono::Utc::now().timestamp_millis())))
    }

    /// Locks the state, and removes ended streams whose retention time is over.
    pub(in crate::store::memory) fn current(&self) -> (MutexGuard<'_, Inner>, Timestamp) {
        // A panic under the lock is a logged bug, and the state stays usable.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.time_source)();
        let is_expired = |kept: &Entry| {
            let stream = &kept.aggregate.stream;
            stream.status.is_final() && stream.updated_at.plus(self.retention.stopped) <= now
        };
        inner.streams.retain(|_, kept| !is_expired(kept));
        let streams = std::mem::take(&mut inner.streams);
        inner.rooms.retain(|_, id| streams.contains_key(id));
        inner.streams = streams;
        (inner, now)
    }
}

impl Entry {
    pub(in crate::store::memory) fn view(&self) -> StreamView {
        let mut shown = self.aggregate.shown().into_iter();
        let participants = shown.by_ref().take(MAX_LISTED_PARTICIPANTS).cloned().collect();
        StreamView::new(self.aggregate.stream.clone(), participants, shown.next().is_some(), self.newest)
    }
}

impl Inner {
    pub(in crate::store::memory) fn holds(&self, lease: &Lease, now: Timestamp) -> bool {
        self.leases.get(&lease.job).is_some_and(|state| state.is_held_by(lease, now))
    }

    pub(in crate::store::memory) fn live_owner(&self, room: &RoomName) -> Option<Stream> {
        let stream = &self.streams.get(self.rooms.get(room)?)?.aggregate.stream;
        (!stream.status.is_final()).then(|| stream.clone())
    }

    /// Returns the blocks of a stream.
    pub(in crate::store::memory) fn blocks(&self, id: StreamId) -> impl Iterator<Item = &Block> {
        self.streams.get(&id).into_iter().flat_map(|kept| kept.aggregate.blocks.values())
    }

    pub(in crate::store::memory) fn publish(
        &mut self,
        id: StreamId,
        drafts: Vec<Draft>,
        bounds: &LogBounds,
        now: Timestamp,
    ) {
        let (bounds_of_all, block) = (bounds.of_all_streams(), (bounds.max_bytes / TRIM_BLOCKS).max(1));
        for draft in drafts {
            let Some(kept) = self.streams.get_mut(&id) else { return };
            let cursor = self.newest.next(u64::try_from(now.as_millis()).unwrap_or_default());
            let event = Arc::new(Event {
                cursor,
                previous: kept.newest,
                previous_of_all: self.newest,
                timestamp: now,
                draft,
            });
            (kept.newest, self.newest) = (cursor, cursor);
            // An event always serializes.
            let size = serde_json::to_vec(&*event).map(|json| json.len()).unwrap_or_default();
            kept.log.append(&event, size, bounds, block, None);
            self.log.append(&event, size, &bounds_of_all, block, self.kept_after);
            self.connections.retain(|follower| follower.send(&event));
        }
    }
}
