//! Composition root: creates every part of an instance, connects them, and starts the servers and background tasks.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::dev::{Server, ServerHandle};
use anyhow::Context;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    access::token::TokenVerifier,
    admission::{Admission, FeedLimiter, RateLimiter},
    grpc,
    http::{self, AppState, InstanceInfo, ServerOptions},
    orchestrator::{Orchestrator, Reconciler, Sweeper, WebhookProcessor},
    relay::Relay,
    rooms::{RoomEvent, Rooms, livekit::LiveKitRooms, simulated::SimulatedRooms},
    settings::{AdmissionSettings, Settings},
    store::{EventFeed, IdempotencyStore, RateLimitStore, Store, memory::MemoryStore, redis::RedisStore},
    telemetry::Metrics,
};

/// Maximum time that dev mode waits for an answer of a LiveKit server.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// One instance. Its ports are bound, and no server runs yet.
pub struct App {
    api: AppState,
    listener: TcpListener,
    grpc_listener: TcpListener,
    metrics_listener: Option<TcpListener>,
    options: ServerOptions,
    tasks: JoinSet<()>,
    hub: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl App {
    /// Binds the ports, then creates the parts and starts the background tasks.
    ///
    /// Redis and LiveKit need not answer yet: the instance reports that it is not ready until they do.
    ///
    /// # Errors
    /// A port that cannot be bound; an invalid Redis address or TLS file.
    pub async fn build(settings: Settings) -> anyhow::Result<Self> {
        // Bound first: an instance that cannot listen must not start background tasks.
        let http = &settings.http;
        let listener = bind(http.address)?;
        let grpc_listener = bind(http.grpc_address)?;
        let metrics_listener = http.metrics_address.map(bind).transpose()?;
        let shutdown = CancellationToken::new();
        let metrics = Arc::new(Metrics::new().context("metrics")?);
        let mut tasks = JoinSet::new();

        let Stores { store, feed, rate_limit_store, idempotency_store, kind } =
            Stores::open(&settings, &metrics)?;
        let (rooms, simulated_events) = open_rooms(&settings, &metrics).await;
        let orchestrator = Arc::new(Orchestrator::new(store, rooms, settings.policy, metrics.clone()));
        let (relay, hub) = Relay::start(feed, metrics.clone(), settings.relay, shutdown.clone());
        if settings.jobs {
            let (sweeper, reconciler) =
                (Sweeper::new(orchestrator.clone()), Reconciler::new(orchestrator.clone()));
            let (for_sweeper, for_reconciler) = (shutdown.clone(), shutdown.clone());
            tasks.spawn(async move { sweeper.run(for_sweeper).await });
            tasks.spawn(async move { reconciler.run(for_reconciler).await });
        }
        let webhook_processor = Arc::new(WebhookProcessor::new(orchestrator.clone()));
        if let Some(events) = simulated_events {
            let (processor, shutdown) = (webhook_processor.clone(), shutdown.clone());
            tasks.spawn(async move { processor.run(events, shutdown).await });
        }

        let api = AppState {
            orchestrator,
            webhook_processor,
            relay,
            admission: Arc::new(admission(&settings, rate_limit_store, &metrics)),
            idempotency_store,
            webhook_verifier: TokenVerifier::new(&settings.livekit.keys),
            livekit_public_url: settings.livekit.public_url.clone(),
            metrics,
            instance: InstanceInfo { id: Uuid::now_v7().to_string(), store: kind, started: Instant::now() },
            serves_metrics: http.metrics_address.is_none(),
            shutdown: shutdown.clone(),
        };
        let options =
            ServerOptions { cors_origins: http.cors_origins.clone(), drain_timeout: http.drain_timeout };
        Ok(Self { api, listener, grpc_listener, metrics_listener, options, tasks, hub, shutdown })
    }

    /// Returns the address of the HTTP API.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns the address of the gRPC API.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn grpc_address(&self) -> std::io::Result<SocketAddr> {
        self.grpc_listener.local_addr()
    }

