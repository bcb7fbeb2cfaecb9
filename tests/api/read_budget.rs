//! The read limit is spent by bytes as well as by calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tonic::Code;

use super::{Pair, websocket::Socket};
use crate::support::{
    app::{TestApp, TestResponse},
    eventually,
    grpc::Client,
    within,
};

/// Bytes that cost one unit beyond the call itself.
const UNIT_BYTES: u64 = 64 * 1024;
/// Read limit of each caller.
const LIMIT: u64 = 50;

/// Two instances with an hourly read limit, behind a proxy that names its clients.
async fn start_limited() -> Pair {
    Pair::with(|arguments| {
        arguments.admission.rate_limit_read = Some(format!("{LIMIT}/h"));
        arguments.admission.trusted_proxies = Some("127.0.0.1".to_owned());
    })
    .await
}

/// Sends a GET from this address.
async fn get_from(app: &TestApp, address: &str, path: &str) -> TestResponse {
    let request = app.request(Method::GET, path).header("x-forwarded-for", address);
    TestResponse::read(request.send().await.unwrap()).await
}

fn remaining(answer: &TestResponse) -> u64 {
    answer.header("ratelimit-remaining").unwrap().parse().unwrap()
}

/// Creates a stream with metadata of about 50 KB and an event for each of `changes` changes of it.
async fn create_large(app: &TestApp, changes: usize) -> String {
    let stream = app.create(json!({"metadata": {"large": "x".repeat(50_000)}})).await;
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    for n in 0..changes {
        let large = format!("{n}{}", "x".repeat(50_000));
        app.patch(&path, json!({"metadata": {"large": large}})).await.expect(StatusCode::OK);
    }
    stream["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn history_of_large_events_spends_budget_sooner_than_small_reads() {
    let Pair(one, two) = start_limited().await;
    let id = create_large(&one, 20).await;
    let (history, state) = (format!("/events/{id}"), format!("/streams/{id}/state"));
    let mut left = LIMIT;
    let refused = loop {
        let answer = get_from(&one, "203.0.113.1", &history).await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        assert!(answer.text.len() > 500_000);
        // The call and every further 64 KiB. The limit is exhausted, not exceeded, when it is all spent.
        left = left.saturating_sub(1 + answer.text.len() as u64 / UNIT_BYTES);
        assert_eq!(remaining(&answer), left);
    };
    assert_eq!(left, 0);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    let hour = 3_600;
    assert!(wait <= hour + hour / LIMIT, "the debt is at most one more period: {wait} s");
    refused.expect_problem(429, "rate_limited");
    // The debt is known to every instance, and every transport.
    get_from(&two, "203.0.113.1", &state).await.expect_problem(429, "rate_limited");

    // A caller that reads small answers spends one unit for each call.
    for n in 1..=30 {
        let answer = get_from(&two, "203.0.113.2", &state).await;
        assert!((answer.text.len() as u64) < UNIT_BYTES);
        assert_eq!(remaining(&answer), LIMIT - n);
        answer.expect(StatusCode::OK);
    }
}

#[tokio::test]
async fn head_costs_as_much_as_get_and_304_costs_one_call() {
    let Pair(app, _other) = start_limited().await;
    let id = create_large(&app, 3).await;
    let history = format!("/events/{id}");
    let answer = get_from(&app, "203.0.113.1", &history).await;
    let cost = LIMIT - remaining(&answer);
    assert!(cost > 2, "{cost}");
    let head = app.request(Method::HEAD, &history).header("x-forwarded-for", "203.0.113.2");
    assert_eq!(LIMIT - remaining(&TestResponse::read(head.send().await.unwrap()).await), cost);

    let list = get_from(&app, "203.0.113.3", "/streams").await;
    let tag = list.header("etag").unwrap().to_owned();
    let before = remaining(&list);
    let again = app.request(Method::GET, "/streams").header("x-forwarded-for", "203.0.113.3");
    let again = TestResponse::read(again.header("if-none-match", tag).send().await.unwrap()).await;
    assert_eq!((again.status, remaining(&again)), (StatusCode::NOT_MODIFIED, before - 1));
}

#[tokio::test]
async fn state_over_grpc_costs_its_bytes() {
    let Pair(one, _two) = Pair::with(|arguments| {
        arguments.admission.rate_limit_read = Some(format!("{LIMIT}/h"));
    })
    .await;
    let stream = one.create(json!({})).await;
    let path = format!("/streams/{}/join", stream["id"].as_str().unwrap());
    let metadata = json!({"large": "x".repeat(40_000)});
    for n in 0..4 {
        let join = json!({"identity": format!("ann-{n}"), "metadata": metadata});
        one.post(&path, join).await.expect(StatusCode::OK);
    }
    let mut client = Client::of(&one).await;
    client.state(stream["id"].as_str().unwrap()).await.unwrap();
    let list = one.get("/streams").await;
    // The call over gRPC, its 160 KB, and this call.
    assert_eq!(remaining(&list), LIMIT - 1 - 2 - 1);
    assert!(matches!(list.body, Value::Array(_)));
}

/// Number of changes in the log that a feed replays: about 1 MB.
const CHANGES: usize = 20;

/// A feed that replays the log of a stream with large events; `open` returns false if it is refused.
trait Replay {
    async fn open(&self, app: &TestApp, stream: &str, after: &str) -> bool;
}

struct OverSse;
struct OverWebSocket;
struct OverGrpc;

impl Replay for OverSse {
    async fn open(&self, app: &TestApp, stream: &str, after: &str) -> bool {
        let mut feed = app.resume(&format!("/events?streamId={stream}"), after).await;
        if feed.status == StatusCode::TOO_MANY_REQUESTS {
            return false;
        }
        for _ in 0..CHANGES {
            feed.wait_for("stream_updated").await;
        }
        true
    }
}

impl Replay for OverWebSocket {
    async fn open(&self, app: &TestApp, stream: &str, after: &str) -> bool {
        let url = format!("{}/ws", app.base.replacen("http", "ws", 1));
        if tokio_tungstenite::connect_async(url).await.is_err() {
            return false;
        }
        let mut socket = Socket::open(app, "/ws").await;
        socket.send(json!({"type": "subscribe", "streamId": stream, "after": after})).await;
        let answer = socket.next().await;
        if answer["type"] == "error" {
            assert_eq!(answer["code"], "rate_limited", "{answer}");
            return false;
        }
        for _ in 0..CHANGES {
            assert_eq!(socket.next().await["type"], "stream_updated");
        }
        true
    }
}

impl Replay for OverGrpc {
    async fn open(&self, app: &TestApp, stream: &str, after: &str) -> bool {
        let mut client = Client::of(app).await;
        let mut feed = match client.subscribe(stream, after).await {
            Ok(feed) => feed,
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted);
                return false;
            }
        };
        for _ in 0..CHANGES {
            within("an event", feed.message()).await.unwrap().unwrap();
        }
        true
    }
}

