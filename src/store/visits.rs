//! The log of ended visits of one partition.

use async_trait::async_trait;

use super::{ResetReason, StoreError};
use crate::domain::{Cursor, Egress, StreamId, Visit};

/// Entry of the log of visits.
#[derive(Clone, Debug, PartialEq)]
pub enum VisitLogEntry {
    /// Ended visit.
    Visit(Visit),
    /// Recording that has changed after the end of its stream. No event has this state.
    Recording(StreamId, Box<Egress>),
}

/// A page of the log of visits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VisitPage {
    /// The visits, in the order in which they ended.
    pub visits: Vec<Visit>,
    /// Recordings as they changed after the end of their streams, oldest change first.
    pub recordings: Vec<(StreamId, Egress)>,
    /// Position after the page.
    pub end: Cursor,
    /// Visits that the log has lost before the page: the position before the oldest visit that it has, and the reason.
    pub lost: Option<(Cursor, ResetReason)>,
}

impl VisitPage {
    /// Makes the page of these entries.
    pub(super) fn of(
        entries: impl IntoIterator<Item = VisitLogEntry>,
        end: Cursor,
        lost: Option<(Cursor, ResetReason)>,
    ) -> Self {
        let mut page = Self { end, lost, ..Self::default() };
        for entry in entries {
            match entry {
                VisitLogEntry::Visit(visit) => page.visits.push(visit),
                VisitLogEntry::Recording(stream, recording) => page.recordings.push((stream, *recording)),
            }
        }
        page
    }
}

/// The log of ended visits, with [`Retention::keeps_visits`](super::Retention::keeps_visits). Each change that ends
/// visits appends them in the same step. So does each change of a recording after the end of its stream.
///
/// # Errors
/// Every method returns [`StoreError::Unavailable`] after a bounded time without an answer.
#[async_trait]
pub trait VisitLog: Send + Sync {
    /// Returns at most `limit` entries after a position, or the oldest ones: for `None`, and if the log cannot continue
    /// from the position. Returns `None` while there are none.
    async fn visits_after(
        &self,
        position: Option<Cursor>,
        limit: usize,
    ) -> Result<Option<VisitPage>, StoreError>;

    /// Removes the entries before a position, which are stored elsewhere. The entry of the position stays, so that the
    /// log continues from it.
    async fn remove_visits_before(&self, position: Cursor) -> Result<(), StoreError>;
}

/// Returns why a log whose oldest entry follows `previous` cannot continue from a position.
pub(super) fn lost_before(previous: Cursor, position: Cursor) -> (Cursor, ResetReason) {
    (previous, if position < previous { ResetReason::Expired } else { ResetReason::Unknown })
}
