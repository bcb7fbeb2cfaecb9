//! Storage of streams, and the feed of their events.
//!
//! Two backends implement the same traits and pass the same tests (`tests/contract/`): [`redis`] for production and
//! [`memory`] for dev mode.

mod coordination;
mod error;
mod feed;
mod filters;
mod followers;
mod idempotency;
pub mod log;
mod maintenance;
pub mod memory;
mod partition_log;
mod partitioned;
mod rate_limit;
pub mod redis;
mod retention;
pub mod snapshot;
pub mod snapshot_of_stream;
mod state_with_json;
mod streams;
mod visits;
mod webhook_endpoints;

pub use self::{
    coordination::{Clock, Job, Lease, Leases, ListingHistory, ProbeWebhooks, RoomNameLocks},
    error::StoreError,
    feed::{
        EventFeed, FeedConnection, FeedMessage, LivePage, LogRead, ParticipantsPage, ResetReason, Snapshot,
        SnapshotContent, Source,
    },
    filters::{KindFilter, Listed, Page, ParticipantFilter, StreamFilter, UnknownKind},
    followers::{FollowerChange, FollowerRecord, Followers, SaveOutcome},
    idempotency::{
        Attempt, BeginOutcome, DedupKey, FAILURE_TTL, IDEMPOTENCY_TTL, IdempotencyStore, MAX_LIVE_KEYS,
        MAX_LIVE_KEYS_OF_VIEWER, PreviousAttempt, RequestChange, RequestChanges, RequestKey,
    },
    maintenance::{DueCounts, Maintenance, Pruned, ScheduledJob},
    partition_log::{ClockReading, NewestCursors, PageRequest, PartitionLog},
    partitioned::{PartitionBackend, PartitionedStore},
    rate_limit::{RateLimit, RateLimitDecision, RateLimitStore},
    retention::{
        ALL_LOG_BYTES_FACTOR, ALL_LOG_EVENTS_FACTOR, ALL_LOG_LENGTH, COUNT_INTERVAL, LogBounds,
        REMOVAL_GRACE, Retention, STREAM_LOG_LENGTH, TRIM_BLOCKS,
    },
    state_with_json::{SharedState, StateWithJson},
    streams::{Applied, CreateOutcome, Guard, StreamStore, Totals},
    visits::{VisitLog, VisitLogEntry, VisitPage},
    webhook_endpoints::{EndpointRecords, ReplaceOutcome, WebhookEndpoints},
};

/// Approximate size of one page of a log: a page ends with the batch of events that exceeds it.
///
/// A number of events alone bounds nothing, because each event may carry 60 KB of metadata.
pub const LOG_PAGE_BYTES: usize = 1024 * 1024;

/// Maximum number of streams in one page of the live streams.
///
/// A page of streams with the largest metadata has 6 MB, which occupies Redis for about 3 ms.
pub const LIVE_PAGE: usize = 100;

/// Approximate size of the entries in one page of a list, and of the participants in one view. The store reads the
/// entries in batches and stops before this size is exceeded.
pub const PAGE_BYTES: usize = 1024 * 1024;

/// Approximate size of the events that one call reads only to find a position in a log.
///
/// No caller gets these events, so a smaller call costs round trips of this service only. Beside 200 clients on two
/// cores, a call of [`PAGE_BYTES`] once took more than 10 ms.
pub const SCAN_BYTES: usize = PAGE_BYTES / 4;

/// Everything that the use cases need of a store, whatever number of partitions it has.
pub trait Store: StreamStore + RoomNameLocks + ProbeWebhooks {}

impl<S> Store for S where S: StreamStore + RoomNameLocks + ProbeWebhooks + ?Sized {}

/// Everything that the background jobs need of one partition of a store.
pub trait PartitionStore: Store + Clock + Leases + ListingHistory + Maintenance {}

impl<S> PartitionStore for S where S: Store + Clock + Leases + ListingHistory + Maintenance + ?Sized {}

/// Everything that a job that follows the log of one partition needs of it.
pub trait FollowedPartition: EventFeed + Clock + Leases + Followers + VisitLog {}

impl<S> FollowedPartition for S where S: EventFeed + Clock + Leases + Followers + VisitLog + ?Sized {}
