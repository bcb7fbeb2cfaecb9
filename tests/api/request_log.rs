//! The request log of a process: which requests have a line, the fields of a line, and the lines of a process that ends
//! or whose log is not read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    io::{PipeReader, Read},
    time::Duration,
};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::io::AsyncWriteExt;

use crate::support::{
    eventually,
    fault_proxy::FaultProxy,
    instance::Instance,
    raw_http::connect,
    servers::{Redis, port_of, shared_livekit, shared_redis},
    unique, within,
};

/// An instance with the default filter.
fn instance(redis: &str) -> Instance {
    Instance::new(redis, shared_livekit(), &unique("log")).with("RUST_LOG", "")
}

/// Sends requests with a request id to one instance.
struct Caller {
    client: Client,
    base: String,
}

impl Caller {
    fn new(instance: &Instance) -> Self {
        Self { client: Client::new(), base: instance.address().http }
    }

    async fn call(&self, method: Method, path: &str, request_id: &str) -> StatusCode {
        let request = self.client.request(method.clone(), format!("{}{path}", self.base));
        let request = request.header("x-request-id", request_id);
        let request =
            if method == Method::POST { request.json(&json!({"roomName": "room"})) } else { request };
        within("an answer", request.send()).await.unwrap().status()
    }

    /// Value of a metric with this name and these labels.
    async fn metric(&self, name: &str) -> Option<u64> {
        let metrics = self.client.get(format!("{}/metrics", self.base)).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    async fn lost_lines(&self) -> u64 {
        self.metric("lso_log_lines_lost_total").await.unwrap()
    }

    /// Number of histories with this status.
    async fn histories(&self, status: u16) -> u64 {
        let name = "lso_http_requests_total{method=\"GET\",route=\"/events/{id}\"";
        self.metric(&format!("{name},status=\"{status}\"}}")).await.unwrap_or_default()
    }

    /// Requests a history while Redis's answer is held back, and resets the connection. Reports whether the request had
    /// no response: Redis's answer is too late after 2 s, and the response is then a 503.
    async fn leave_early(&self, proxy: &FaultProxy, request_id: &str) -> bool {
        let (held, failed) = (proxy.held_count(), self.histories(503).await);
        let mut connection = connect(&self.base).await;
        let head =
            format!("GET /events/room HTTP/1.1\r\nhost: localhost\r\nx-request-id: {request_id}\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        eventually("a held read", || async { (proxy.held_count() > held).then_some(()) }).await;
        SockRef::from(&connection).set_linger(Some(Duration::ZERO)).unwrap();
        drop(connection);
        eventually("a counted request", || async {
            let (left, failures) = (self.histories(499).await, self.histories(503).await);
            (left > 0 || failures > failed).then_some(left > 0)
        })
        .await
    }
}

fn parse(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// The line of the request with this id, if there is one.
fn line_of<'a>(lines: &'a [Value], request_id: &str) -> Option<&'a Value> {
    let mut of_request =
        lines.iter().filter(|line| line["message"] == "answered" && line["span"]["id"] == request_id);
    let line = of_request.next();
    assert!(of_request.next().is_none(), "{request_id} has one line");
    line
}

#[tokio::test]
async fn default_log_filter_has_lines_of_changes_and_errors_but_not_reads() {
    let mut redis = Redis::start();
    let mut instance = instance(&redis.url()).with_log();
    instance.start().await;
    let caller = Caller::new(&instance);
    assert_eq!(caller.call(Method::POST, "/streams", "change").await, StatusCode::CREATED);
    let read = "/streams/room/state?access_token=hunter2";
    assert_eq!(caller.call(Method::GET, read, "read").await, StatusCode::OK);
    assert_eq!(caller.call(Method::HEAD, "/streams/room", "head").await, StatusCode::OK);
    assert_eq!(caller.call(Method::GET, "/events", "feed").await, StatusCode::OK);
    assert_eq!(caller.call(Method::GET, "/health/ready", "probe").await, StatusCode::OK);
    assert_eq!(caller.call(Method::GET, "/metrics", "scrape").await, StatusCode::OK);
    let absent = "/streams/absent/state?access_token=hunter2";
    assert_eq!(caller.call(Method::GET, absent, "absent").await, StatusCode::NOT_FOUND);
    assert_eq!(caller.call(Method::GET, absent, "\"quoted\\").await, StatusCode::NOT_FOUND);
    redis.kill();
    assert_eq!(caller.call(Method::DELETE, "/streams/room", "failed").await, StatusCode::SERVICE_UNAVAILABLE);
    instance.terminate().await;
    let (log, lines) = (instance.log(), parse(&instance.log()));

    for silent in ["read", "head", "feed", "probe", "scrape"] {
        assert_eq!(line_of(&lines, silent), None);
    }
    let change = line_of(&lines, "change").unwrap();
    assert_eq!(
        (&change["level"], &change["method"], &change["path"]),
        (&json!("INFO"), &json!("POST"), &json!("/streams"))
    );
    assert_eq!(
        (&change["status"], &change["target"]),
        (&json!(201), &json!("livestream_orchestrator::http::middleware::observe"))
    );
    assert!(change["millis"].as_f64().unwrap() > 0.0 && change["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(line_of(&lines, "\"quoted\\").unwrap()["path"], "/streams/absent/state");
    let failed = line_of(&lines, "failed").unwrap();
    assert_eq!((&failed["level"], &failed["status"]), (&json!("WARN"), &json!(503)));
    assert!(!log.contains("hunter2"), "queries may contain tokens");
}

#[tokio::test]
async fn request_whose_client_leaves_before_the_response_has_a_line_with_status_499() {
    let proxy = FaultProxy::start(port_of(shared_redis())).await;
    let mut instance = instance(&proxy.url()).with_log();
    instance.start().await;
    let caller = Caller::new(&instance);
    assert_eq!(caller.call(Method::POST, "/streams", "create").await, StatusCode::CREATED);
    proxy.hold(":log");
    let mut attempts = 0;
    loop {
        attempts += 1;
        if caller.leave_early(&proxy, &format!("left-{attempts}")).await {
            break;
        }
    }
    proxy.release();
    instance.terminate().await;
    let lines = parse(&instance.log());
    let line = line_of(&lines, &format!("left-{attempts}")).unwrap();
    assert_eq!((&line["level"], &line["status"]), (&json!("INFO"), &json!(499)));
    assert_eq!((&line["method"], &line["path"]), (&json!("GET"), &json!("/events/room")));
}

#[tokio::test]
async fn debug_log_filter_has_lines_of_reads() {
    let mut instance = instance(shared_redis()).with("RUST_LOG", "livestream_orchestrator=debug").with_log();
    instance.start().await;
    let caller = Caller::new(&instance);
    assert_eq!(caller.call(Method::GET, "/streams", "read").await, StatusCode::OK);
    instance.terminate().await;
    assert_eq!(line_of(&parse(&instance.log()), "read").unwrap()["level"], "DEBUG");
}

#[tokio::test]
async fn log_after_sigterm_has_all_earlier_lines() {
    let mut instance = instance(shared_redis()).with_log();
    instance.start().await;
    let caller = Caller::new(&instance);
    for n in 0..300 {
        caller.call(Method::GET, "/absent", &format!("request-{n}")).await;
    }
    instance.terminate().await;
    let lines = parse(&instance.log());
    for n in 0..300 {
        assert!(line_of(&lines, &format!("request-{n}")).is_some(), "{n}");
    }
    assert_eq!(lines.last().unwrap()["message"], "shut down");
}

/// A path whose log line has 8 KB.
fn long_path() -> String {
    format!("/absent/{}", "x".repeat(8_000))
}

/// Reads a pipe to its end.
async fn read_to_end(mut log: PipeReader) -> String {
    let read = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).map(|_| text)
    });
    within("the end of the log", read).await.unwrap().unwrap()
}

