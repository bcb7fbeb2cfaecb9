//! What the merged log of all partitions needs of the log of each.

use async_trait::async_trait;

use super::{EventFeed, LogRead, StoreError, log::LogFacts};
use crate::domain::{Cursor, Topic};

/// A reading of the clock of a partition, with the newest event at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// Every event after the reading has a cursor of this time or of a later one, in milliseconds since 1970.
    pub millis: u64,
    /// Newest cursor; [`Cursor::ORIGIN`] if there is none.
    pub tail: Cursor,
    /// Cursor of the newest event before the floor, if the log holds one; [`Cursor::ORIGIN`] if none was requested.
    pub before_floor: Cursor,
    /// Clients of all streams that resume from an earlier cursor may have seen events that the partition has lost.
    pub lost_until: Cursor,
}

/// Cursors of the newest events of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewestCursors {
    /// The cursors, newest first; fewer than requested if the log has no more.
    pub cursors: Vec<Cursor>,
    /// Cursor of the event before the oldest of them, which may have been trimmed.
    pub previous: Cursor,
}

/// Bounds of a page of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Maximum number of events.
    pub limit: usize,
    /// Size in bytes: the page ends with the batch of events that exceeds it.
    pub max_bytes: usize,
    /// Whether the page is read also after a cursor that the log may not continue from.
    pub reads_always: bool,
}

impl PageRequest {
    /// Reads no event.
    pub const FACTS: Self = Self { limit: 0, max_bytes: 0, reads_always: false };
}

/// The logs of one partition.
///
/// # Errors
/// Every method returns [`StoreError::Unavailable`] after a bounded time without an answer.
#[async_trait]
pub trait PartitionLog: EventFeed {
    /// Returns the facts about a cursor, and the page after it; `None` if it was not read. The page is a reset if an
    /// event of it cannot be parsed.
    async fn read_page(
        &self,
        topic: Topic,
        after: Cursor,
        request: PageRequest,
    ) -> Result<(LogFacts, Option<LogRead>), StoreError>;

    /// Raises the clock of the partition to a floor in milliseconds since 1970, and reads it.
    ///
    /// `finds_event` requests [`ClockReading::before_floor`].
    async fn advance_clock(&self, floor: u64, finds_event: bool) -> Result<ClockReading, StoreError>;

    /// Records that the partition has lost events, so that clients of all streams do not resume from a cursor before
    /// `until`.
    async fn record_loss(&self, until: Cursor) -> Result<(), StoreError>;

    /// Returns the cursors of the newest `count` events of all streams of the partition.
    async fn newest_cursors(&self, count: usize) -> Result<NewestCursors, StoreError>;
}
