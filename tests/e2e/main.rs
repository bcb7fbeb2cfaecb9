//! Everything real at once: LiveKit with its own webhooks, Redis, participants with media, Chromium.

#[path = "../support/mod.rs"]
mod support;

mod auth;
mod browser;
mod clients;
mod devtools;
mod failures;
mod front;
mod live;
mod manners;
mod meeting;
mod participants;
mod person;
mod reported;
mod scene;
mod schema;
mod states;
mod truth;
mod webdriver;
mod wire;

use std::time::Duration;

use support::{
    app::{Setup, TestApp},
    servers::{LiveKit, free_port, shared_redis},
};

/// Two instances and a LiveKit server that posts its webhooks to the first.
struct Stage {
    one: TestApp,
    two: TestApp,
    livekit: LiveKit,
}

impl Stage {
    async fn set() -> Self {
        let port = free_port();
        let livekit = LiveKit::start(Some(&format!("http://127.0.0.1:{port}/webhooks/livekit")));
        let mut setup = Setup::new(shared_redis(), &livekit.url());
        setup.listing_grace = Duration::from_secs(10);
        let first = setup.clone().with(|arguments| arguments.port = Some(port.to_string()));
        Self { one: first.start().await, two: setup.start().await, livekit }
    }
}
