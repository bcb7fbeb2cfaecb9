//! The read limit by bytes holds for reads at the same time and for answers to changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tonic::Code;

use super::{Pair, websocket::Socket};
use crate::support::{
    app::{Setup, TestApp, TestResponse},
    fault_proxy::FaultProxy,
    grpc::Client,
    servers::{port_of, shared_livekit, shared_redis},
};

/// Reads of one caller in progress at one instance.
const CONCURRENT: u64 = 8;
/// Minimum units of a read in these tests: the call and 12 times 64 KiB.
pub const COST: u64 = 13;
/// Changes of a stream, each with an event of 50 KB: about 1 MB, or 15 units.
const CHANGES: usize = 20;
/// Read limit of tests whose calls do not reach it.
pub const LIMIT: u64 = 500;
/// Concurrent calls of a test.
const CALLS: usize = 100;

/// Returns the maximum number of reads that pass at one instance while `free` units are left. Each one that has ended
/// is charged, and the others are in progress.
fn max_passed(free: u64) -> u64 {
    free / COST + CONCURRENT
}

/// Two instances with an hourly read limit, behind a proxy that names its clients.
async fn start_limited(limit: u64) -> Pair {
    Pair::with(|arguments| {
        arguments.admission.rate_limit_read = Some(format!("{limit}/h"));
        arguments.admission.trusted_proxies = Some("127.0.0.1".to_owned());
    })
    .await
}

/// Creates a stream whose log has events of about 1 MB. Returns its id, and the cursor before these events.
pub async fn create_large_log(app: &TestApp) -> (String, String) {
    let stream = app.create(json!({})).await;
    let id = stream["id"].as_str().unwrap().to_owned();
    let path = format!("/streams/{id}");
    let first = app.patch(&path, json!({"metadata": {"n": 0}})).await;
    for n in 1..=CHANGES {
        let large = format!("{n}{}", "x".repeat(50_000));
        app.patch(&path, json!({"metadata": {"large": large}})).await.expect(StatusCode::OK);
    }
    (id, first.header("last-event-id").unwrap().to_owned())
}

/// Creates a stream with participants of about 850 KB and returns its id.
async fn create_large_state(app: &TestApp) -> String {
    let stream = app.create(json!({})).await;
    let id = stream["id"].as_str().unwrap().to_owned();
    let metadata = json!({"large": "x".repeat(57_000)});
    for n in 0..15 {
        let join = json!({"identity": format!("ann-{n}"), "metadata": metadata});
        app.post(&format!("/streams/{id}/join"), join).await.expect(StatusCode::OK);
    }
    id
}

async fn get_from(app: &TestApp, address: &str, path: &str) -> TestResponse {
    let request = app.request(Method::GET, path).header("x-forwarded-for", address);
    TestResponse::read(request.send().await.unwrap()).await
}

/// Returns the units that this address has spent, with the one for this call.
pub async fn spent(app: &TestApp, address: &str, limit: u64) -> u64 {
    let answer = get_from(app, address, "/streams?status=stopped").await;
    limit - answer.header("ratelimit-remaining").unwrap().parse::<u64>().unwrap()
}

/// Returns the value of a metric with this name and these labels.
pub async fn metric(app: &TestApp, name: &str) -> u64 {
    let metrics = app.get("/metrics").await.text;
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    metrics.lines().find_map(value).unwrap_or_default()
}

fn assert_passed(passed: impl Iterator<Item = bool>, free: u64) {
    let passed = passed.filter(|passed| *passed).count() as u64;
    assert!((1..=max_passed(free)).contains(&passed), "{passed} of {CALLS}");
}

