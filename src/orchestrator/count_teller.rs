//! Count teller: tells the numbers of active participants of counted streams when they are due.
//!
//! A change of a number is told at once if the stream's newest event is
//! [`COUNT_INTERVAL`](crate::store::COUNT_INTERVAL) old. Otherwise the store schedules it for that age, and any
//! instance tells it. A poll returns the time at which the next one is due, and the pause ends then. A number that is
//! scheduled after a poll is due within an interval, and the next poll is at most [`POLL_INTERVAL`] and [`MAX_JITTER`]
//! later. So a number is told 1.2 s after its change at the latest, plus the time of two calls. An idle service polls
//! once a second.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::service::Orchestrator;
use crate::{
    domain::{Change, StreamId},
    store::{Guard, ScheduledJob, Store, StoreError},
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
    store: Arc<dyn Store>,
}

impl CountTeller {
    /// Creates a count teller.
    pub fn new(orchestrator: &Orchestrator) -> Self {
        Self { store: orchestrator.store.clone() }
    }

    /// Tells counts until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        loop {
            let next_in = self.tell_due().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "due participant counts not read");
                POLL_INTERVAL
            });
            let pause = next_in.min(POLL_INTERVAL) + MAX_JITTER.mul_f64(fastrand::f64());
            if shutdown.run_until_cancelled(sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Tells the counts that are due, and returns the time until the next ones are. A failed change is logged and stays
    /// scheduled.
    ///
    /// # Errors
    /// Errors of the store when it lists the streams.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn tell_due(&self) -> Result<Duration, StoreError> {
        let due = self.store.due_counts(BATCH).await?;
        let is_full = due.streams.len() == BATCH;
        stream::iter(due.streams).for_each_concurrent(CONCURRENCY, |id| self.tell(id)).await;
        Ok(if is_full { Duration::ZERO } else { due.next_in.unwrap_or(POLL_INTERVAL) })
    }

    async fn tell(&self, id: StreamId) {
        if let Err(error) = self.try_to_tell(id).await {
            tracing::warn!(%error, stream = %id, "participant counts not told; retrying");
        }
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
