//! Events that a log no longer holds, from where they are stored.

use async_trait::async_trait;

use crate::domain::{Cursor, EventKind, Partition, StreamId, Timestamp};

/// A stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastEvent {
    /// Position in the log of its stream and in the log of all streams.
    pub cursor: Cursor,
    /// A position that no other event of the read is between.
    pub previous: Cursor,
    /// The stream.
    pub stream_id: StreamId,
    /// Type of the event.
    pub kind: EventKind,
    /// The event's JSON.
    pub json: String,
}

impl PastEvent {
    /// Returns the time of the event, which is that of its cursor.
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.cursor.millis()).unwrap_or(i64::MAX))
    }
}

/// Result of a read of stored events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PastRead {
    /// The next events, oldest first; at least one.
    Events(Vec<PastEvent>),
    /// There are no events between the two positions, of which this is the second one.
    UpTo(Cursor),
    /// Later events are not stored yet.
    Behind,
    /// The next events are stored nowhere.
    Missing,
}

/// Error of [`PastEvents`]. The text names neither the database's address nor values of its rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored events not read: {0}")]
pub struct PastError(pub String);

/// The stored events of all partitions.
#[async_trait]
pub trait PastEvents: Send + Sync {
    /// Returns at most `limit` events of a partition after a position: those of all its streams, or of one.
    ///
    /// # Errors
    /// The database does not answer, or has refused.
    async fn past_events(
        &self,
        partition: Partition,
        stream: Option<StreamId>,
        after: Cursor,
        limit: u32,
        now: Timestamp,
    ) -> Result<PastRead, PastError>;
}
