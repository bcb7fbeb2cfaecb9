//! The read limit by bytes holds for reads at the same time, for reads whose client leaves, and for answers to changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;
use socket2::SockRef;
use tokio::{io::AsyncWriteExt, task::JoinHandle, time::timeout};
use tonic::Code;

use super::{Pair, websocket::Socket};
use crate::support::{
    app::{Setup, TestApp, TestResponse},
    eventually,
    fault_proxy::FaultProxy,
    grpc::Client,
    raw_http::connect,
    servers::{port_of, shared_livekit, shared_redis},
};

/// Reads of one caller in progress at one instance.
const CONCURRENT: u64 = 8;
/// Minimum units of a read in these tests: the call and 12 times 64 KiB.
const COST: u64 = 13;
/// Changes of a stream, each with an event of 50 KB: about 1 MB, or 15 units.
const CHANGES: usize = 20;
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
async fn create_large_log(app: &TestApp) -> (String, String) {
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
async fn spent(app: &TestApp, address: &str, limit: u64) -> u64 {
    let answer = get_from(app, address, "/streams?status=stopped").await;
    limit - answer.header("ratelimit-remaining").unwrap().parse::<u64>().unwrap()
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
    let sockets = join_all((0..CALLS).map(|_| Socket::open(&app, "/ws"))).await;
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
async fn answers_to_changes_spend_read_limit_by_bytes() {
    let Pair(app, _other) = start_limited(200).await;
    let id = create_large_state(&app).await;
    let before = spent(&app, "127.0.0.1", 200).await;
    let changed = app.patch(&format!("/streams/{id}"), json!({"metadata": {"n": 1}})).await;
    let bytes = changed.text.len() as u64;
    assert!(bytes > 800_000, "{}", changed.text);
    assert_eq!(spent(&app, "127.0.0.1", 200).await, before + 1 + bytes / (64 * 1024));
}

/// Read limit of the tests with calls whose clients leave.
const LIMIT: u64 = 500;

/// A call over one transport.
trait CancelledCall {
    /// Port of the transport in metrics.
    const PORT: &'static str;
    /// Connections to the port that do not belong to the call.
    const OTHER_CONNECTIONS: u64;

    /// Begins the call. Dropping it closes the connection.
    async fn begin(&self, app: &TestApp, stream: &str, after: &str) -> Box<dyn Send>;
}

struct HistoryOverHttp;
struct ReplayOverGrpc;

impl CancelledCall for HistoryOverHttp {
    const PORT: &'static str = "http";
    // The one that reads the metrics.
    const OTHER_CONNECTIONS: u64 = 1;

    async fn begin(&self, app: &TestApp, stream: &str, _: &str) -> Box<dyn Send> {
        let mut connection = connect(&app.base).await;
        let request = format!("GET /events/{stream} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        // FIN would not cancel the call. With this option, closing sends a reset.
        SockRef::from(&connection).set_linger(Some(Duration::ZERO)).unwrap();
        Box::new(connection)
    }
}

/// Aborts a task when dropped.
struct Aborted(JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl CancelledCall for ReplayOverGrpc {
    const PORT: &'static str = "grpc";
    const OTHER_CONNECTIONS: u64 = 0;

    async fn begin(&self, app: &TestApp, stream: &str, after: &str) -> Box<dyn Send> {
        let (mut client, stream, after) = (Client::of(app).await, stream.to_owned(), after.to_owned());
        Box::new(Aborted(tokio::spawn(async move {
            let _feed = client.subscribe(&stream, &after).await;
            std::future::pending::<()>().await;
        })))
    }
}

/// Returns the value of a metric with this name and these labels.
async fn metric(app: &TestApp, name: &str) -> u64 {
    let metrics = app.get("/metrics").await.text;
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    metrics.lines().find_map(value).unwrap_or_default()
}

/// Number of charges of an instance.
const CHARGES: &str = "lso_redis_call_duration_seconds_count{call=\"charge\"}";

/// Makes a call whose client leaves while Redis's answer is held back. Reports whether the call was charged: one that
/// waits for more than 2 s fails, and costs its unit alone.
async fn is_charged<C: CancelledCall>(
    call: &C,
    (app, other): (&TestApp, &TestApp),
    proxy: &FaultProxy,
    (stream, after): (&str, &str),
) -> bool {
    let (before, held) = (spent(other, "127.0.0.1", LIMIT).await, proxy.held_count());
    let charges = metric(app, CHARGES).await;
    let connections = format!("lso_connections{{port=\"{}\"}}", C::PORT);
    proxy.hold(&format!("stream:{stream}:log"));
    let begun = call.begin(app, stream, after).await;
    eventually("a held read", || async { (proxy.held_count() > held).then_some(()) }).await;
    drop(begun);
    eventually("the end of the connection", || async {
        (metric(app, &connections).await == C::OTHER_CONNECTIONS).then_some(())
    })
    .await;
    proxy.release();
    let charged = eventually("a charge", || async { (metric(app, CHARGES).await > charges).then_some(()) });
    timeout(Duration::from_secs(3), charged).await.is_ok()
        && spent(other, "127.0.0.1", LIMIT).await > before + COST
}

async fn assert_cancelled_call_is_charged(call: impl CancelledCall) {
    let proxy = FaultProxy::start(port_of(shared_redis())).await;
    let setup = Setup::new(&proxy.url(), shared_livekit())
        .with(|arguments| arguments.admission.rate_limit_read = Some(format!("{LIMIT}/h")));
    let app = setup.start().await;
    let direct = setup.with(|arguments| arguments.redis_url = Some(shared_redis().into()));
    let other = direct.start().await;
    let (id, after) = create_large_log(&other).await;
    eventually("a charged call", || async {
        is_charged(&call, (&app, &other), &proxy, (&id, &after)).await.then_some(())
    })
    .await;
}

#[tokio::test]
async fn cancelled_history_is_charged_for_what_it_has_read() {
    assert_cancelled_call_is_charged(HistoryOverHttp).await;
}

#[tokio::test]
async fn cancelled_replay_over_grpc_is_charged_for_what_it_has_read() {
    assert_cancelled_call_is_charged(ReplayOverGrpc).await;
}
