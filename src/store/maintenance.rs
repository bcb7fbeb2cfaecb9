//! Work that becomes due with time: scheduled jobs, renewal of TTLs, removal of expired entries.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{RoomName, StreamId};

/// A job whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduledJob {
    /// A `joining` entry of the stream has expired.
    ExpireJoining(StreamId),
    /// A block of the stream has expired.
    ExpireBlocks(StreamId),
    /// The stream has been empty for its idle time.
    StopIdle(StreamId),
    /// The operation lock of a stream in `creating` or `stopping` has expired or was released.
    ResumeOperation(StreamId),
    /// The counts of the stream are not told. See [`Maintenance::due_counts`].
    TellCounts(StreamId),
}

impl ScheduledJob {
    /// Returns the stream that the job concerns.
    pub const fn stream_id(self) -> StreamId {
        let (Self::ExpireJoining(id)
        | Self::ExpireBlocks(id)
        | Self::StopIdle(id)
        | Self::ResumeOperation(id)
        | Self::TellCounts(id)) = self;
        id
    }
}

/// Counted streams whose counts are to be told by [`Change::TellCounts`](crate::domain::Change::TellCounts).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueCounts {
    /// Streams whose time has come.
    pub streams: Vec<StreamId>,
    /// Time until the next one is due; `None` if none is scheduled.
    pub next_in: Option<Duration>,
}

/// What [`Maintenance::renew_and_prune`] did with one page of streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Number of streams whose TTL was renewed.
    pub renewed: u64,
    /// Number of expired streams that were removed from the lists.
    pub removed: u64,
    /// Start position of the next page; `None` after the last page.
    pub next: Option<String>,
}

/// Maintenance of the streams of a partition.
///
/// # Errors
/// Every method returns [`StoreError::Unavailable`] after a bounded time without an answer.
#[async_trait]
pub trait Maintenance: Send + Sync {
    /// Returns at most `limit` jobs that are due; in Redis the longest overdue first. A job stays scheduled until a
    /// change or [`Self::remove_job`] removes it, so several instances may get the same job.
    ///
    /// The Redis store also removes ended streams from the lists after their retention.
    async fn scheduled_jobs(&self, limit: usize) -> Result<Vec<ScheduledJob>, StoreError>;

    /// Returns at most `limit` streams whose counts are due; in Redis the longest overdue first. They are in an index
    /// of their own, because they are due within a second, and must not wait for jobs that call LiveKit.
    async fn due_counts(&self, limit: usize) -> Result<DueCounts, StoreError>;

    /// Makes counts that could not be told due again after [`Retention::count_interval`](super::Retention), so that
    /// streams whose changes fail do not fill every page of [`Self::due_counts`]. Has no effect in the memory store,
    /// where these changes do not fail.
    async fn postpone_counts(&self, id: StreamId) -> Result<(), StoreError>;

    /// Deletes a scheduled job without any check: the caller must know that the stream does not exist. Has no effect in
    /// the memory store, which computes jobs from its streams.
    async fn remove_job(&self, job: ScheduledJob) -> Result<(), StoreError>;

    /// Returns a page of room names of ended streams for which a join token may still be valid. Names that expire
    /// between two calls shift the offsets, so a listing may skip names.
    async fn closed_rooms(&self, limit: usize, offset: usize) -> Result<Vec<RoomName>, StoreError>;

    /// Renews the TTLs of one page of live streams, and removes expired streams from the lists.
    async fn renew_and_prune(&self, limit: usize, after: Option<&str>) -> Result<Pruned, StoreError>;
}
