//! Outbound webhooks: the endpoints, and the deliveries to real receivers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod check;
mod corrections;
mod delivery;
mod endpoints;
mod proxies;
mod takeover;

use std::time::Duration;

use livestream_orchestrator::settings::Arguments;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp},
    servers::{shared_livekit, shared_redis},
};

/// Settings with which endpoints may be on this machine.
fn setup() -> Setup {
    let private = |arguments: &mut Arguments| arguments.webhook_allow_private = Some("true".to_owned());
    Setup::new(shared_redis(), shared_livekit()).with(private)
}

async fn create_endpoint(app: &TestApp, body: Value) -> Value {
    app.post("/webhook-endpoints", body).await.expect(StatusCode::CREATED)
}

/// Creates a stream, and changes its metadata a number of times. Returns its id.
async fn change_stream(app: &TestApp, changes: usize) -> String {
    let id = app.create(json!({})).await["id"].as_str().unwrap().to_owned();
    for n in 0..changes {
        app.patch(&format!("/streams/{id}"), json!({"metadata": {"n": n}})).await.expect(StatusCode::OK);
    }
    id
}

/// Numbers of a stream's events in the received requests, without repeats.
fn first_seqs(received: &[crate::support::endpoint::Received], stream: &str) -> Vec<u64> {
    let mut seqs = Vec::new();
    for event in received.iter().map(|one| one.json()).filter(|event| event["streamId"] == stream) {
        let seq = event["seq"].as_u64().unwrap();
        if !seqs.contains(&seq) {
            seqs.push(seq);
        }
    }
    seqs
}

/// Time within which an endpoint that is up gets an event, on a busy machine.
const PROMPT: Duration = Duration::from_secs(10);
