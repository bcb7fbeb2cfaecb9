//! Application state: the parts that HTTP handlers and middleware use.

use std::{sync::Arc, time::Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::problem::Problem;
use crate::{
    access::token::TokenVerifier,
    admission::{Admission, FeedPermit, RequestContext},
    domain::ErrorCode,
    history::History,
    orchestrator::{Orchestrator, WebhookProcessor},
    outbound_webhooks::EndpointService,
    relay::{Lifetime, Relay},
    store::IdempotencyStore,
    telemetry::Metrics,
};

/// State that every worker thread holds a clone of. Handlers receive it as `Data<AppState>`.
#[derive(Clone)]
pub struct AppState {
    /// Use cases.
    pub orchestrator: Arc<Orchestrator>,
    /// Authentication, rate limits and limits on open feeds.
    pub admission: Arc<Admission>,
    /// Stored responses of requests with an idempotency key.
    pub idempotency_store: Arc<dyn IdempotencyStore>,
    /// Delivery of events to the clients of this instance.
    pub relay: Relay,
    /// Webhook endpoints of applications.
    pub webhook_endpoints: Arc<EndpointService>,
    /// The history; `None` without one.
    pub history: Option<Arc<History>>,
    /// Applies the events of webhooks.
    pub webhook_processor: Arc<WebhookProcessor>,
    /// Verifier of the tokens that sign LiveKit's webhooks.
    pub webhook_verifier: TokenVerifier,
    /// Bytes of webhooks that may wait for the rest of their bodies at once.
    pub webhook_bytes: Arc<Semaphore>,
    /// LiveKit address that participants connect to.
    pub livekit_public_url: String,
    /// Metrics of this instance.
    pub metrics: Arc<Metrics>,
    /// Identity of this instance, as `/health` shows it.
    pub instance: InstanceInfo,
    /// True if the API listener also serves `/metrics`.
    pub serves_metrics: bool,
    /// Cancelled when the instance starts to shut down.
    pub shutdown: CancellationToken,
}

/// Identity of a running instance.
#[derive(Clone, Debug)]
pub struct InstanceInfo {
    /// Random id, new at every start.
    pub id: String,
    /// Kind of the store: `redis` or `memory`.
    pub store: &'static str,
    /// Start time.
    pub started: Instant,
}

impl InstanceInfo {
    /// Identifies an instance that starts now, with this kind of store.
    pub fn new(store: &'static str) -> Self {
        Self { id: Uuid::now_v7().to_string(), store, started: Instant::now() }
    }
}

impl AppState {
    /// Reserves an open feed for the caller and returns its lifetime, which ends no later than the caller's token.
    ///
    /// # Errors
    /// [`ErrorCode::TooManyFeeds`] if the caller or the instance has reached its limit of open feeds.
    pub(super) fn open_feed(&self, context: &RequestContext) -> Result<(FeedPermit, Lifetime), Problem> {
        let permit = self.admission.open_feed(context);
        let permit = permit.ok_or_else(|| Problem::new(ErrorCode::TooManyFeeds))?;
        Ok((permit, self.relay.lifetime().within(context.token_lifetime())))
    }
}
