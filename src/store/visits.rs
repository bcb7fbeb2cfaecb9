//! The log of ended visits of one partition.

use async_trait::async_trait;

use super::{ResetReason, StoreError};
use crate::domain::{Cursor, Visit};

/// A page of the log of visits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitPage {
    /// The visits, in the order in which they ended.
    pub visits: Vec<Visit>,
    /// Position after the page.
    pub end: Cursor,
    /// Visits that the log has lost before the page: the position before the oldest visit that it has, and the reason.
    pub lost: Option<(Cursor, ResetReason)>,
}

/// The log of ended visits, with [`Retention::keeps_visits`](super::Retention::keeps_visits). Each change that ends
/// visits appends them in the same step.
///
/// # Errors
/// Every method returns [`StoreError::Unavailable`] after a bounded time without an answer.
#[async_trait]
pub trait VisitLog: Send + Sync {
    /// Returns at most `limit` visits after a position, or the oldest ones: for `None`, and if the log cannot continue
    /// from the position. Returns `None` while there are none.
    async fn visits_after(
        &self,
        position: Option<Cursor>,
        limit: usize,
    ) -> Result<Option<VisitPage>, StoreError>;

    /// Removes the visits before a position, which are stored elsewhere. The visit of the position stays, so that the
    /// log continues from it.
    async fn remove_visits_before(&self, position: Cursor) -> Result<(), StoreError>;
}

/// Returns why a log whose oldest entry follows `previous` cannot continue from a position.
pub(super) fn lost_before(previous: Cursor, position: Cursor) -> (Cursor, ResetReason) {
    (previous, if position < previous { ResetReason::Expired } else { ResetReason::Unknown })
}
