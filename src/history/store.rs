//! The database of the history.

use async_trait::async_trait;

use super::{
    batch::Batch,
    error::HistoryError,
    records::{EventRecord, Gap, Log, RowLimit, Rows, StreamRecord, StreamSelection, ViewerStep, WatchTimes},
};
use crate::domain::{Cursor, Identity, ParticipantSid, Partition, StreamId, Timestamp, Visit};

/// Result of [`HistoryStore::archive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveOutcome {
    /// The whole batch is stored.
    Stored,
    /// Nothing of the batch is stored, because the log has another position than the batch begins at.
    Superseded,
}

/// What the command `check` learns about a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseInfo {
    /// Name and version of the database.
    pub version: String,
    /// Newest migration of the database; 0 without a schema.
    pub migrations: i64,
    /// Newest migration of this program.
    pub known: i64,
    /// True if the user may create tables.
    pub may_create: bool,
}

/// The history. Each method is one transaction.
///
/// # Errors
/// Every method returns [`HistoryError::Unavailable`] after a bounded time without an answer.
#[async_trait]
pub trait HistoryStore: Send + Sync {
    /// Returns the kind of the database.
    fn kind(&self) -> &'static str;

    /// Examines the database without a change of it.
    ///
    /// # Errors
    /// [`HistoryError::SchemaNewer`] for a schema that this program must not use.
    async fn examine(&self) -> Result<DatabaseInfo, HistoryError>;

    /// Brings the schema to the one of this program. Several instances may do so at once.
    ///
    /// # Errors
    /// [`HistoryError::SchemaNewer`] or [`HistoryError::SchemaDiffers`] for a schema that this program must not use.
    async fn migrate(&self) -> Result<(), HistoryError>;

    /// Returns the position up to which a log of a partition is stored; `None` if nothing of it is.
    async fn position(&self, partition: Partition, log: Log) -> Result<Option<Cursor>, HistoryError>;

    /// Stores a batch, if the position of its log is the one that the batch follows. Rows that are stored already stay
    /// as they are, except that a later end of a visit or state of a recording replaces the earlier one.
    async fn archive(&self, batch: &Batch) -> Result<ArchiveOutcome, HistoryError>;

    /// Returns a page of streams, the newest first: those before a stream of this time of creation and this id, or the
    /// first ones.
    async fn streams(
        &self,
        selection: &StreamSelection,
        before: Option<(Timestamp, StreamId)>,
        limit: RowLimit,
    ) -> Result<Rows<StreamRecord>, HistoryError>;

    /// Returns a stream; `None` if none of its events is stored.
    async fn stream(&self, id: StreamId) -> Result<Option<StreamRecord>, HistoryError>;

    /// Returns a page of the events of a stream after a position, oldest first.
    async fn events(
        &self,
        id: StreamId,
        after: Cursor,
        limit: RowLimit,
    ) -> Result<Rows<EventRecord>, HistoryError>;

    /// Returns a page of the events of all streams of a partition after a position, oldest first.
    async fn events_of_partition(
        &self,
        partition: Partition,
        after: Cursor,
        limit: RowLimit,
    ) -> Result<Rows<EventRecord>, HistoryError>;

    /// Returns the numbers of viewers in the steps of `step_ms` milliseconds from a time on, for steps with events.
    async fn viewer_steps(
        &self,
        id: StreamId,
        from: Timestamp,
        step_ms: i64,
    ) -> Result<Vec<ViewerStep>, HistoryError>;

    /// Returns how long the persons of a stream were connected.
    async fn watch_times(&self, id: StreamId) -> Result<WatchTimes, HistoryError>;

    /// Returns a page of the visits of a stream, by the time of the connection and by `sid`: those after a visit with
    /// these two values, or the first ones.
    async fn visits(
        &self,
        id: StreamId,
        after: Option<(Timestamp, ParticipantSid)>,
        limit: RowLimit,
    ) -> Result<Rows<Visit>, HistoryError>;

    /// Returns the JSON of the recordings of a stream in their newest states, oldest recording first.
    async fn recordings(&self, id: StreamId, limit: RowLimit) -> Result<Rows<String>, HistoryError>;

    /// Removes a part of a stream that ended, or had its newest event, before a time, or of what was stored of such a
    /// stream after its removal. Returns false if there is neither.
    async fn prune(&self, before: Timestamp) -> Result<bool, HistoryError>;

    /// Erases a person from one stream: replaces the identity by one that is random for the stream, and removes its
    /// names, metadata and attributes. Returns false if no stream names the person. A failed call can be repeated.
    async fn erase(&self, identity: &Identity) -> Result<bool, HistoryError>;

    /// Returns the gaps of a log of a partition, oldest first.
    async fn gaps(&self, partition: Partition, log: Log) -> Result<Vec<Gap>, HistoryError>;
}
