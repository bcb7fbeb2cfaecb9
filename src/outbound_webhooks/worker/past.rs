//! What the logs have lost of an endpoint's events, from the history.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{Cursor, Partition, StreamId, Timestamp},
    followers::{PastError, PastEvents, PastRead},
    outbound_webhooks::backlog::QueuedEvent,
    store::{ResetReason, StoreError},
};

/// Maximum number of events of all streams that are read at once.
const PAGE: u32 = 250;
/// The same of one stream.
const STREAM_PAGE: u32 = 20;

/// Pause after a read of events that has failed.
pub(super) const READ_RETRY: Duration = Duration::from_secs(1);

/// Reads of what the log of all streams no longer holds.
#[derive(Default)]
pub(super) struct PastReading {
    /// Whether a read has not ended yet.
    pub(super) is_in_progress: bool,
    /// Time of the next read.
    pub(super) due: Timestamp,
}

/// Why events were not read.
#[derive(Debug, thiserror::Error)]
pub(in crate::outbound_webhooks) enum Error {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The history did not answer.
    #[error(transparent)]
    History(#[from] PastError),
    /// The history has not stored the events yet.
    #[error("the history has not stored the next events yet")]
    Behind,
}

impl Error {
    /// Returns the value of the metrics' label `kind`.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Store(_) => "store",
            Self::History(_) | Self::Behind => "database",
        }
    }
}

/// What follows a position.
pub(in crate::outbound_webhooks) enum Past {
    /// The next events.
    Events(Vec<QueuedEvent>),
    /// Nothing up to another position.
    UpTo(Cursor),
    /// What the history has not stored yet.
    Behind,
    /// Events that are lost.
    Missing(ResetReason),
}

/// Where the lost events of one partition are read; nowhere in a deployment without a history.
#[derive(Clone)]
pub(in crate::outbound_webhooks) struct Source {
    pub(in crate::outbound_webhooks) history: Option<Arc<dyn PastEvents>>,
    pub(in crate::outbound_webhooks) partition: Partition,
}

impl Source {
    /// Reports whether the history may have what a log has lost.
    pub(super) fn serves(&self, reason: ResetReason) -> bool {
        // What this version cannot parse in the log, it cannot parse in the history either.
        self.history.is_some() && reason != ResetReason::Unreadable
    }

    /// Reads what a log has lost after a position: the events of one stream, or of all streams of the partition.
    pub(super) async fn read(
        &self,
        stream: Option<StreamId>,
        after: Cursor,
        reason: ResetReason,
        now: Timestamp,
    ) -> Result<Past, PastError> {
        let history = self.history.as_ref().filter(|_| self.serves(reason));
        let Some(history) = history else { return Ok(Past::Missing(reason)) };
        let limit = if stream.is_some() { STREAM_PAGE } else { PAGE };
        Ok(match history.past_events(self.partition, stream, after, limit, now).await? {
            PastRead::Events(events) => Past::Events(events.into_iter().map(QueuedEvent::from).collect()),
            PastRead::UpTo(end) => Past::UpTo(end),
            PastRead::Behind => Past::Behind,
            PastRead::Missing => Past::Missing(reason),
        })
    }
}
