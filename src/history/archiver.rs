//! Stores the logs of one partition, while this instance has the lease.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    archiving::Archiving,
    failure::{Failure, Step},
    records::Log,
    store::HistoryStore,
    visit_archiving::VisitArchiving,
};
use crate::{
    domain::Partition,
    followers::{LagGauges, LeasedJob, POLL_INTERVAL, giving_way, run_while_leased},
    store::{FollowedPartition, Job, Lease},
    telemetry::Metrics,
};

/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// Interval at which the log of visits is read while it has no further visits.
const VISIT_INTERVAL: Duration = Duration::from_secs(1);

/// Interval of the search for expired streams.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// Pause after a failed removal.
const PRUNE_RETRY: Duration = Duration::from_secs(30);

/// Archiver of one partition.
pub(super) struct Archiver {
    partition: Arc<dyn FollowedPartition>,
    number: Partition,
    store: Arc<dyn HistoryStore>,
    metrics: Arc<Metrics>,
    lag: LagGauges,
    /// Time after which streams are removed from the database; `None` for never.
    retention: Option<Duration>,
}

impl Archiver {
    pub(super) fn new(
        partition: Arc<dyn FollowedPartition>,
        number: Partition,
        store: Arc<dyn HistoryStore>,
        metrics: Arc<Metrics>,
        retention: Option<Duration>,
    ) -> Self {
        let lag = LagGauges::new(metrics.clone(), Job::Archive, number);
        Self { partition, number, store, metrics, lag, retention }
    }

    /// Stores whenever this instance has the lease, until `shutdown`.
    pub(super) async fn run(&self, shutdown: CancellationToken) {
        run_while_leased(self, &*self.partition, &shutdown).await;
    }

    /// Counts a failure, and logs it unless the step before has failed in the same way.
    fn report(&self, log: Log, failure: &Failure, last: &mut Option<&'static str>) {
        let (partition, kind, log) = (self.number.number(), failure.kind(), log.as_str());
        self.metrics.follower_failures.with_label_values(&[Job::Archive.as_str(), kind]).inc();
        if last.replace(kind) == Some(kind) {
            tracing::debug!(%failure, partition, log, "log not archived; retrying");
        } else {
            tracing::warn!(%failure, partition, log, "log not archived; retrying");
        }
    }

    /// Returns the pause before the next step; `None` if another instance may succeed where this one fails.
    fn pause_after(
        &self,
        log: Log,
        step: Result<Step, Failure>,
        last: &mut Option<&'static str>,
    ) -> Option<Duration> {
        match step {
            Ok(Step::UpToDate) => *last = None,
            Ok(Step::Stored | Step::Divided) => {
                *last = None;
                return Some(Duration::ZERO);
            }
            Ok(Step::Gap(gap)) => self.report(log, &Failure::Lost(gap.reason), last),
            Err(failure) => {
                self.report(log, &failure, last);
                return (!matches!(failure, Failure::Unreadable)).then_some(RETRY);
            }
        }
        Some(if log == Log::Events { POLL_INTERVAL } else { VISIT_INTERVAL })
    }

    async fn archive_events(&self, ended: &CancellationToken) {
        let mut archiving = Archiving::new(self.partition.clone(), self.number, self.store.clone());
        let mut last = None;
        // Cancelling a step is safe: its transaction then has happened or not, and the position says which.
        while let Some(step) = ended.run_until_cancelled(archiving.step()).await {
            let pause = self.pause_after(Log::Events, step, &mut last);
            self.lag.show(Some(archiving.lag().await));
            if !has_waited(pause, ended).await {
                break;
            }
        }
    }

    async fn archive_visits(&self, ended: &CancellationToken) {
        let mut archiving = VisitArchiving::new(self.partition.clone(), self.number, self.store.clone());
        let mut last = None;
        while let Some(step) = ended.run_until_cancelled(archiving.step()).await {
            let pause = self.pause_after(Log::Visits, step, &mut last);
            if !has_waited(pause, ended).await {
                break;
            }
        }
    }

    /// Removes expired streams of all partitions, on the instance that has the lease of the first one.
    async fn prune(&self, ended: &CancellationToken) {
        let Some(retention) = self.retention.filter(|_| self.number == Partition::FIRST) else {
            return ended.cancelled().await;
        };
        while has_waited(Some(self.prune_once(retention).await), ended).await {}
    }

    /// Returns the pause before the next call.
    async fn prune_once(&self, retention: Duration) -> Duration {
        let pruned = match self.partition.now().await {
            Ok(now) => self.store.prune(now.minus(retention)).await.map_err(Failure::from),
            Err(error) => Err(error.into()),
        };
        match pruned {
            Ok(true) => Duration::ZERO,
            Ok(false) => PRUNE_INTERVAL,
            Err(failure) => {
                tracing::warn!(%failure, "expired streams not removed from the history; retrying");
                PRUNE_RETRY
            }
        }
    }
}

/// Waits for a pause. Returns false if the term ends instead.
async fn has_waited(pause: Option<Duration>, ended: &CancellationToken) -> bool {
    let Some(pause) = pause else { return false };
    ended.run_until_cancelled(sleep(pause)).await.is_some()
}

#[async_trait]
impl LeasedJob for Archiver {
    fn job(&self) -> Job {
        Job::Archive
    }

    /// Ends early at an entry that this version cannot parse, so that an instance of a newer version may continue.
    async fn run(&self, _lease: Lease, ended: CancellationToken) {
        tokio::select! {
            () = giving_way(self.archive_events(&ended)) => {}
            () = self.archive_visits(&ended) => {}
            () = self.prune(&ended) => {}
        }
        self.lag.show(None);
    }
}
