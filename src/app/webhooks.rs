//! Wires the outbound webhooks of an instance.

use std::sync::Arc;

use tokio::{runtime::Handle, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::stores::Stores;
use crate::{
    admission::raise_open_files,
    delivery::{EndpointClient, HttpEndpointClient, OnRuntime, SystemResolver},
    domain::{Partitioning, webhook_endpoint::MAX_ENDPOINTS},
    followers::{GivingWay, PastEvents},
    history::History,
    orchestrator::Orchestrator,
    outbound_webhooks::{AllPermits, Directory, EndpointService, IN_LINE, SenderContext, WebhookSender},
    settings::Settings,
    telemetry::Metrics,
};

/// Share of the open files of this process that connections for deliveries may have: a quarter of those that are
/// reserved for calls to other servers. As many may be unused connections.
const FILES_SHARE: usize = 32;
/// Maximum number of unused connections to one endpoint: as many as there are deliveries at once, so that the next page
/// of events opens no new ones.
const MAX_IDLE: usize = IN_LINE;

/// Starts the sender of each partition, unless the instance runs no jobs, and returns the use cases. What the logs no
/// longer hold is read from the history. Deliveries and tests run on the runtime of followers.
pub(super) fn start(
    settings: &Settings,
    stores: &Stores,
    orchestrator: &Arc<Orchestrator>,
    history: Option<&Arc<History>>,
    metrics: &Arc<Metrics>,
    (tasks, runtime, shutdown): (&mut JoinSet<()>, &Handle, &CancellationToken),
) -> EndpointService {
    let resolver = Arc::new(SystemResolver);
    let max_connections = raise_open_files() / FILES_SHARE;
    let max_idle = (max_connections / MAX_ENDPOINTS).min(MAX_IDLE);
    let client: Arc<dyn EndpointClient> = Arc::new(HttpEndpointClient::with_executor(
        GivingWay,
        resolver,
        settings.webhooks.addresses,
        max_idle,
    ));
    let permits = Arc::new(AllPermits::new(max_connections));
    let directory = Directory::new(stores.webhook_endpoints.clone(), settings.webhooks.endpoints.clone());
    if settings.jobs {
        let partitioning = settings.redis.as_ref().map_or(Partitioning::SINGLE, |redis| redis.partitioning);
        let (directory, client, permits) = (directory.clone(), client.clone(), permits.clone());
        let past = history.map(|history| history.clone() as Arc<dyn PastEvents>);
        let shared = SenderContext::new(directory, client, permits, partitioning, past, metrics.clone());
        for (number, partition) in partitioning.all().zip(&stores.followed) {
            let sender = WebhookSender::new(shared.clone(), partition.clone(), number);
            let shutdown = shutdown.clone();
            tasks.spawn_on(async move { sender.run(shutdown).await }, runtime);
        }
    }
    let client = Arc::new(OnRuntime::new(client, runtime.clone()));
    let (followed, feed) = (stores.followed.clone(), stores.feed.clone());
    EndpointService::new(directory, followed, feed, client, permits, orchestrator.clone())
}