async fn replays_until_refused(transport: impl Replay) -> u64 {
    let Pair(one, two) = start_limited().await;
    let stream = one.create(json!({"metadata": {"large": "x".repeat(50_000)}})).await;
    let id = stream["id"].as_str().unwrap();
    let path = format!("/streams/{id}");
    let first = one.patch(&path, json!({"metadata": {"n": 0}})).await;
    let after = first.header("last-event-id").unwrap().to_owned();
    for n in 0..CHANGES {
        let large = format!("{n}{}", "x".repeat(50_000));
        one.patch(&path, json!({"metadata": {"large": large}})).await.expect(StatusCode::OK);
    }
    let mut replays = 0;
    while transport.open(&two, id, &after).await {
        replays += 1;
    }
    replays
}

#[tokio::test]
async fn replaying_feed_client_is_refused_long_before_its_limit_of_calls() {
    // A replay costs its call and 15 units, so four of them exhaust the limit. Charges of the last ones may be under
    // way.
    let allowed = 1..=LIMIT / 5;
    for replays in [
        replays_until_refused(OverSse).await,
        replays_until_refused(OverWebSocket).await,
        replays_until_refused(OverGrpc).await,
    ] {
        assert!(allowed.contains(&replays), "{replays}");
    }
}

#[tokio::test]
async fn feed_costs_its_call_and_what_is_read_for_it_alone() {
    let Pair(app, _other) = start_limited().await;
    let stream = app.create(json!({})).await;
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    let spent = |answer: &TestResponse| LIMIT - remaining(answer);
    let mut feed = app.follow(&format!("/events?streamId={}", stream["id"].as_str().unwrap())).await;
    for n in 0..CHANGES {
        let large = format!("{n}{}", "x".repeat(50_000));
        app.patch(&path, json!({"metadata": {"large": large}})).await.expect(StatusCode::OK);
        feed.wait_for("stream_updated").await;
    }
    // Live events are read once for all clients.
    let before = app.get(&format!("{path}/participants")).await;
    assert_eq!(spent(&before), 2);

    let metadata = json!({"large": "x".repeat(40_000)});
    for n in 0..4 {
        let join = json!({"identity": format!("ann-{n}"), "metadata": metadata});
        app.post(&format!("{path}/join"), join).await.expect(StatusCode::OK);
    }
    // The state of 210 KB is read for this client: three units more than the call.
    let mut states = app.follow(&format!("/sse/{}/updates", stream["id"].as_str().unwrap())).await;
    states.message().await.unwrap();
    let mut calls = spent(&before) + 1;
    eventually("the charge for the first state", || {
        calls += 1;
        let (app, expected) = (&app, calls + 3);
        async move { (spent(&app.get("/streams?status=stopped").await) == expected).then_some(()) }
    })
    .await;
}
