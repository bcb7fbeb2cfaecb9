//! What a step of archiving does, and why it fails.

use std::fmt;

use super::{error::HistoryError, records::Gap};
use crate::{
    domain::Cursor,
    store::{ResetReason, StoreError},
};

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Entries are stored, and the log may have more.
    Stored,
    /// Everything in the log is stored.
    UpToDate,
    /// The database refuses a row of the batch. Nothing is stored, and the next batch is smaller, to find the row.
    Divided,
    /// The log has lost entries that were not stored, or the database refuses one of them for good. The gap is stored,
    /// and archiving continues with what the log has.
    Gap(Gap),
}

/// Returns what takes the place of the entries after a position up to another, one of which the database refuses.
pub(super) fn gap_at(position: Option<Cursor>, until: Cursor) -> Gap {
    Gap { after: position.unwrap_or(Cursor::ORIGIN), until, reason: ResetReason::Unreadable }
}

/// Why a step has done nothing. The next one tries again.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The log was not read.
    Store(StoreError),
    /// The database has not stored the batch.
    Database(HistoryError),
    /// Entries were lost before they were stored.
    Lost(ResetReason),
    /// This version cannot parse an event.
    Unreadable,
}

impl Failure {
    /// Returns the value of the metrics' label `kind`.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Store(_) => "store",
            Self::Database(_) => "database",
            Self::Lost(_) => "lost",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "the log was not read: {error}"),
            Self::Database(error) => error.fmt(f),
            Self::Lost(reason) => write!(f, "the log has lost entries: {}", reason.as_str()),
            Self::Unreadable => f.write_str("the log has an event that this version cannot parse"),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        Self::Database(error)
    }
}
