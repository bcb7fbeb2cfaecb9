//! Handlers of health checks and metrics.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::Data,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    app_state::AppState,
    problem::{Problem, ProblemDocument},
};
use crate::{
    domain::{ErrorCode, StreamStatus},
    history::History,
    outbound_webhooks::Summary,
    store::Totals,
    telemetry::metrics::ServiceTotals,
};

/// Errors of [`ready`].
pub const READY_ERRORS: &[ErrorCode] = &[ErrorCode::ShuttingDown];
/// Errors of [`metrics`].
pub const METRICS_ERRORS: &[ErrorCode] = &[ErrorCode::RouteNotFound];

/// Whether a dependency answers.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PartStatus {
    /// The dependency answers.
    Up,
    /// The dependency does not answer in time.
    Down,
}

impl From<bool> for PartStatus {
    fn from(is_up: bool) -> Self {
        if is_up { Self::Up } else { Self::Down }
    }
}

/// Health of one dependency.
#[derive(Serialize, ToSchema)]
pub struct Part {
    status: PartStatus,
    #[schema(example = "redis")]
    kind: &'static str,
}

/// Health of LiveKit, and the address that participants connect to.
#[derive(Serialize, ToSchema)]
pub struct LiveKitPart<'a> {
    status: PartStatus,
    #[schema(example = "livekit")]
    kind: &'static str,
    // Public: every holder of a join token connects to it.
    #[schema(example = "wss://livekit.example.com")]
    url: &'a str,
}

/// Health of the outbound webhooks.
#[derive(Serialize, ToSchema)]
pub struct WebhooksPart {
    /// `down` if the endpoints cannot be read.
    status: PartStatus,
    #[schema(example = "webhooks")]
    kind: &'static str,
    /// Number of endpoints.
    endpoints: usize,
    /// Number of those that get no deliveries.
    disabled: usize,
}

/// Health of the history.
#[derive(Serialize, ToSchema)]
pub struct HistoryPart {
    /// `down` if the database does not answer. Events are stored when it does.
    status: PartStatus,
    #[schema(example = "postgres")]
    kind: &'static str,
}

/// Related pages that this client can reach.
#[derive(Serialize, ToSchema)]
pub struct Links {
    #[schema(example = "/docs")]
    docs: &'static str,
    /// Absent if metrics are served on another port, or if the request came through a proxy.
    #[schema(example = "/metrics")]
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<&'static str>,
}

/// Health of an instance.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health<'a> {
    /// `ok` or `degraded`.
    status: &'static str,
    version: &'static str,
    /// Random id, new at every start.
    instance: &'a str,
    uptime_seconds: u64,
    store: Part,
    livekit: LiveKitPart<'a>,
    feed: Part,
    webhooks: WebhooksPart,
    /// Absent without a history.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<HistoryPart>,
    /// Partitions that do not deliver events, by number. Their streams are unavailable, and the feed of all streams
    /// waits for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting_partitions: Vec<usize>,
    links: Links,
}

/// `GET /health`
///
/// Returns the health of each dependency, at most a second old. The status is always 200.
#[utoipa::path(
    get, path = "/health", operation_id = "getHealth", tag = "operation",
    responses((status = 200, description = "The health of each dependency.", body = Health))
)]
pub async fn summary(api: Data<AppState>, request: HttpRequest) -> HttpResponse {
    let health = api.orchestrator.health();
    let (store, livekit) = tokio::join!(health.is_store_up(), health.is_livekit_up());
    let (store, livekit) = (PartStatus::from(store), PartStatus::from(livekit));
    let feed = PartStatus::from(api.relay.is_ready());
    let waiting_partitions = api.relay.waiting_partitions();
    let is_up = [store, livekit, feed].iter().all(|status| *status == PartStatus::Up);
    let is_healthy = is_up && waiting_partitions.is_empty();
    // The proxy configuration in nginx/ does not forward `/metrics`.
    let is_direct = !request.headers().contains_key("x-forwarded-for");
    let livekit_kind = if health.is_simulated() { "simulated" } else { "livekit" };
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(Health {
        status: if is_healthy { "ok" } else { "degraded" },
        version: env!("CARGO_PKG_VERSION"),
        instance: &api.instance.id,
        uptime_seconds: api.instance.started.elapsed().as_secs(),
        store: Part { status: store, kind: api.instance.store },
        livekit: LiveKitPart { status: livekit, kind: livekit_kind, url: &api.livekit_public_url },
        feed: Part { status: feed, kind: "pubsub" },
        webhooks: webhooks_part(&api).await,
        history: api.history.as_deref().map(history_part),
        waiting_partitions,
        links: Links { docs: "/docs", metrics: (api.serves_metrics && is_direct).then_some("/metrics") },
    })
}

