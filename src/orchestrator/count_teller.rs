//! Count teller: tells the numbers of active participants of counted streams when they are due.
//!
//! A change of a number is told at once if the stream's newest event is
//! [`COUNT_INTERVAL`](crate::store::COUNT_INTERVAL) old. Otherwise the store schedules it for that age, and any
//! instance tells it. A poll returns the time at which the next one is due, and the pause ends then. A number that is
//! scheduled after a poll is due within an interval, and the next poll is at most [`POLL_INTERVAL`] and [`MAX_JITTER`]
//! later. So a number is told 1.2 s after its change at the latest, plus the time of two calls. An idle service polls
//! once a second.
//!
//! A full batch is followed by the next one at once, unless all of its changes failed. A failed one is due again after
//! the interval, so that it does not hold up the others.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Change, StreamId},
    store::{Guard, PartitionStore, ScheduledJob, StoreError},
};

/// Maximum pause between two polls.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum of the random time that is added to each pause, so that mostly one instance tells what is due.
const MAX_JITTER: Duration = Duration::from_millis(200);
/// Maximum streams in one poll.
const BATCH: usize = 100;
/// Maximum concurrent changes.
const CONCURRENCY: usize = 8;

/// Tells due counts.
pub struct CountTeller {
    store: Arc<dyn PartitionStore>,
}

impl CountTeller {
    /// Creates a count teller of a partition.
    pub const fn new(partition: Arc<dyn PartitionStore>) -> Self {
        Self { store: partition }
    }

    /// Tells counts until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        loop {
            let next_in = self.tell_due().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "due participant counts not read");
                POLL_INTERVAL
            });
            if shutdown.run_until_cancelled(sleep(pause(next_in))).await.is_none() {
                return;
            }
        }
    }

    /// Tells the counts that are due, and returns the time until the next ones are: zero if more may be due now. A
    /// failed change is logged and postponed.
    ///
    /// # Errors
    /// Errors of the store when it lists the streams.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn tell_due(&self) -> Result<Duration, StoreError> {
        let due = self.store.due_counts(BATCH).await?;
        let is_full = due.streams.len() == BATCH;
        let attempts = stream::iter(due.streams).map(|id| self.tell(id)).buffer_unordered(CONCURRENCY);
        let has_told = attempts.fold(false, async |any, told| any || told).await;
        Ok(if is_full && has_told { Duration::ZERO } else { due.next_in.unwrap_or(POLL_INTERVAL) })
    }

    /// Tells the counts of one stream, or postpones them. Reports whether they are told.
    async fn tell(&self, id: StreamId) -> bool {
        let Err(error) = self.try_to_tell(id).await else { return true };
        tracing::warn!(%error, stream = %id, "participant counts not told; retrying");
        if let Err(error) = self.store.postpone_counts(id).await {
            tracing::debug!(%error, stream = %id, "participant counts not postponed");
        }
        false
    }

    async fn try_to_tell(&self, id: StreamId) -> Result<(), StoreError> {
        let told = match self.store.reference(id).await? {
            Some(stream) => self.store.apply(&stream, Change::TellCounts, Guard::default()).await.map(drop),
            None => Err(StoreError::NotFound),
        };
        match told {
            Err(StoreError::NotFound) => self.store.remove_job(ScheduledJob::TellCounts(id)).await,
            told => told,
        }
    }
}

/// Returns the pause before the next poll. There is none while more counts may be due.
fn pause(next_in: Duration) -> Duration {
    if next_in.is_zero() {
        return Duration::ZERO;
    }
    next_in.min(POLL_INTERVAL) + MAX_JITTER.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_is_bounded_and_absent_while_more_may_be_due() {
        assert_eq!(pause(Duration::ZERO), Duration::ZERO);
        for next_in in [Duration::from_millis(1), POLL_INTERVAL, Duration::from_secs(60)] {
            let expected = next_in.min(POLL_INTERVAL);
            assert!((expected..=expected + MAX_JITTER).contains(&pause(next_in)), "{next_in:?}");
        }
    }
}
