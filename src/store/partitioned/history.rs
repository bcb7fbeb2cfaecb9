//! What the merged feed of this instance has received, over all its connections.
//!
//! A failover may lose events of one partition. The cursor of a client of all streams is that of one event, which need
//! not be of that partition, so it does not show the loss. The positions in all partitions do.

use std::sync::{Mutex, PoisonError};

use crate::{
    domain::{Cursor, Topic},
    store::{
        LogRead, ResetReason,
        log::{LogFacts, reset_reason},
    },
};

/// Positions of the merged feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Positions {
    /// Newest event that was received from each partition.
    pub(super) received: Vec<Cursor>,
    /// Newest event that was passed on.
    pub(super) passed: Cursor,
}

/// The positions at the end of the last connection.
#[derive(Default)]
pub(super) struct History(Mutex<Positions>);

impl History {
    pub(super) fn save(&self, positions: Positions) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = positions;
    }

    pub(super) fn positions(&self) -> Positions {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reports whether a partition has lost an event that was received, or has added one before those that were passed on.
/// `page` is the log after the last event that was received from the partition.
pub(super) fn is_changed(received: Cursor, passed: Cursor, facts: &LogFacts, page: Option<&LogRead>) -> bool {
    let reason = reset_reason(Topic::All, received, facts);
    let is_lost = matches!(reason, Some(ResetReason::Future | ResetReason::Unknown));
    let first = match page {
        Some(LogRead::Events { events, .. }) => events.first(),
        _ => None,
    };
    is_lost || (reason.is_none() && first.is_some_and(|event| event.cursor <= passed))
}
