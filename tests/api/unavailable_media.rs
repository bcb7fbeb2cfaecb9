//! Requests for ingresses, recordings and broadcasts to a LiveKit without Redis, without workers, and one that does not
//! answer: each is refused within seconds, although LiveKit itself goes on trying for longer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::egress_fixture::path;
use crate::support::{
    app::{Setup, TestApp, TestResponse},
    servers::{LiveKit, Redis, free_port, shared_livekit, shared_livekit_with_redis, shared_redis},
};

/// The service answers within 5 s; the rest is for a busy machine. LiveKit tries for 22 s.
const LIMIT: Duration = Duration::from_secs(9);

/// Expected status, and the code of the problem unless it is a success.
type Expected = (u16, &'static str);

const NO_EGRESS: Expected = (503, "egress_unavailable");
const NO_INGRESS: Expected = (503, "ingress_unavailable");
const CREATED: Expected = (201, "");

async fn start(livekit: &str) -> TestApp {
    let setup = Setup::new(shared_redis(), livekit);
    setup.with(|arguments| arguments.egress.egress_storage_url = Some("file:///x".to_owned())).start().await
}

/// Sends a request of each kind.
async fn requests(app: &TestApp, stream: &Value) -> Vec<(&'static str, TestResponse)> {
    let ingress = |kind: &str| json!({"type": kind, "identity": kind});
    let pulled = json!({"type": "url", "identity": "url", "url": "https://a.example/one.m3u8"});
    let rtmp = json!({"rtmp": ["rtmp://a.example/app/key"]});
    let bodies = [
        ("recordings", json!({})),
        ("recordings", json!({"layout": "grid"})),
        ("broadcasts", rtmp),
        ("broadcasts", json!({"hls": {}})),
        ("ingresses", ingress("rtmp")),
        ("ingresses", ingress("whip")),
        ("ingresses", pulled),
    ];
    let sent = bodies.map(|(kind, body)| async move {
        let answer = timeout(LIMIT, app.post(&path(stream, kind), body.clone())).await;
        (kind, answer.unwrap_or_else(|_| panic!("no answer in time to {kind} {body}")))
    });
    join_all(sent).await
}

/// Checks the answers: those of recordings and broadcasts are alike, then RTMP, WHIP and URL ingresses.
async fn check(app: &TestApp, stream: &Value, egress: Expected, [rtmp, whip, url]: [Expected; 3]) {
    let expected = [egress, egress, egress, egress, rtmp, whip, url];
    for ((kind, answer), (status, code)) in requests(app, stream).await.into_iter().zip(expected) {
        if status == 201 {
            assert_eq!(answer.status, StatusCode::CREATED, "{kind}: {}", answer.text);
        } else {
            answer.expect_problem(status, code);
        }
    }
    for kind in ["recordings", "broadcasts"] {
        assert_eq!(app.get(&path(stream, kind)).await.expect(StatusCode::OK), json!([]));
    }
    let made = [rtmp, whip, url].iter().filter(|(status, _)| *status == 201).count();
    let listed = app.get(&path(stream, "ingresses")).await.expect(StatusCode::OK);
    assert_eq!(listed.as_array().unwrap().len(), made, "{listed}");
}

#[tokio::test]
async fn livekit_without_redis_refuses_media_jobs_in_time() {
    let app = start(shared_livekit()).await;
    let stream = app.create(json!({})).await;
    check(&app, &stream, NO_EGRESS, [NO_INGRESS; 3]).await;
}

#[tokio::test]
async fn livekit_without_workers_refuses_what_needs_one_in_time() {
    let app = start(shared_livekit_with_redis()).await;
    let stream = app.create(json!({})).await;
    check(&app, &stream, NO_EGRESS, [CREATED, CREATED, NO_INGRESS]).await;
    // LiveKit goes on looking for a worker.
    let stopped = app.delete(&path(&stream, "")).await.expect(StatusCode::OK);
    assert_eq!((&stopped["recording"], &stopped["ingresses"]), (&json!(false), &json!(0)));
}

#[tokio::test]
async fn livekit_that_does_not_answer_refuses_media_jobs_in_time() {
    let redis = Redis::start();
    let livekit = LiveKit::start_with_redis(None, &redis, free_port());
    let app = start(&livekit.url()).await;
    let stream = app.create(json!({})).await;
    livekit.pause();
    check(&app, &stream, NO_EGRESS, [NO_INGRESS; 3]).await;
}
