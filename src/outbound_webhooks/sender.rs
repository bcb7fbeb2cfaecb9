//! Delivers the events of one partition to all endpoints, while this instance has the lease.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::watch, task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    directory::{Directory, Known, Listing},
    permits::AllPermits,
    worker::{Context, Lag, Worker},
};
use crate::{
    delivery::EndpointClient,
    domain::{EndpointId, Partition, Timestamp},
    followers::{LeasedJob, RecentEvents, SharedClock, run_while_leased},
    store::{FollowedPartition, Job, Lease, StoreError},
    telemetry::Metrics,
};

/// Interval at which changes of the endpoints are noticed.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// What the senders of all partitions at one instance share.
#[derive(Clone)]
pub struct SenderContext {
    directory: Directory,
    client: Arc<dyn EndpointClient>,
    permits: Arc<AllPermits>,
    metrics: Arc<Metrics>,
}

impl SenderContext {
    /// Combines the endpoints with the client that reaches them.
    pub fn new(directory: Directory, client: Arc<dyn EndpointClient>, metrics: Arc<Metrics>) -> Self {
        Self { directory, client, permits: Arc::default(), metrics }
    }
}

/// Sender of one partition.
pub struct WebhookSender {
    shared: SenderContext,
    partition: Arc<dyn FollowedPartition>,
    number: Partition,
}

/// The worker of an endpoint.
struct Running {
    known: Known,
    stop: CancellationToken,
    task: JoinHandle<()>,
    lag: watch::Receiver<Lag>,
}

/// The workers of one term of the lease.
struct Workers {
    context: Context,
    permits: Arc<AllPermits>,
    running: BTreeMap<EndpointId, Running>,
    revision: watch::Sender<u64>,
    listing: Listing,
}

impl WebhookSender {
    /// Creates the sender of a partition.
    pub const fn new(
        shared: SenderContext,
        partition: Arc<dyn FollowedPartition>,
        number: Partition,
    ) -> Self {
        Self { shared, partition, number }
    }

    /// Delivers whenever this instance has the lease, until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        run_while_leased(self, &*self.partition, &shutdown).await;
    }

    fn workers(&self, lease: Lease) -> Workers {
        let (revision, receiver) = watch::channel(0);
        let SenderContext { directory, client, permits, metrics } = self.shared.clone();
        let context = Context {
            partition: self.partition.clone(),
            recent: Arc::new(RecentEvents::of(self.partition.clone())),
            clock: Arc::new(SharedClock::of(self.partition.clone())),
            lease,
            client,
            directory,
            metrics,
            revision: receiver,
        };
        Workers { context, permits, running: BTreeMap::new(), revision, listing: Listing::default() }
    }

    fn record_lag(&self, lag: Option<(u64, Duration)>) {
        let (job, partition) = (Job::SendWebhooks.as_str(), self.number.number().to_string());
        let labels = [job, &*partition];
        let (events, seconds) =
            (&self.shared.metrics.follower_lag_events, &self.shared.metrics.follower_lag_seconds);
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        match lag {
            Some((count, age)) => {
                events.with_label_values(&labels).set(number(count));
                seconds.with_label_values(&labels).set(number(age.as_secs()));
            }
            // Another instance reports it from now on.
            None => {
                let _ = (events.remove_label_values(&labels), seconds.remove_label_values(&labels));
            }
        }
    }
}

#[async_trait]
impl LeasedJob for WebhookSender {
    fn job(&self) -> Job {
        Job::SendWebhooks
    }

    async fn run(&self, lease: Lease, ended: CancellationToken) {
        let mut workers = self.workers(lease);
        while !ended.is_cancelled() {
            if let Err(error) = workers.refresh().await {
                tracing::debug!(%error, "webhook endpoints not read; retrying");
            }
            self.record_lag(Some(workers.lag().await));
            if ended.run_until_cancelled(sleep(REFRESH_INTERVAL)).await.is_none() {
                break;
            }
        }
        workers.stop_all().await;
        self.record_lag(None);
    }
}

