//! Composition root: creates every part of an instance, connects them, and starts the servers and background tasks.

mod history;
mod layout;
mod livekit;
mod servers;
mod stores;
mod webhooks;

use std::{
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    sync::Arc,
};

use anyhow::Context;
use futures_util::{FutureExt, future::select};
use tokio::{
    sync::{Semaphore, mpsc},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use self::{
    layout::Refusal,
    livekit::LiveKit,
    servers::{Listeners, RunningApp, Servers},
    stores::Stores,
};
use crate::{
    access::token::TokenVerifier,
    admission::{
        Admission, ConcurrentReads, ConnectionLimiter, ConnectionLimits, FeedLimiter, HostPolicy,
        RateLimiter, raise_open_files,
    },
    followers::FollowerRuntime,
    grpc,
    http::{self, AppState, InstanceInfo, ServerOptions},
    orchestrator::{ClockMonitor, CountTeller, Orchestrator, Reconciler, Sweeper, WebhookProcessor},
    relay::Relay,
    rooms::RoomEvent,
    settings::{AdmissionSettings, Settings},
    store::{PartitionStore, RateLimitStore},
    telemetry::Metrics,
};

/// One instance. Its ports are bound, and no server runs yet.
pub struct App {
    api: AppState,
    listeners: Listeners,
    options: ServerOptions,
    tasks: JoinSet<()>,
    followers: FollowerRuntime,
    hub: JoinHandle<()>,
    refusal: Refusal,
    shutdown: CancellationToken,
}

impl App {
    /// Binds the ports, then creates the parts and starts the background tasks.
    ///
    /// Redis and LiveKit need not answer yet: the instance reports that it is not ready until they do.
    ///
    /// # Errors
    /// A port that cannot be bound; an invalid Redis address or TLS file; another number of partitions or
    /// other servers than the deployment has; another schema of the history than this program's.
    pub async fn build(settings: Settings) -> anyhow::Result<Self> {
        // Bound first: an instance that cannot listen must not start background tasks.
        let listeners = Listeners::bind(&settings.http)?;
        let shutdown = CancellationToken::new();
        let metrics = Arc::new(Metrics::new().context("metrics")?);
        let layout = layout::begin_check(&settings, &metrics).await?;
        let stores = Stores::open(&settings, &metrics)?;
        let LiveKit { rooms, media, simulated_events } = LiveKit::open(&settings, &metrics).await;
        let orchestrator =
            Orchestrator::new(stores.store.clone(), rooms, media, settings.policy, metrics.clone());
        let orchestrator = Arc::new(orchestrator.with_storage(livekit::storage(&settings.egress)));
        let (relay, hub) = Relay::start(stores.feed.clone(), metrics.clone(), settings.relay, &shutdown);
        let webhook_processor = Arc::new(WebhookProcessor::new(orchestrator.clone()));
        let mut tasks = JoinSet::new();
        if settings.jobs {
            for partition in &stores.partitions {
                start_jobs(&mut tasks, &orchestrator, partition, &shutdown);
            }
        }
        let followers = FollowerRuntime::start().context("threads of followers")?;
        let (history, schema) =
            history::start(&settings, &stores, &metrics, (&mut tasks, followers.handle(), &shutdown)).await?;
        let webhook_endpoints = webhooks::start(
            &settings,
            &stores,
            &orchestrator,
            history.as_ref(),
            &metrics,
            (&mut tasks, followers.handle(), &shutdown),
        );
        if stores.partitions.len() > 1 {
            let monitor = ClockMonitor::new(stores.partitions, metrics.clone());
            let shutdown = shutdown.clone();
            tasks.spawn(async move { monitor.run(shutdown).await });
        }
        if let Some(events) = simulated_events {
            start_processing(&mut tasks, &webhook_processor, events, &shutdown);
        }
        let api = AppState {
            orchestrator,
            webhook_processor,
            webhook_endpoints: Arc::new(webhook_endpoints),
            history,
            relay,
            admission: Arc::new(admission(&settings, stores.rate_limit_store, &metrics)),
            idempotency_store: stores.idempotency_store,
            webhook_verifier: TokenVerifier::new(&settings.livekit.keys),
            webhook_bytes: Arc::new(Semaphore::new(http::MAX_WAITING_WEBHOOK_BYTES)),
            livekit_public_url: settings.livekit.public_url.clone(),
            metrics,
            instance: InstanceInfo::new(stores.kind),
            serves_metrics: settings.http.metrics_address.is_none(),
            shutdown: shutdown.clone(),
        };
        let options = server_options(&settings, &api.metrics);
        let refusal = select(layout, schema).map(|first| first.factor_first().0).boxed();
        Ok(Self { api, listeners, options, tasks, followers, hub, refusal, shutdown })
    }

    /// Returns the address of the HTTP API.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listeners.http.local_addr()
    }

    /// Returns the address of the gRPC API.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn grpc_address(&self) -> std::io::Result<SocketAddr> {
        self.listeners.grpc.local_addr()
    }

    /// Returns the address of `/metrics`; `None` if the HTTP API serves it.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.listeners.metrics.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `shutdown` completes. Then completes requests in progress and ends event streams, within the drain
    /// timeout.
    ///
    /// # Errors
    /// Errors of the listeners; another number of partitions, other servers or another schema than the deployment has.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let (mut running, refusal) = self.start_servers()?;
        tokio::select! {
            () = shutdown => tracing::info!("shutting down"),
            error = refusal => return Err(error),
            ended = running.servers.first_to_end() => ended?,
        }
        running.drain().await;
        Ok(())
    }

    /// Starts the servers of gRPC, of the API, and of `/metrics` if it has an address of its own.
    fn start_servers(self) -> anyhow::Result<(RunningApp, Refusal)> {
        let Self { api, listeners, options, mut tasks, followers, hub, refusal, shutdown } = self;
        tracing::info!(http = %listeners.http.local_addr()?, instance = api.instance.id, "listening");
        let mut servers = Servers::default();
        if let Some(listener) = listeners.metrics {
            tracing::info!(metrics = %listener.local_addr()?, "listening");
            servers.start(http::serve_metrics(api.clone(), listener, &options)?);
        }
        tracing::info!(grpc = %listeners.grpc.local_addr()?, "listening");
        start_grpc(&mut tasks, &api, listeners.grpc, options.connections.clone(), shutdown.clone());
        servers.start(http::serve(api, listeners.http, &options)?);
        let drain_timeout = options.drain_timeout;
        Ok((RunningApp { servers, tasks, followers, hub, shutdown, drain_timeout }, refusal))
    }
}