async fn webhooks_part(api: &AppState) -> WebhooksPart {
    let summary = api.webhook_endpoints.summary().await;
    let status = PartStatus::from(summary.is_some());
    let Summary { endpoints, disabled } = summary.unwrap_or_default();
    WebhooksPart { status, kind: "webhooks", endpoints, disabled }
}

fn history_part(history: &History) -> HistoryPart {
    HistoryPart { status: history.is_up().into(), kind: history.kind() }
}

/// Liveness of an instance.
#[derive(Serialize, ToSchema)]
pub struct Live {
    status: &'static str,
}

/// `GET /health/live`
///
/// Liveness probe: the process answers. It does not depend on Redis, so an outage of Redis restarts no instance.
#[utoipa::path(
    get, path = "/health/live", operation_id = "getLive", tag = "operation",
    responses((status = 200, description = "The process answers.", body = Live))
)]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Live { status: "ok" })
}

/// Readiness of an instance.
#[derive(Serialize, ToSchema)]
pub struct Ready {
    /// `ok` or `unavailable`.
    status: &'static str,
    store: PartStatus,
    feed: PartStatus,
}

/// `GET /health/ready`
///
/// Readiness probe: Redis answers, and published events reach this instance.
#[utoipa::path(
    get, path = "/health/ready", operation_id = "getReady", tag = "operation",
    responses(
        (status = 200, description = "The instance can serve requests.", body = Ready),
        (status = 503, description = "The instance cannot serve requests. `shutting_down`: it is stopping.", content(
            (Ready = "application/json"), (ProblemDocument = "application/problem+json")
        )),
    )
)]
pub async fn ready(api: Data<AppState>) -> Result<HttpResponse, Problem> {
    if api.shutdown.is_cancelled() {
        return Err(Problem::new(ErrorCode::ShuttingDown));
    }
    let store = PartStatus::from(api.orchestrator.health().is_store_up().await);
    let feed = PartStatus::from(api.relay.is_ready());
    let is_ready = (store, feed) == (PartStatus::Up, PartStatus::Up);
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let status = if is_ready { "ok" } else { "unavailable" };
    let body = Ready { status, store, feed };
    Ok(HttpResponse::build(code).insert_header((header::CACHE_CONTROL, "no-store")).json(body))
}

/// `GET /metrics`
///
/// Returns metrics in the Prometheus text format. Served on another port if `METRICS_ADDR` is set.
#[utoipa::path(
    get, path = "/metrics", operation_id = "getMetrics", tag = "operation",
    responses((status = 200, description = "Metrics of this instance and of the whole service.",
        body = String, content_type = "text/plain"))
)]
pub async fn metrics(api: Data<AppState>) -> Result<HttpResponse, Problem> {
    let totals = api.orchestrator.health().totals().await.as_ref().map(service_totals);
    let text = api.metrics.encode(totals.as_ref()).map_err(|error| {
        tracing::error!(%error, "metrics cannot be encoded");
        Problem::new(ErrorCode::Internal)
    })?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}

/// Converts the store's totals into the plain numbers of the metrics.
fn service_totals(totals: &Totals) -> ServiceTotals {
    let active = totals.streams.iter().find(|(status, _)| *status == StreamStatus::Active);
    ServiceTotals {
        active_streams: active.map_or(0, |(_, count)| *count),
        streams_by_status: totals.streams.iter().map(|(status, count)| (status.as_str(), *count)).collect(),
        participants: totals.participants,
    }
}
