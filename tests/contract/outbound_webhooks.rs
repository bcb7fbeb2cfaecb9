//! The webhook sender on a moved clock, over restarts, and after a loss of events; the client and changing names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod faults;
mod fixture;
mod http_client;
mod lookups;
mod misbehaving;
mod missed;
mod resets;
mod secrets;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use livestream_orchestrator::{
    delivery::{AddressPolicy, Answer, EndpointClient, Failure, HttpEndpointClient, Message, Resolve},
    domain::{DisabledReason, Endpoint, Timestamp},
    store::LogBounds,
};
use serde_json::Value;
use tokio::net::TcpListener;
use url::Url;

use self::fixture::Fixture;
use crate::support::install_crypto_provider;

/// Delays of the schedule, in seconds.
const DELAYS: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

#[tokio::test]
async fn schedule_survives_restarts_and_ends_with_the_endpoint_disabled() {
    let fixture = Fixture::start(LogBounds::DEFAULT, 500).await;
    fixture.begin().await;
    fixture.backend.create("waits").await;
    for (failed, delay) in DELAYS.into_iter().enumerate() {
        fixture.run_until_received(failed + 1).await;
        let (attempts, seconds) = fixture.waiting().await;
        assert_eq!(attempts, i64::try_from(failed).unwrap() + 1);
        assert!((delay - 5..=delay * 6 / 5).contains(&seconds), "{seconds} s instead of {delay}");
        fixture.advance(delay * 6 / 5 + 1);
    }
    fixture.run_until_received(10).await;
    let disabled = fixture.directory.find(&fixture.endpoint.id).await.unwrap().endpoint.disabled;
    assert_eq!(disabled.unwrap().0, DisabledReason::Exhausted);
    assert!(fixture.client.bodies().iter().all(|body| body["type"] == "stream_created"));
    // The position is kept: everything follows once the endpoint is enabled.
    fixture.client.status.store(200, Ordering::Relaxed);
    fixture.backend.create("later").await;
    let enable = |endpoint: &mut Endpoint| {
        (endpoint.disabled, endpoint.enabled_at) = (None, Timestamp::from_millis(i64::MAX));
        Ok(true)
    };
    fixture.directory.change(&fixture.endpoint.id, enable).await.unwrap();
    fixture.run_until_received(12).await;
    let rooms = fixture.client.bodies();
    let rooms: Vec<_> = rooms[10..].iter().map(|body| body["data"]["stream"]["roomName"].clone()).collect();
    assert!(rooms.contains(&"waits".into()) && rooms.contains(&"later".into()), "{rooms:?}");
}

/// Bounds beyond which an endpoint that is away loses events.
const SMALL_LOGS: LogBounds =
    LogBounds { retention: Duration::from_millis(1), min_events: 2, max_events: 20, max_bytes: 40_000 };

#[tokio::test]
async fn endpoint_that_was_away_for_longer_than_the_log_gets_a_reset_first() {
    let fixture = Fixture::start(SMALL_LOGS, 200).await;
    fixture.begin().await;
    let stream = fixture.backend.create("busy").await.reference();
    for n in 1..=600 {
        fixture.change(&stream, n).await;
    }
    fixture.run_until_received(1).await;
    let reset = fixture.client.bodies()[0].clone();
    assert_eq!((&reset["type"], &reset["reason"]), (&"reset".into(), &"cursor_expired".into()));
    assert!(reset["cursor"].is_string() && reset.get("snapshot").is_none(), "{reset}");
    fixture.change(&stream, 601).await;
    fixture.run_until_received(2).await;
    let bodies = fixture.client.bodies();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[1]["data"]["stream"]["metadata"]["n"], 601);
}

/// An endpoint fails for 75 hours, in which a stream changes a number of times. Then it gets a reset of what the logs
/// have lost, once, and the events after it. Returns the reset.
async fn reset_after_75_hours(changes: usize) -> Value {
    let fixture = Fixture::start(SMALL_LOGS, 500).await;
    fixture.begin().await;
    let stream = fixture.backend.create("busy").await.reference();
    let mut away = 0;
    for (failed, delay) in DELAYS[..8].iter().enumerate() {
        fixture.run_until_received(failed + 1).await;
        let seconds = delay * 6 / 5 + 1;
        fixture.advance(seconds);
        away += seconds;
    }
    fixture.run_until_received(9).await;
    fixture.advance(75 * 3_600 - away);
    for n in 1..=changes {
        fixture.change(&stream, n).await;
    }
    fixture.client.status.store(200, Ordering::Relaxed);
    // The next attempt is the last one: until then, the endpoint is not disabled.
    fixture.advance(DELAYS[8] * 6 / 5);
    fixture.run_until_received(10).await;
    fixture.change(&stream, changes + 1).await;
    fixture.run_until_received(11).await;
    let bodies = fixture.client.bodies();
    assert!(bodies[..9].iter().all(|body| body["type"] == "stream_created"));
    assert_eq!((bodies.len(), &bodies[9]["type"]), (11, &"reset".into()));
    assert_eq!(bodies[10]["data"]["stream"]["metadata"]["n"], changes + 1);
    bodies[9].clone()
}

#[tokio::test]
async fn endpoint_that_was_away_for_75_hours_gets_a_reset_of_the_lost_events() {
    let of_stream = reset_after_75_hours(10).await;
    assert_eq!((&of_stream["reason"], of_stream["streamId"].is_string()), (&"cursor_expired".into(), true));
    let of_all = reset_after_75_hours(600).await;
    assert_eq!((&of_all["reason"], &of_all["streamId"]), (&"cursor_expired".into(), &Value::Null));
}

/// A name that leads elsewhere from the second lookup on.
struct ChangingName {
    lookups: AtomicUsize,
    addresses: [SocketAddr; 2],
}

#[async_trait]
impl Resolve for ChangingName {
    async fn resolve(&self, _: &str, _: u16) -> std::io::Result<Vec<SocketAddr>> {
        let lookup = self.lookups.fetch_add(1, Ordering::Relaxed);
        Ok(vec![self.addresses[lookup.min(1)]])
    }
}

#[tokio::test]
async fn name_that_changes_to_a_forbidden_address_after_the_check_is_not_connected_to() {
    install_crypto_provider();
    let local = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = ["93.184.216.34:80".parse().unwrap(), local.local_addr().unwrap()];
    let resolver = Arc::new(ChangingName { lookups: AtomicUsize::new(0), addresses });
    let client = HttpEndpointClient::new(resolver, AddressPolicy { allows_private: false }, 1);
    let url = Url::parse("http://rebinding.example.com/hook").unwrap();
    assert_eq!(client.check(&url).await, Ok(()));
    let message = Message { id: "msg".into(), timestamp: 1, signature: "v1,x".into(), body: Bytes::new() };
    assert_eq!(client.post(&url, message).await, Answer::Failed(Failure::ForbiddenAddress));
    let accepted = tokio::time::timeout(Duration::ZERO, local.accept()).await;
    assert!(accepted.is_err(), "no connection was made");
}
