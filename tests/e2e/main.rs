//! End-to-end tests: LiveKit with its own webhooks, Redis, participants with media, nginx and Chromium.

#[path = "../support/mod.rs"]
mod support;

mod accessibility;
mod backstage;
mod blocks;
mod broadcast_fixture;
mod browser_feeds;
mod call_proxy;
mod client_programs;
mod devtools;
mod egress_crash;
mod egress_media;
mod existing_rooms;
mod ingress_media;
mod killed_workers;
mod live_js;
mod livekit_fixture;
mod livekit_reports;
mod livekit_webhooks;
mod livekit_workers;
mod media_fixture;
mod media_jobs;
mod media_secrets;
mod moderation_crash;
mod mute;
mod nginx;
mod nginx_failover;
mod nginx_limits;
mod openapi_conformance;
mod page_audience;
mod page_blocks;
mod page_broadcast;
mod page_failures;
mod page_fixture;
mod page_history;
mod page_meeting;
mod page_recordings;
mod page_stage;
mod page_states;
mod page_tokens;
mod panel_fixture;
mod participant;
mod participants;
mod raw_connections;
mod removal;
mod roles;
mod rows_js;
mod step_proxy;
mod stream_list_js;
mod webdriver;
mod webhook_loss;
mod whip;

use std::time::Duration;

use support::{
    app::{Setup, TestApp},
    servers::{LiveKit, free_port, shared_redis},
};

/// Two instances and a LiveKit server that posts its webhooks to the first.
struct InstancePair {
    one: TestApp,
    two: TestApp,
    livekit: LiveKit,
}

impl InstancePair {
    async fn start() -> Self {
        let port = free_port();
        let livekit = LiveKit::start(Some(&format!("http://127.0.0.1:{port}/webhooks/livekit")));
        let mut setup = Setup::new(shared_redis(), &livekit.url());
        setup.listing_grace = Duration::from_secs(10);
        let first = setup.clone().with(|arguments| arguments.port = Some(port.to_string()));
        Self { one: first.start().await, two: setup.start().await, livekit }
    }
}
