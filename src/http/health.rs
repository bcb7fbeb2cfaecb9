//! How this instance is, and its metrics.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::Data,
};
use serde::Serialize;

use super::{app_state::AppState, problem::Problem, schemas};
use crate::{
    domain::{ErrorCode, StreamStatus},
    store::Totals,
    telemetry::metrics::ServiceTotals,
};

/// How long a part may take to say how it is.
const PART_TIMEOUT: Duration = Duration::from_millis(1_500);

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Up,
    Down,
}

#[derive(Serialize)]
struct Part {
    status: Health,
    kind: &'static str,
}

async fn part(kind: &'static str, answer: impl Future<Output = bool>) -> Part {
    let up = tokio::time::timeout(PART_TIMEOUT, answer).await.unwrap_or(false);
    Part { status: if up { Health::Up } else { Health::Down }, kind }
}

/// LiveKit, and where clients connect to it: who holds a token for a room needs no more than that.
#[derive(Serialize)]
struct LiveKit<'a> {
    #[serde(flatten)]
    part: Part,
    url: &'a str,
}

/// Where else a reader may look, as far as this caller can get there.
#[derive(Serialize)]
struct Links {
    docs: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<&'static str>,
}

/// `GET /health`
///
/// How each part is, for people; always 200.
#[utoipa::path(
    get, path = "/health", operation_id = "getHealth", tag = "operation",
    responses((status = 200, description = "How each part is", body = schemas::Health))
)]
pub async fn summary(api: Data<AppState>, request: HttpRequest) -> HttpResponse {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Summary<'a> {
        status: &'static str,
        version: &'static str,
        instance: &'a str,
        uptime_seconds: u64,
        store: Part,
        livekit: LiveKit<'a>,
        feed: Part,
        links: Links,
    }
    let health = api.orchestrator.health();
    let rooms_kind = if health.is_simulated() { "simulated" } else { "livekit" };
    let (store, livekit) = tokio::join!(
        part(api.instance.store, async { health.is_store_up().await }),
        part(rooms_kind, async { health.is_livekit_up().await }),
    );
    let feed = part("pubsub", async { api.relay.is_ready() }).await;
    let all_up = [&store, &livekit, &feed].iter().all(|part| part.status == Health::Up);
    // A proxy in front, as nginx/ sets it up, does not pass `/metrics` on.
    let direct = !request.headers().contains_key("x-forwarded-for");
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(Summary {
        status: if all_up { "ok" } else { "degraded" },
        version: env!("CARGO_PKG_VERSION"),
        instance: &api.instance.id,
        uptime_seconds: api.instance.started.elapsed().as_secs(),
        store,
        livekit: LiveKit { part: livekit, url: &api.livekit_public_url },
        feed,
        links: Links { docs: "/docs", metrics: (api.serves_metrics && direct).then_some("/metrics") },
    })
}

/// `GET /health/live`
///
/// The process answers. It asks nothing of Redis, so that an outage there restarts nobody.
#[utoipa::path(
    get, path = "/health/live", operation_id = "getLive", tag = "operation",
    responses((status = 200, description = "It does", body = schemas::Live))
)]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "ok" }))
}

/// `GET /health/ready`
///
/// This instance can serve: the store answers, and what is published reaches it.
#[utoipa::path(
    get, path = "/health/ready", operation_id = "getReady", tag = "operation",
    responses(
        (status = 200, description = "It can", body = schemas::Ready),
        (status = 503, description = "It cannot; `shutting_down`: it is going away", content(
            (schemas::Ready = "application/json"), (schemas::Problem = "application/problem+json")
        )),
    )
)]
pub async fn ready(api: Data<AppState>) -> Result<HttpResponse, Problem> {
    if api.shutdown.is_cancelled() {
        return Err(Problem::new(ErrorCode::ShuttingDown));
    }
    let store = part(api.instance.store, async { api.orchestrator.health().is_store_up().await }).await;
    let feed = api.relay.is_ready();
    let ready = store.status == Health::Up && feed;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({ "status": if ready { "ok" } else { "unavailable" }, "store": store.status,
        "feed": if feed { Health::Up } else { Health::Down } });
    Ok(HttpResponse::build(status).insert_header((header::CACHE_CONTROL, "no-store")).json(body))
}

/// `GET /metrics`
///
/// In Prometheus's text format. Not here where `METRICS_ADDR` is set.
#[utoipa::path(
    get, path = "/metrics", operation_id = "getMetrics", tag = "operation",
    responses((status = 200, description = "Metrics of this instance and of the whole service", body = String, content_type = "text/plain"))
)]
pub async fn metrics(api: Data<AppState>) -> Result<HttpResponse, Problem> {
    let totals = tokio::time::timeout(PART_TIMEOUT, api.orchestrator.health().totals()).await;
    let totals = totals.ok().and_then(Result::ok).as_ref().map(service_totals);
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
