//! Wires the outbound webhooks of an instance.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::stores::Stores;
use crate::{
    delivery::{EndpointClient, HttpEndpointClient, SystemResolver},
    domain::Partitioning,
    orchestrator::Orchestrator,
    outbound_webhooks::{Directory, EndpointService, SenderContext, WebhookSender},
    settings::Settings,
    telemetry::Metrics,
};

/// Starts the sender of each partition, unless the instance runs no jobs, and returns the use cases.
pub(super) fn start(
    settings: &Settings,
    stores: &Stores,
    orchestrator: &Arc<Orchestrator>,
    metrics: &Arc<Metrics>,
    (tasks, shutdown): (&mut JoinSet<()>, &CancellationToken),
) -> EndpointService {
    let resolver = Arc::new(SystemResolver);
    let client: Arc<dyn EndpointClient> =
        Arc::new(HttpEndpointClient::new(resolver, settings.webhooks.addresses));
    let directory = Directory::new(stores.webhook_endpoints.clone(), settings.webhooks.endpoints.clone());
    if settings.jobs {
        let shared = SenderContext::new(directory.clone(), client.clone(), metrics.clone());
        let partitioning = settings.redis.as_ref().map_or(Partitioning::SINGLE, |redis| redis.partitioning);
        for (number, partition) in partitioning.all().zip(&stores.followed) {
            let sender = WebhookSender::new(shared.clone(), partition.clone(), number);
            let shutdown = shutdown.clone();
            tasks.spawn(async move { sender.run(shutdown).await });
        }
    }
    let (followed, feed) = (stores.followed.clone(), stores.feed.clone());
    EndpointService::new(directory, followed, feed, client, orchestrator.clone())
}
