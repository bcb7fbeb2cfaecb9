//! Storage of streams, and the feed of their events.
//!
//! Two backends implement the same traits and pass the same tests (`tests/contract/`): [`redis`] for production and
//! [`memory`] for dev mode.

mod coordination;
mod error;
mod feed;
mod filters;
mod idempotency;
pub mod log;
mod maintenance;
pub mod memory;
mod rate_limit;
pub mod redis;
pub mod snapshot;
mod state_with_json;
mod streams;

use std::time::Duration;

pub use self::{
    coordination::{Clock, Lease, Leases, ListingHistory, ProbeWebhooks, RoomNameLocks},
    error::StoreError,
    feed::{
        EventFeed, FeedConnection, FeedMessage, LivePage, LogRead, ResetReason, Snapshot, SnapshotContent,
    },
    filters::{KindFilter, Page, ParticipantFilter, StreamFilter, UnknownKind},
    idempotency::{
        Attempt, BeginOutcome, DedupKey, IDEMPOTENCY_TTL, IdempotencyStore, MAX_LIVE_KEYS, PreviousAttempt,
        RequestKey,
    },
    maintenance::{Maintenance, Pruned, ScheduledJob},
    rate_limit::{RateLimit, RateLimitDecision, RateLimitStore},
    state_with_json::{SharedState, StateWithJson},
    streams::{Applied, CreateOutcome, Guard, StreamStore, Totals},
};

/// Minimum number of events that a stream's log holds.
pub const STREAM_LOG_LENGTH: usize = 1_000;
/// Minimum number of events that the log of all streams holds.
pub const ALL_LOG_LENGTH: usize = 10_000;

/// Approximate size of one page of a log: a page ends with the batch of events that exceeds it.
///
/// A number of events alone bounds nothing, because each event may carry 60 KB of metadata.
pub const LOG_PAGE_BYTES: usize = 1024 * 1024;

/// Maximum number of streams in one page of the live streams.
///
/// A page of streams with the largest metadata has 6 MB, which occupies Redis for about 3 ms.
pub const LIVE_PAGE: usize = 100;

/// Configured retention times.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// TTL of a live stream's keys, renewed by every change.
    pub live: Duration,
    /// How long an ended stream can be read.
    pub stopped: Duration,
    /// How long a join token may be valid after its stream has ended.
    pub tokens: Duration,
}

/// Everything that the use cases need of a store.
pub trait Store:
    StreamStore + Clock + Leases + RoomNameLocks + ListingHistory + ProbeWebhooks + Maintenance
{
}

impl<S> Store for S where
    S: StreamStore + Clock + Leases + RoomNameLocks + ListingHistory + ProbeWebhooks + Maintenance + ?Sized
{
}