/// Starts the sweeper, the count teller and the reconciler of a partition.
fn start_jobs(
    tasks: &mut JoinSet<()>,
    orchestrator: &Arc<Orchestrator>,
    partition: &Arc<dyn PartitionStore>,
    shutdown: &CancellationToken,
) {
    let (sweeper, for_sweeper) = (Sweeper::new(orchestrator.clone(), partition.clone()), shutdown.clone());
    tasks.spawn(async move { sweeper.run(for_sweeper).await });
    let (teller, for_teller) = (CountTeller::new(partition.clone()), shutdown.clone());
    tasks.spawn(async move { teller.run(for_teller).await });
    let (reconciler, for_reconciler) =
        (Reconciler::new(orchestrator.clone(), partition.clone()), shutdown.clone());
    tasks.spawn(async move { reconciler.run(for_reconciler).await });
}

/// Starts the processing of the events of simulated rooms.
fn start_processing(
    tasks: &mut JoinSet<()>,
    processor: &Arc<WebhookProcessor>,
    events: mpsc::UnboundedReceiver<RoomEvent>,
    shutdown: &CancellationToken,
) {
    let (processor, shutdown) = (processor.clone(), shutdown.clone());
    tasks.spawn(async move { processor.run(events, shutdown).await });
}

/// Starts the gRPC server. Its failure is logged, and the other servers go on.
fn start_grpc(
    tasks: &mut JoinSet<()>,
    api: &AppState,
    listener: TcpListener,
    limiter: ConnectionLimiter,
    shutdown: CancellationToken,
) {
    let service = grpc::Service {
        orchestrator: api.orchestrator.clone(),
        relay: api.relay.clone(),
        admission: api.admission.clone(),
        known_states: Arc::default(),
    };
    let serving = grpc::serve(service, listener, limiter, shutdown);
    tasks.spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "gRPC server failed");
        }
    });
}

fn server_options(settings: &Settings, metrics: &Arc<Metrics>) -> ServerOptions {
    ServerOptions {
        cors_origins: settings.http.cors_origins.clone(),
        drain_timeout: settings.http.drain_timeout,
        connections: connection_limiter(&settings.admission, metrics),
    }
}

/// Creates admission control from the settings.
fn admission(
    settings: &Settings,
    rate_limit_store: Arc<dyn RateLimitStore>,
    metrics: &Arc<Metrics>,
) -> Admission {
    let AdmissionSettings {
        authenticates,
        limits,
        trusted_proxies,
        allowed_hosts,
        max_feeds,
        max_feeds_per_caller,
        ..
    } = &settings.admission;
    if !authenticates {
        tracing::warn!("AUTH=off: every caller may do everything");
    }
    Admission {
        verifier: authenticates.then(|| TokenVerifier::new(&settings.livekit.keys)),
        host_policy: (!authenticates).then(|| HostPolicy {
            allowed_hosts: allowed_hosts.clone(),
            allowed_origins: settings.http.cors_origins.clone(),
        }),
        trusted_proxies: trusted_proxies.clone(),
        rate_limiter: RateLimiter::new(rate_limit_store, *limits, metrics.clone()),
        concurrent_reads: ConcurrentReads::default(),
        feed_limiter: FeedLimiter::new(*max_feeds, *max_feeds_per_caller),
        metrics: metrics.clone(),
    }
}

/// Creates the limits on connections from the settings and the process's limit of files.
fn connection_limiter(settings: &AdmissionSettings, metrics: &Arc<Metrics>) -> ConnectionLimiter {
    let AdmissionSettings {
        max_connections, max_connections_per_address, max_feeds, trusted_proxies, ..
    } = settings;
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let open_files = raise_open_files();
    let limits = ConnectionLimits::new(open_files, threads, *max_connections, *max_connections_per_address);
    let ConnectionLimits { total: connections, of_port, of_address } = limits;
    tracing::info!(open_files, connections, of_port, of_address, "limits");
    if limits.remote() < *max_feeds {
        let of_port = limits.remote();
        tracing::warn!(
            open_files,
            of_port,
            "fewer connections of a port than MAX_FEEDS: raise nofile or MAX_CONNECTIONS"
        );
    }
    ConnectionLimiter::new(limits, trusted_proxies, metrics.clone())
}
