//! The real server against real Redis and real LiveKit, two instances at once.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod answers;
mod check;
mod cluster;
mod documents;
mod errors;
mod events;
mod faults;
mod fuzz;
mod grpc;
mod half_closed;
mod hostile;
mod idempotency;
mod imports;
mod instance_crash;
mod lease;
mod lifetimes;
mod limits;
mod metadata;
mod openapi;
mod operations;
mod outages;
mod refusals;
mod replies;
mod request_log;
mod resume;
mod secrets;
mod secured;
mod sentinel;
mod slow;
mod snapshots;
mod stage;
mod streams;
mod token_reasons;
mod token_rules;
mod tokens;
mod webhooks;
mod websocket;

use support::{
    app::{Setup, TestApp},
    servers::{shared_livekit, shared_redis},
};

/// Two instances of one service.
struct Pair(TestApp, TestApp);

impl Pair {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut livestream_orchestrator::settings::Arguments)) -> Self {
        let setup = Setup::new(shared_redis(), shared_livekit()).with(change);
        Self(setup.start().await, setup.start().await)
    }
}