#[tokio::test]
async fn unread_log_blocks_no_request_and_keeps_errors() {
    let mut redis = Redis::start();
    let (unread, output) = std::io::pipe().unwrap();
    let mut instance = instance(&redis.url()).with_log_output(output);
    instance.start().await;
    let caller = Caller::new(&instance);
    let path = long_path();
    // These lines have 8 MB. A pipe holds 64 KB and the queue 4 MiB.
    for _ in 0..1_000 {
        assert_eq!(caller.call(Method::GET, &path, "long").await, StatusCode::NOT_FOUND);
    }
    let before = caller.lost_lines().await;
    assert!((1..1_000).contains(&before), "{before} lines were lost");
    // The queue is full when even the shortest line does not fit.
    eventually("a full queue", || async {
        caller.call(Method::GET, "/f", "f").await;
        (caller.lost_lines().await > before).then_some(())
    })
    .await;
    redis.kill();
    assert_eq!(caller.call(Method::POST, "/streams", "failed").await, StatusCode::SERVICE_UNAVAILABLE);
    let log = tokio::spawn(read_to_end(unread));
    let lost = eventually("space in the queue", || async {
        let before = caller.lost_lines().await;
        caller.call(Method::GET, "/f", "f").await;
        Some(caller.lost_lines().await).filter(|lost| *lost == before)
    })
    .await;
    instance.terminate().await;
    drop(instance);
    let lines = parse(&within("the log", log).await.unwrap());
    assert_eq!(line_of(&lines, "failed").unwrap()["level"], "WARN");
    let reports =
        lines.iter().filter(|line| line["message"].as_str().unwrap().starts_with("log lines were lost"));
    assert_eq!(reports.map(|line| line["lines"].as_u64().unwrap()).sum::<u64>(), lost);
}

#[tokio::test]
async fn process_with_unread_log_ends_at_sigterm() {
    let (unread, output) = std::io::pipe().unwrap();
    let mut instance = instance(shared_redis()).with_log_output(output);
    instance.start().await;
    let (caller, path) = (Caller::new(&instance), long_path());
    for _ in 0..20 {
        caller.call(Method::GET, &path, "long").await;
    }
    instance.terminate().await;
    drop(unread);
}