impl Workers {
    /// Reads the endpoints if they have changed, and starts and stops workers.
    async fn refresh(&mut self) -> Result<(), StoreError> {
        let revision = self.context.directory.revision().await?;
        if self.listing.endpoints.is_empty() || revision != self.listing.revision {
            self.listing = self.context.directory.list().await?;
            self.revision.send_replace(self.listing.revision);
            self.stop_changed().await;
            self.remove_deleted().await?;
        }
        self.running.retain(|_, worker| !worker.task.is_finished());
        self.start_missing().await;
        self.context.recent.refresh().await
    }

    /// Stops the workers of endpoints that are deleted, disabled or changed.
    async fn stop_changed(&mut self) {
        let is_current = |worker: &Running| {
            self.listing
                .endpoints
                .iter()
                .any(|known| known.endpoint.id == worker.known.endpoint.id && known.is_same(&worker.known))
        };
        let changed: Vec<_> = self.running.iter().filter(|(_, worker)| !is_current(worker)).collect();
        let changed: Vec<_> = changed.into_iter().map(|(id, _)| id.clone()).collect();
        let stopped: Vec<_> = changed.iter().filter_map(|id| self.running.remove(id)).collect();
        stop(stopped).await;
    }

    /// Removes the positions of endpoints that are deleted.
    async fn remove_deleted(&self) -> Result<(), StoreError> {
        let known: BTreeSet<_> =
            self.listing.endpoints.iter().map(|known| known.endpoint.id.as_str()).collect();
        for id in self.context.partition.followers().await? {
            if !known.contains(id.as_str()) {
                self.context.partition.remove_follower(&id).await?;
            }
        }
        Ok(())
    }

    async fn start_missing(&mut self) {
        let missing: Vec<_> = self.listing.endpoints.iter().filter(|known| self.is_missing(known)).collect();
        for known in missing.into_iter().cloned().collect::<Vec<_>>() {
            let (sender, lag) = watch::channel(Lag::default());
            let (id, endpoint) = (known.endpoint.id.clone(), known.endpoint.clone());
            let worker = Worker::load(self.context.clone(), endpoint, self.permits.of(&id), sender).await;
            match worker {
                Ok(worker) => {
                    let stop = CancellationToken::new();
                    let task = tokio::spawn(worker.run(stop.clone()));
                    self.running.insert(id, Running { known, stop, task, lag });
                }
                Err(error) => tracing::warn!(%error, endpoint = %id, "deliveries not started; retrying"),
            }
        }
    }

    fn is_missing(&self, known: &Known) -> bool {
        known.endpoint.disabled.is_none() && !self.running.contains_key(&known.endpoint.id)
    }

    /// Returns the number of events that the endpoints have not got, and the age of the first of them.
    async fn lag(&self) -> (u64, Duration) {
        let lags: Vec<_> = self.running.values().map(|worker| *worker.lag.borrow()).collect();
        self.record_states(lags.iter().filter(|lag| lag.is_failing).count());
        let events = lags.iter().map(|lag| lag.events).max().unwrap_or_default();
        let now = self.context.clock.now().await;
        let oldest = lags.iter().filter_map(|lag| lag.oldest).min();
        (events, oldest.map_or(Duration::ZERO, |oldest: Timestamp| oldest.until(now)))
    }

    fn record_states(&self, failing: usize) {
        let disabled =
            self.listing.endpoints.iter().filter(|known| known.endpoint.disabled.is_some()).count();
        let enabled = self.listing.endpoints.len() - disabled;
        for (state, count) in [("enabled", enabled), ("failing", failing), ("disabled", disabled)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.context.metrics.webhook_endpoints.with_label_values(&[state]).set(count);
        }
    }

    async fn stop_all(self) {
        stop(self.running.into_values().collect()).await;
    }
}

/// Stops workers at the same time, and waits for their ends.
async fn stop(workers: Vec<Running>) {
    workers.iter().for_each(|worker| worker.stop.cancel());
    for worker in workers {
        // A panic is logged by the panic hook.
        let _ = worker.task.await;
    }
}
