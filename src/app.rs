//! The composition root: the only place that knows every part.

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

/// How long dev mode waits for a LiveKit server to say that it is there.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// One instance, listening but not yet answering.
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
    /// Puts an instance together and binds its ports. What it needs of Redis and LiveKit need not answer yet: until they
    /// do, it is not ready.
    ///
    /// # Errors
    /// For an address that cannot be bound or understood.
    pub async fn build(settings: Settings) -> anyhow::Result<Self> {
        // First: an instance that cannot listen is not to have begun anything.
        let http = &settings.http;
        let listener = bind(http.address)?;
        let grpc_listener = bind(http.grpc_address)?;
        let metrics_listener = http.metrics_address.map(bind).transpose()?;
        let shutdown = CancellationToken::new();
        let metrics = Arc::new(Metrics::new().context("metrics")?);
        let mut tasks = JoinSet::new();

        let Stores { store, feed, quota, answers, kind } = Stores::open(&settings, &metrics)?;
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
            admission: Arc::new(admission(&settings, quota, &metrics)),
            answers,
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

    /// Where the API listens.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where gRPC listens.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn grpc_address(&self) -> std::io::Result<SocketAddr> {
        self.grpc_listener.local_addr()
    }

    /// Where `/metrics` listens, if it has an address of its own.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Answers until `shutdown` is done, then lets requests under way finish and ends event streams, within the drain
    /// timeout.
    ///
    /// # Errors
    /// Those of the listeners.
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
                tracing::error!(%error, "gRPC has ended");
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
            Ok(_) => tracing::info!("gone"),
            Err(_) => tracing::warn!("gone before everything was finished: the drain timeout is over"),
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
    quota: Arc<dyn RateLimitStore>,
    answers: Arc<dyn IdempotencyStore>,
    kind: &'static str,
}

impl Stores {
    fn open(settings: &Settings, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let Some(redis) = &settings.redis else {
            tracing::warn!("state is kept in memory: it is lost at the end, and instances share nothing");
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
        Self { store: store.clone(), feed: store.clone(), quota: store.clone(), answers: store, kind }
    }
}

/// The door, as configured.
fn admission(settings: &Settings, quota: Arc<dyn RateLimitStore>, metrics: &Arc<Metrics>) -> Admission {
    let AdmissionSettings { authenticates, limits, trusted_proxies, max_feeds, max_feeds_per_caller } =
        &settings.admission;
    if !authenticates {
        tracing::warn!("AUTH=off: whoever reaches this service may do everything");
    }
    Admission {
        verifier: authenticates.then(|| TokenVerifier::new(&settings.livekit.keys)),
        trusted_proxies: trusted_proxies.clone(),
        rate_limiter: RateLimiter::new(quota, *limits, metrics.clone()),
        feed_limiter: FeedLimiter::new(*max_feeds, *max_feeds_per_caller),
        metrics: metrics.clone(),
    }
}

/// Real rooms; in dev mode, simulated ones where no LiveKit server answers with the key.
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
