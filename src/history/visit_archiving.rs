//! One term of the lease of an archiver: stores the log of ended visits, and removes from it what is stored.

use std::sync::Arc;

use super::{
    batch::Batch,
    error::HistoryError,
    failure::{Failure, Step, gap_at},
    records::{Gap, Log},
    store::{ArchiveOutcome, HistoryStore},
};
use crate::{
    domain::{Cursor, Partition},
    store::{FollowedPartition, StoreError, VisitPage},
};

/// Maximum number of visits in one batch.
const MAX_VISITS: usize = 500;

/// The state of one term.
pub(super) struct VisitArchiving {
    partition: Arc<dyn FollowedPartition>,
    number: Partition,
    store: Arc<dyn HistoryStore>,
    /// Position of the log in the database, which has none before the first visit; the outer `None` until it is read.
    position: Option<Option<Cursor>>,
    /// Maximum number of visits of the next batch: smaller after the database has refused a row, to find that row.
    limit: usize,
}

impl VisitArchiving {
    pub(super) fn new(
        partition: Arc<dyn FollowedPartition>,
        number: Partition,
        store: Arc<dyn HistoryStore>,
    ) -> Self {
        Self { partition, number, store, position: None, limit: MAX_VISITS }
    }

    /// Stores the next visits, or learns that there are none.
    ///
    /// Cancellation safe: visits of a cancelled step are stored by it or by a later one.
    pub(super) async fn step(&mut self) -> Result<Step, Failure> {
        let position = match self.position {
            Some(position) => position,
            None => self.store.position(self.number, Log::Visits).await?,
        };
        self.position = Some(position);
        match self.partition.visits_after(position, self.limit).await {
            Ok(Some(page)) => self.archive(position, page).await,
            Ok(None) => Ok(Step::UpToDate),
            Err(StoreError::Corrupt(_)) => Err(Failure::Unreadable),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores a page. If the database refuses a row, the next page is smaller, and at last a gap takes the place of the
    /// visit.
    async fn archive(&mut self, position: Option<Cursor>, page: VisitPage) -> Result<Step, Failure> {
        let (count, end) = (page.visits.len() + page.recordings.len(), page.end);
        let gap = page.lost.map(|(until, reason)| {
            let after = position.unwrap_or(Cursor::ORIGIN);
            Gap { after, until: until.max(after), reason }
        });
        let batch = Batch::of_visits(self.number, position, page.visits, end, gap);
        let batch = batch.with_recordings(page.recordings)?;
        match self.store_batch(&batch, gap).await {
            Err(Failure::Database(HistoryError::RowRefused(_))) if count > 1 => {
                self.limit = count / 2;
                Ok(Step::Divided)
            }
            Err(Failure::Database(error @ HistoryError::RowRefused(_))) => {
                tracing::error!(%error, cursor = %end, "visit not archived; a gap takes its place");
                let gap = gap_at(position, end);
                let batch = Batch::of_visits(self.number, position, [], end, Some(gap));
                self.store_batch(&batch, Some(gap)).await
            }
            stored => {
                self.limit = (2 * self.limit).min(MAX_VISITS);
                stored
            }
        }
    }

    async fn store_batch(&mut self, batch: &Batch, gap: Option<Gap>) -> Result<Step, Failure> {
        // Whether it is stored is unknown until the answer.
        self.position = None;
        if self.store.archive(batch).await? == ArchiveOutcome::Superseded {
            return Ok(Step::Stored);
        }
        self.position = Some(Some(batch.end()));
        self.partition.remove_visits_before(batch.end()).await?;
        Ok(gap.map_or(Step::Stored, Step::Gap))
    }
}
