//! The history of one instance: its schema, its archivers, and whether its database answers.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{sync::Semaphore, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{archiver::Archiver, error::HistoryError, records::Log, store::HistoryStore};
use crate::{
    domain::{Partition, Partitioning},
    store::FollowedPartition,
    telemetry::Metrics,
};

/// Interval of the probes of the database.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum number of reads at once. Fewer than the connections of a database, because the archivers need some.
const MAX_READS: usize = 4;
/// Pause after a migration that the database did not answer.
const RETRY: Duration = Duration::from_secs(2);

/// The history of this instance.
pub struct History {
    pub(super) store: Arc<dyn HistoryStore>,
    /// Permits of reads at callers' requests.
    pub(super) reads: Semaphore,
    /// The partitions whose logs are stored; empty before [`Self::run`].
    pub(super) partitions: OnceLock<Vec<(Partition, Arc<dyn FollowedPartition>)>>,
    metrics: Arc<Metrics>,
    /// See `HISTORY_RETENTION`; `None` for no limit.
    pub(super) retention: Option<Duration>,
    is_up: AtomicBool,
    is_prepared: AtomicBool,
}

impl History {
    /// Connects to nothing. Streams are removed from the database when their end is `retention` ago.
    pub fn new(store: Arc<dyn HistoryStore>, retention: Option<Duration>, metrics: Arc<Metrics>) -> Self {
        let (is_up, is_prepared) = (AtomicBool::new(false), AtomicBool::new(false));
        let (reads, partitions) = (Semaphore::new(MAX_READS), OnceLock::new());
        let history = Self { store, reads, partitions, metrics, retention, is_up, is_prepared };
        history.record(false);
        history
    }

    /// Returns the kind of the database, as `/health` shows it.
    pub fn kind(&self) -> &'static str {
        self.store.kind()
    }

    /// Reports whether the database has answered the last probe, which is at most a few seconds old.
    pub fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    /// Reports whether the database has the schema of this program.
    pub(super) fn is_prepared(&self) -> bool {
        self.is_prepared.load(Ordering::Relaxed)
    }

    /// Brings the schema to the one of this program, and repeats that while the database does not answer. Ends at once
    /// at `shutdown` and then returns false. Cancellation safe.
    ///
    /// # Errors
    /// [`HistoryError::SchemaNewer`] or [`HistoryError::SchemaDiffers`]: this program must not use the database.
    pub async fn prepare(&self, shutdown: &CancellationToken) -> Result<bool, HistoryError> {
        match shutdown.run_until_cancelled(self.migrate()).await {
            Some(migrated) => migrated.map(|()| true),
            None => Ok(false),
        }
    }

    async fn migrate(&self) -> Result<(), HistoryError> {
        loop {
            match self.store.migrate().await {
                Ok(()) => {
                    self.is_prepared.store(true, Ordering::Relaxed);
                    self.record(true);
                    return Ok(());
                }
                Err(error @ (HistoryError::SchemaNewer { .. } | HistoryError::SchemaDiffers(_))) => {
                    return Err(error);
                }
                Err(error) => tracing::warn!(%error, "schema of the history not checked; retrying"),
            }
            sleep(RETRY).await;
        }
    }

    /// Archives the log of every partition while this instance has its lease, and probes the database, until
    /// `shutdown`, which no answer of the database delays. The caller has awaited [`Self::prepare`].
    pub async fn run(
        &self,
        partitioning: Partitioning,
        partitions: Vec<Arc<dyn FollowedPartition>>,
        shutdown: CancellationToken,
    ) {
        let partitions = self.partitions.get_or_init(|| partitioning.all().zip(partitions).collect());
        let archivers = partitions.iter().map(|(number, partition)| {
            let (store, metrics) = (self.store.clone(), self.metrics.clone());
            Archiver::new(partition.clone(), *number, store, metrics, self.retention)
        });
        let archivers: Vec<_> = archivers.collect();
        let archiving = join_all(archivers.iter().map(|archiver| archiver.run(shutdown.clone())));
        tokio::join!(archiving, shutdown.run_until_cancelled(self.probe()));
    }

    async fn probe(&self) {
        loop {
            sleep(PROBE_INTERVAL).await;
            let probed = self.store.position(Partition::FIRST, Log::Events).await;
            if let Err(error) = &probed
                && self.is_up()
            {
                tracing::warn!(%error, "the database of the history does not answer");
            }
            self.record(probed.is_ok());
        }
    }

    fn record(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::Relaxed);
        self.metrics.history_up.with_label_values(&[self.kind()]).set(i64::from(is_up));
    }
}
