//! What the merged log of all partitions needs of the log of each.

use async_trait::async_trait;

use super::{EventFeed, StoreError};
use crate::domain::Cursor;

/// A reading of the clock of a partition, with the newest event at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// Every event after the reading has a cursor of this time or of a later one, in milliseconds since 1970.
    pub millis: u64,
    /// Newest cursor; [`Cursor::ORIGIN`] if there is none.
    pub tail: Cursor,
    /// Cursor of the newest event before the floor, if the log holds one; [`Cursor::ORIGIN`] if none was requested.
    pub before_floor: Cursor,
}

/// Cursors of the newest events of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewestCursors {
    /// The cursors, newest first; fewer than requested if the log has no more.
    pub cursors: Vec<Cursor>,
    /// Cursor of the event before the oldest of them, which may have been trimmed.
    pub previous: Cursor,
}

/// The log of all streams of one partition.
///
/// # Errors
/// Every method returns [`StoreError::Unavailable`] after a bounded time without an answer.
#[async_trait]
pub trait PartitionLog: EventFeed {
    /// Raises the clock of the partition to a floor in milliseconds since 1970, and reads it.
    ///
    /// `finds_event` requests [`ClockReading::before_floor`].
    async fn advance_clock(&self, floor: u64, finds_event: bool) -> Result<ClockReading, StoreError>;

    /// Returns the cursors of the newest `count` events of all streams of the partition.
    async fn newest_cursors(&self, count: usize) -> Result<NewestCursors, StoreError>;
}
