//! HTTP: routes, server-sent events, the pages. Requests are parsed and checked here, and nowhere further in.

pub mod events;
mod extract;
mod framing;
mod health;
mod middleware;
mod openapi;
mod pages;
mod participants;
pub mod problem;
mod refusal;
mod routes;
mod server;
mod sse;
mod streams;
mod takeover;
mod webhooks;
mod websocket;
mod wire;

use std::{sync::Arc, time::Duration};

use actix_cors::Cors;
use tokio_util::sync::CancellationToken;

use self::problem::Problem;
pub use self::{
    health::About,
    openapi::openapi,
    routes::table,
    server::{serve, serve_metrics},
};
use crate::{
    admission::{Admission, Asking, Permit},
    domain::ErrorCode,
    orchestrator::Orchestrator,
    relay::{Lifetime, Relay},
    rooms::webhook::Receiver,
    store::Answers,
    telemetry::Metrics,
};

/// What the routes work with.
#[derive(Clone)]
pub struct Api {
    /// The use cases.
    pub orchestrator: Arc<Orchestrator>,
    /// The door that every call passes.
    pub admission: Arc<Admission>,
    /// What requests that may be sent again were answered with.
    pub answers: Arc<dyn Answers>,
    /// This instance's clients.
    pub relay: Relay,
    /// Checks webhooks.
    pub webhooks: Receiver,
    /// What LiveKit's clients connect to.
    pub livekit_public_url: String,
    /// This instance's metrics.
    pub metrics: Arc<Metrics>,
    /// What this instance says about itself.
    pub about: About,
    /// Whether `/metrics` is served beside the API.
    pub serves_metrics: bool,
    /// Set when the instance is going away.
    pub shutdown: CancellationToken,
}

impl Api {
    /// A place for a feed that this caller opens, and how long it may last: not longer than their token is good.
    ///
    /// # Errors
    /// [`ErrorCode::TooManyFeeds`] where there are as many as may be.
    fn open_feed(&self, asking: &Asking) -> Result<(Permit, Lifetime), Problem> {
        let permit = self.admission.open_feed(asking);
        let permit = permit.ok_or_else(|| Problem::new(ErrorCode::TooManyFeeds))?;
        Ok((permit, self.relay.lifetime().within(asking.remaining())))
    }
}

/// How the server is to behave.
pub struct ServerOptions {
    /// Origins that browsers may call from: none, a list, or `*`.
    pub cors_origins: Vec<String>,
    /// How long requests under way have to finish after the shutdown began.
    pub drain_timeout: Duration,
}

fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allow_any_method()
        .allow_any_header()
        .expose_headers([
            "etag",
            "idempotency-replayed",
            "last-event-id",
            "link",
            "location",
            "ratelimit-limit",
            "ratelimit-remaining",
            "ratelimit-reset",
            "retry-after",
            "www-authenticate",
            "x-request-id",
        ])
        .max_age(3_600);
    if origins.iter().any(|origin| origin == "*") {
        return cors.allow_any_origin().send_wildcard();
    }
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}