#[tokio::test]
async fn concurrent_histories_pass_up_to_read_limit_and_reads_in_progress() {
    let Pair(app, _other) = start_limited(50).await;
    let (id, _) = create_large_log(&app).await;
    let history = format!("/events/{id}");
    let answers = join_all((0..CALLS).map(|_| get_from(&app, "203.0.113.1", &history))).await;
    assert_passed(answers.iter().map(|answer| answer.status == StatusCode::OK), 50);
    for answer in answers.into_iter().filter(|answer| answer.status != StatusCode::OK) {
        assert!(answer.header("retry-after").is_some());
        answer.expect_problem(429, "rate_limited");
    }
    get_from(&app, "203.0.113.2", &history).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn concurrent_replays_over_sse_pass_up_to_read_limit_and_reads_in_progress() {
    let Pair(app, _other) = start_limited(50).await;
    let (id, after) = create_large_log(&app).await;
    let path = format!("/events?streamId={id}");
    let feeds = join_all((0..CALLS).map(|_| app.resume(&path, &after))).await;
    assert_passed(feeds.iter().map(|feed| feed.status == StatusCode::OK), 50);
}

#[tokio::test]
async fn concurrent_replays_over_websocket_pass_up_to_read_limit_and_reads_in_progress() {
    // Each connection spends one unit.
    let free = 50;
    let Pair(app, _other) = start_limited(free + CALLS as u64).await;
    let (id, after) = create_large_log(&app).await;
    let mut sockets = Vec::new();
    for _ in 0..CALLS {
        // One after the other, because few of them may wait.
        sockets.push(Socket::open(&app, "/ws").await);
    }
    let subscribing = sockets.into_iter().map(async |mut socket| {
        socket.send(json!({"type": "subscribe", "streamId": id, "after": after})).await;
        let answer = socket.next().await;
        let is_refused = (&answer["type"], &answer["code"]) == (&json!("error"), &json!("rate_limited"));
        assert!(is_refused || answer["type"] == "subscribed", "{answer}");
        !is_refused
    });
    assert_passed(join_all(subscribing).await.into_iter(), free);
}

#[tokio::test]
async fn concurrent_calls_over_grpc_pass_up_to_read_limit_and_reads_in_progress() {
    for is_feed in [true, false] {
        let Pair(app, _other) = start_limited(50).await;
        let (id, after) = if is_feed {
            create_large_log(&app).await
        } else {
            (create_large_state(&app).await, String::new())
        };
        let calls = (0..CALLS).map(async |_| {
            let mut client = Client::of(&app).await;
            let failure = match is_feed {
                true => client.subscribe(&id, &after).await.err(),
                false => client.state(&id).await.err(),
            };
            assert!(
                failure.as_ref().is_none_or(|status| status.code() == Code::ResourceExhausted),
                "{failure:?}"
            );
            failure.is_none()
        });
        assert_passed(join_all(calls).await.into_iter(), 50);
    }
}

#[tokio::test]
async fn reads_over_limit_of_waiting_ones_are_refused_at_once_and_spend_read_limit() {
    const REFUSED: usize = 50;
    let proxy = FaultProxy::start(port_of(shared_redis())).await;
    let setup = Setup::new(&proxy.url(), shared_livekit()).with(|arguments| {
        arguments.admission.rate_limit_read = Some(format!("{LIMIT}/h"));
        arguments.admission.trusted_proxies = Some("127.0.0.1".to_owned());
    });
    let app = setup.start().await;
    let stream = app.create(json!({})).await;
    let id = stream["id"].as_str().unwrap();
    let history = format!("/events/{id}");
    // Reads that are not refused get no answer while Redis's are held back, or a 503.
    proxy.hold(&format!("stream:{id}:log"));
    let reads: FuturesUnordered<_> =
        (0..2 * CALLS).map(|_| get_from(&app, "203.0.113.1", &history)).collect();
    let refused = reads.filter(|answer| std::future::ready(answer.status == StatusCode::TOO_MANY_REQUESTS));
    let refused: Vec<_> = refused.take(REFUSED).collect().await;
    assert_eq!(refused.len(), REFUSED);
    let mut least = LIMIT;
    for answer in refused {
        let header = |name| answer.header(name).unwrap().parse::<u64>().unwrap();
        assert_eq!((header("ratelimit-limit"), header("retry-after")), (LIMIT, 1));
        least = least.min(header("ratelimit-remaining"));
        assert!(header("ratelimit-reset") > 0);
        answer.expect_problem(429, "rate_limited");
    }
    assert!(least <= LIMIT - REFUSED as u64, "{least} units are left");
    let counted = metric(&app, "lso_requests_refused_total{reason=\"too_many_reads\"}").await;
    assert!(counted >= REFUSED as u64, "{counted}");
    proxy.release();
}

#[tokio::test]
async fn answers_to_changes_spend_read_limit_by_bytes() {
    let Pair(app, _other) = start_limited(200).await;
    let id = create_large_state(&app).await;
    let before = spent(&app, "127.0.0.1", 200).await;
    let changed = app.patch(&format!("/streams/{id}"), json!({"metadata": {"n": 1}})).await;
    let bytes = changed.text.len() as u64;
    assert!(bytes > 800_000, "{}", changed.text);
    assert_eq!(spent(&app, "127.0.0.1", 200).await, before + 1 + bytes / (64 * 1024));
}
