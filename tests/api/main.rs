//! API tests: instances of the service on real Redis and real LiveKit servers.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod audience;
mod auth_fixture;
mod backstage;
mod blocks;
mod broadcasts;
mod cancelled_reads;
mod commands;
mod concurrent_reads;
mod connection_lifetimes;
mod connections;
mod delivery_fixture;
mod documents;
mod egress_fixture;
mod errors;
mod events;
mod fold;
mod fuzz;
mod grpc;
mod grpc_connections;
mod half_closed;
mod hands;
mod history;
mod history_access;
mod history_reads;
mod history_recordings;
mod idempotency;
mod imports;
mod ingresses;
mod instance_crash;
mod large_resets;
mod malformed_requests;
mod message_bounds;
mod metadata;
mod one_participant;
mod open_access;
mod openapi;
mod operational_routes;
mod outages;
mod outbound_webhooks;
mod partial_heads;
mod rate_limits;
mod read_budget;
mod reconcile_lease;
mod recordings;
mod redis_cluster;
mod redis_error_replies;
mod redis_faults;
mod redis_inputs;
mod redis_partitions;
mod redis_security;
mod redis_sentinel;
mod redis_servers;
mod redis_write_failures;
mod refused_requests;
mod request_log;
mod resume;
mod secrets;
mod slow_clients;
mod snapshots;
mod stream_updates;
mod streams;
mod token_reasons;
mod token_rules;
mod tokens;
mod unavailable_media;
mod webhook_bodies;
mod webhooks;
mod websocket;

use support::{
    app::{Setup, TestApp},
    servers::{shared_livekit, shared_redis},
};

/// Two instances that share Redis and LiveKit.
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