    /// Returns the address of `/metrics`; `None` if the HTTP API serves it.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `shutdown` completes. Then completes requests in progress and ends event streams, within the drain
    /// timeout.
    ///
    /// # Errors
    /// Errors of the listeners.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { api, listener, grpc_listener, metrics_listener, options, mut tasks, hub, shutdown: token } =
            self;
        tracing::info!(http = %listener.local_addr()?, instance = api.instance.id, "listening");
        let mut servers = Servers::default();
        if let Some(listener) = metrics_listener {
            tracing::info!(metrics = %listener.local_addr()?, "listening");
            servers.start(http::serve_metrics(api.clone(), listener)?);
        }
        tracing::info!(grpc = %grpc_listener.local_addr()?, "listening");
        let service = grpc::Service {
            orchestrator: api.orchestrator.clone(),
            relay: api.relay.clone(),
            admission: api.admission.clone(),
        };
        let serving = grpc::serve(service, grpc_listener, token.clone());
        tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "gRPC server failed");
            }
        });
        servers.start(http::serve(api, listener, &options)?);

        tokio::select! {
            () = shutdown => tracing::info!("shutting down"),
            ended = servers.first_to_end() => ended?,
        }
        token.cancel();
        let drained = timeout(options.drain_timeout, async {
            servers.stop().await;
            while tasks.join_next().await.is_some() {}
            hub.await.is_ok()
        });
        match drained.await {
            Ok(_) => tracing::info!("shut down"),
            Err(_) => tracing::warn!("shut down with unfinished requests: the drain timeout has ended"),
        }
        Ok(())
    }
}

/// The HTTP servers of an instance.
#[derive(Default)]
struct Servers {
    handles: Vec<ServerHandle>,
    running: JoinSet<std::io::Result<()>>,
}

impl Servers {
    fn start(&mut self, server: Server) {
        self.handles.push(server.handle());
        self.running.spawn(server);
    }

    async fn first_to_end(&mut self) -> anyhow::Result<()> {
        match self.running.join_next().await {
            Some(ended) => Ok(ended??),
            None => Ok(()),
        }
    }

    async fn stop(mut self) {
        for handle in &self.handles {
            handle.stop(true).await;
        }
        while self.running.join_next().await.is_some() {}
    }
}

struct Stores {
    store: Arc<dyn Store>,
    feed: Arc<dyn EventFeed>,
    rate_limit_store: Arc<dyn RateLimitStore>,
    idempotency_store: Arc<dyn IdempotencyStore>,
    kind: &'static str,
}

impl Stores {
    fn open(settings: &Settings, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let Some(redis) = &settings.redis else {
            tracing::warn!("state is kept in memory: it is lost at shutdown, and instances share nothing");
            let store = Arc::new(MemoryStore::on_system_clock(settings.retention));
            return Ok(Self::of(store, "memory"));
        };
        let store = RedisStore::new(&redis.address, &redis.prefix, settings.retention, metrics.clone());
        let store = Arc::new(store.context("REDIS_URL")?);
        Ok(Self::of(store, "redis"))
    }

    fn of<S: Store + EventFeed + RateLimitStore + IdempotencyStore + 'static>(
        store: Arc<S>,
        kind: &'static str,
    ) -> Self {
        Self {
            store: store.clone(),
            feed: store.clone(),
            rate_limit_store: store.clone(),
            idempotency_store: store,
            kind,
        }
    }
}

/// Creates admission control from the settings.
fn admission(
    settings: &Settings,
    rate_limit_store: Arc<dyn RateLimitStore>,
    metrics: &Arc<Metrics>,
) -> Admission {
    let AdmissionSettings { authenticates, limits, trusted_proxies, max_feeds, max_feeds_per_caller } =
        &settings.admission;
    if !authenticates {
        tracing::warn!("AUTH=off: every caller may do everything");
    }
    Admission {
        verifier: authenticates.then(|| TokenVerifier::new(&settings.livekit.keys)),
        trusted_proxies: trusted_proxies.clone(),
        rate_limiter: RateLimiter::new(rate_limit_store, *limits, metrics.clone()),
        feed_limiter: FeedLimiter::new(*max_feeds, *max_feeds_per_caller),
        metrics: metrics.clone(),
    }
}

/// Connects to LiveKit. In dev mode, simulates rooms if no LiveKit server answers with the key; the second value then
/// receives their events.
async fn open_rooms(
    settings: &Settings,
    metrics: &Arc<Metrics>,
) -> (Arc<dyn Rooms>, Option<mpsc::UnboundedReceiver<RoomEvent>>) {
    let livekit = &settings.livekit;
    let rooms = LiveKitRooms::new(&livekit.url, livekit.key.clone(), metrics.clone());
    if settings.dev && !matches!(timeout(PROBE_TIMEOUT, rooms.ping()).await, Ok(Ok(()))) {
        tracing::warn!(url = %livekit.url, "no LiveKit server answers: rooms are simulated in this process");
        let (rooms, events) = SimulatedRooms::new(livekit.key.clone());
        return (Arc::new(rooms), Some(events));
    }
    (Arc::new(rooms), None)
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))
}
