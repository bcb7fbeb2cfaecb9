//! Delivers the events of one partition to all endpoints, while this instance has the lease.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    directory::{Directory, Known, Listing},
    endpoint_states::{EndpointStates, StatesInPartition},
    orphaned_positions::OrphanedPositions,
    permits::AllPermits,
    worker::{Context, Lag as EndpointLag, Source, Worker},
};
use crate::{
    delivery::EndpointClient,
    domain::{EndpointId, Partition, Partitioning, Timestamp},
    followers::{
        Lag, LagGauges, LeasedJob, PastEvents, RecentEvents, SharedClock, giving_way, run_while_leased,
    },
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
    partitioning: Partitioning,
    history: Option<Arc<dyn PastEvents>>,
    states: Arc<EndpointStates>,
    metrics: Arc<Metrics>,
}

impl SenderContext {
    /// Combines the endpoints with the client that reaches them. `history` has the events that the logs no longer hold.
    pub fn new(
        directory: Directory,
        client: Arc<dyn EndpointClient>,
        permits: Arc<AllPermits>,
        partitioning: Partitioning,
        history: Option<Arc<dyn PastEvents>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { directory, client, permits, partitioning, history, states: Arc::default(), metrics }
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
    lag: watch::Receiver<EndpointLag>,
}

/// The workers of one term of the lease.
struct Workers {
    context: Context,
    permits: Arc<AllPermits>,
    partitioning: Partitioning,
    number: Partition,
    running: BTreeMap<EndpointId, Running>,
    revision: watch::Sender<u64>,
    /// `None` before the first successful read.
    listing: Option<Listing>,
    orphans: OrphanedPositions,
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
        let SenderContext { directory, client, permits, partitioning, history, metrics, .. } =
            self.shared.clone();
        let context = Context {
            partition: self.partition.clone(),
            recent: Arc::new(RecentEvents::of(self.partition.clone())),
            clock: Arc::new(SharedClock::of(self.partition.clone())),
            lease,
            past: Source { history, partition: self.number },
            client,
            directory,
            metrics,
            revision: receiver,
        };
        Workers {
            context,
            permits,
            partitioning,
            number: self.number,
            running: BTreeMap::new(),
            revision,
            listing: None,
            orphans: OrphanedPositions::default(),
        }
    }

    async fn report(&self, workers: &Workers, gauges: &LagGauges) {
        self.shared.states.record(self.number, workers.states(), &self.shared.metrics);
        gauges.show(Some(workers.lag().await));
    }
}

#[async_trait]
impl LeasedJob for WebhookSender {
    fn job(&self) -> Job {
        Job::SendWebhooks
    }

    async fn run(&self, lease: Lease, ended: CancellationToken) {
        let gauges = LagGauges::new(self.shared.metrics.clone(), Job::SendWebhooks, self.number);
        let mut workers = self.workers(lease);
        while !ended.is_cancelled() {
            if let Err(error) = workers.refresh().await {
                tracing::debug!(%error, "webhook endpoints not read; retrying");
            }
            self.report(&workers, &gauges).await;
            if ended.run_until_cancelled(sleep(REFRESH_INTERVAL)).await.is_none() {
                break;
            }
        }
        workers.stop_all().await;
        self.shared.states.record(self.number, None, &self.shared.metrics);
        gauges.show(None);
    }
}

impl Workers {
    /// Reads the endpoints if they have changed, and starts and stops workers.
    async fn refresh(&mut self) -> Result<(), StoreError> {
        let revision = self.context.directory.revision().await?;
        if self.listing.as_ref().is_none_or(|listing| listing.revision != revision) {
            let listing = self.context.directory.list().await?;
            self.revision.send_replace(listing.revision);
            self.listing = Some(listing);
            self.stop_changed().await;
        }
        self.running.retain(|_, worker| !worker.task.is_finished());
        self.start_missing().await;
        self.context.recent.refresh().await?;
        self.remove_orphans().await
    }

    /// Returns the endpoints that may get events of this partition.
    fn followers(&self) -> impl Iterator<Item = &Known> {
        let endpoints = self.listing.iter().flat_map(|listing| &listing.endpoints);
        endpoints.filter(|known| known.endpoint.filter.follows(self.partitioning, self.number))
    }

    /// Stops the workers of endpoints that are deleted, disabled or changed.
    async fn stop_changed(&mut self) {
        let is_current = |worker: &Running| {
            let same_id = |known: &&Known| known.endpoint.id == worker.known.endpoint.id;
            self.followers().find(same_id).is_some_and(|known| known.is_same(&worker.known))
        };
        let changed = self.running.iter().filter(|(_, worker)| !is_current(worker));
        let changed: Vec<_> = changed.map(|(id, _)| id.clone()).collect();
        stop(changed.iter().filter_map(|id| self.running.remove(id)).collect()).await;
    }

    /// Removes the positions of endpoints that are deleted, or that no longer follow this partition.
    async fn remove_orphans(&mut self) -> Result<(), StoreError> {
        let Some(listing) = self.listing.as_ref().filter(|_| self.orphans.is_due(Instant::now())) else {
            return Ok(());
        };
        let positions = self.context.partition.followers().await?.into_iter();
        let is_followed = |id: &String| {
            listing.others.contains(id) || self.followers().any(|known| known.endpoint.id.as_str() == id)
        };
        let orphaned: Vec<_> = positions.filter(|id| !is_followed(id)).collect();
        for id in self.orphans.confirm(orphaned.into_iter(), Instant::now()) {
            self.context.partition.remove_follower(&id).await?;
        }
        Ok(())
    }

    async fn start_missing(&mut self) {
        let missing: Vec<_> = self.followers().filter(|known| self.is_missing(known)).cloned().collect();
        for known in missing {
            let (sender, lag) = watch::channel(EndpointLag::default());
            let (id, endpoint) = (known.endpoint.id.clone(), known.endpoint.clone());
            let worker = Worker::load(self.context.clone(), endpoint, self.permits.of(&id), sender).await;
            match worker {
                Ok(worker) => {
                    let stop = CancellationToken::new();
                    let task = tokio::spawn(giving_way(worker.run(stop.clone())));
                    self.running.insert(id, Running { known, stop, task, lag });
                }
                Err(error) => tracing::warn!(%error, endpoint = %id, "deliveries not started; retrying"),
            }
        }
    }

    fn is_missing(&self, known: &Known) -> bool {
        known.endpoint.disabled.is_none() && !self.running.contains_key(&known.endpoint.id)
    }

    /// Returns the number of events that the endpoint that is furthest behind has not got, and the age of the first.
    async fn lag(&self) -> Lag {
        let lags: Vec<_> = self.running.values().map(|worker| *worker.lag.borrow()).collect();
        let events = lags.iter().map(|lag| lag.events).max().unwrap_or_default();
        let now = self.context.clock.now().await;
        let oldest = lags.iter().filter_map(|lag| lag.oldest).min();
        Lag { events, age: oldest.map_or(Duration::ZERO, |oldest: Timestamp| oldest.until(now)) }
    }

    /// Returns the states of all endpoints; `None` before they are known.
    fn states(&self) -> Option<StatesInPartition> {
        let endpoints = &self.listing.as_ref()?.endpoints;
        let disabled = endpoints.iter().filter(|known| known.endpoint.disabled.is_some()).count();
        let failing = self.running.iter().filter(|(_, worker)| worker.lag.borrow().is_failing);
        let failing = failing.map(|(id, _)| id.clone()).collect();
        Some(StatesInPartition { enabled: endpoints.len() - disabled, disabled, failing })
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
