//! Work that becomes due with time: scheduled jobs, renewal of TTLs, removal of expired entries.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::StreamId;

/// A job whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduledJob {
    /// A `joining` entry of the stream has expired.
    ExpireJoining(StreamId),
    /// The stream has been empty for its idle time.
    StopIdle(StreamId),
    /// The operation lock of a stream in `creating` or `stopping` has expired or was released.
    ResumeOperation(StreamId),
}

impl ScheduledJob {
    /// Returns the stream that the job concerns.
    pub const fn stream_id(self) -> StreamId {
        let (Self::ExpireJoining(id) | Self::StopIdle(id) | Self::ResumeOperation(id)) = self;
        id
    }
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

/// Maintenance of the stored streams.
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

    /// Deletes a scheduled job without any check: the caller must know that the stream does not exist. Has no effect in
    /// the memory store, which computes jobs from its streams.
    async fn remove_job(&self, job: ScheduledJob) -> Result<(), StoreError>;

    /// Renews the TTLs of one page of live streams, and removes expired streams from the lists.
    async fn renew_and_prune(&self, limit: usize, after: Option<&str>) -> Result<Pruned, StoreError>;
}
