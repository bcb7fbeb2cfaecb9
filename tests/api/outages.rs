//! Outages of Redis and LiveKit, and the recovery.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{
    app::{Setup, participant_webhook},
    eventually,
    fault_proxy::FaultProxy,
    servers::{LiveKit, Redis, free_port, shared_livekit, shared_redis},
    unique,
};

#[tokio::test]
async fn requests_without_redis_return_503_until_it_recovers() {
    let mut redis = Redis::start();
    let app = Setup::new(&redis.url(), shared_livekit()).start().await;
    let stream = app.create(json!({})).await;
    redis.kill();
    app.get("/streams").await.expect_problem(503, "store_unavailable");
    app.post("/streams", json!({})).await.expect_problem(503, "store_unavailable");
    let webhook = app.webhook(&participant_webhook("participant_joined", &stream, "ann", "PA_1")).await;
    assert!(webhook.header("retry-after").is_some());
    webhook.expect_problem(503, "store_unavailable");
    app.get("/health/live").await.expect(StatusCode::OK);
    eventually("the instance to be unready", || async {
        (app.get("/health/ready").await.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    eventually("the store to be down", || async {
        (app.get("/health").await.expect(StatusCode::OK)["store"]["status"] == "down").then_some(())
    })
    .await;
    let metrics = app.get("/metrics").await;
    assert!(metrics.text.contains("lso_feed_up 0") && !metrics.text.contains("active_streams"));

    redis.restart();
    eventually("readiness", || async {
        (app.get("/health/ready").await.status == StatusCode::OK).then_some(())
    })
    .await;
    let mut events = app.follow("/events").await;
    app.create(json!({})).await;
    events.wait_for("stream_created").await;
}

/// One instance reaches Redis through a proxy, the other directly.
#[tokio::test]
async fn silent_redis_connection_is_detected_and_missed_events_are_delivered() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(redis.port).await;
    let direct = Setup::new(&redis.url(), shared_livekit());
    let proxied = direct.clone().with(|arguments| {
        arguments.redis_url = Some(format!("redis://127.0.0.1:{}/0", proxy.port).into());
    });
    let (behind_proxy, connected) = (proxied.start().await, direct.start().await);
    let stream = connected.create(json!({})).await;
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    let follow = format!("/events?streamId={}", stream["id"].as_str().unwrap());
    let (mut proxied_events, mut direct_events) =
        (behind_proxy.follow(&follow).await, connected.follow(&follow).await);
    proxied_events.block().await.unwrap();

    proxy.drop_all(true);
    for n in 0..5 {
        connected.patch(&path, json!({"metadata": {"n": n}})).await.expect(StatusCode::OK);
        assert_eq!(direct_events.wait_for("stream_updated").await["seq"], n + 3);
    }
    eventually("the proxied instance to be unready", || async {
        (behind_proxy.get("/health/ready").await.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    let before = proxy.connection_count();
    proxy.drop_all(false);
    for n in 0..5 {
        assert_eq!(
            proxied_events.wait_for("stream_updated").await["seq"],
            n + 3,
            "every change once, in order"
        );
    }
    eventually("readiness", || async {
        (behind_proxy.get("/health/ready").await.status == StatusCode::OK).then_some(())
    })
    .await;
    assert!(
        proxy.connection_count() < before + 40,
        "too many new connections: {} then {}",
        before,
        proxy.connection_count()
    );
    connected.patch(&path, json!({"metadata": {"n": 9}})).await.expect(StatusCode::OK);
    assert_eq!(proxied_events.wait_for("stream_updated").await["seq"], 8);
}

#[tokio::test]
async fn feeds_after_redis_data_loss_get_reset() {
    let mut redis = Redis::start();
    let app = Setup::new(&redis.url(), shared_livekit()).start().await;
    app.create(json!({})).await;
    let mut events = app.follow("/events").await;
    let mut own = app
        .follow(&format!("/events?streamId={}", app.create(json!({})).await["id"].as_str().unwrap()))
        .await;
    redis.kill();
    redis.restart();
    let reset = events.wait_for("reset").await;
    assert_eq!(reset["snapshot"], json!([]));
    let reset = own.wait_for("reset").await;
    assert_eq!((&reset["snapshot"], own.message().await), (&json!(null), None));
}

#[tokio::test]
async fn creation_without_livekit_returns_503_and_ends_in_error() {
    let nowhere = format!("ws://127.0.0.1:{}", free_port());
    let app = Setup::new(shared_redis(), &nowhere).start().await;
    let room = unique("room");
    for _ in 0..2 {
        let answer = app.post("/streams", json!({"name": room})).await;
        answer.expect_problem(503, "livekit_unavailable");
    }
    let all = app.get("/streams?status=all").await.expect(StatusCode::OK);
    let statuses: Vec<_> = all.as_array().unwrap().iter().map(|stream| stream["status"].clone()).collect();
    assert_eq!(statuses, ["error", "error"], "the room name is free after a failure");
    let failed = app.get(&format!("/events/{}", all[0]["id"].as_str().unwrap())).await.expect(StatusCode::OK);
    assert_eq!(failed[1]["data"]["reason"], "livekit_unavailable");
}

#[tokio::test]
async fn creation_refused_by_livekit_returns_502() {
    let setup = Setup::new(shared_redis(), shared_livekit());
    let app =
        setup.with(|arguments| arguments.livekit_api_secret = Some("not the secret".into())).start().await;
    app.post("/streams", json!({})).await.expect_problem(502, "livekit_error");
    assert_eq!(app.get("/streams?status=error").await.expect(StatusCode::OK).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn stop_without_livekit_is_finished_after_recovery() {
    let mut livekit = LiveKit::start(None);
    let app = Setup::new(shared_redis(), &livekit.url()).start().await;
    let path = format!("/streams/{}", app.create(json!({})).await["id"].as_str().unwrap());
    livekit.kill();
    app.delete(&path).await.expect_problem(503, "livekit_unavailable");
    assert_eq!(app.get(&path).await.expect(StatusCode::OK)["status"], "stopping");
    livekit.restart();
    // The sweeper finishes the stop without another request.
    eventually("the end of the stream", || async {
        (app.get(&path).await.expect(StatusCode::OK)["status"] == "stopped").then_some(())
    })
    .await;
    app.delete(&path).await.expect(StatusCode::OK);
}

/// Concurrent calls share the result of one connection attempt.
#[tokio::test]
async fn requests_during_redis_outage_open_few_connections() {
    let mut redis = Redis::start();
    let proxy = FaultProxy::start(redis.port).await;
    let app = Setup::new(&proxy.url(), shared_livekit()).start().await;
    redis.kill();
    app.wait_until_ready(false).await;
    let before = proxy.connection_count();
    for _ in 0..20 {
        let requests = (0..25).map(|_| app.get("/streams"));
        for answer in futures_util::future::join_all(requests).await {
            answer.expect_problem(503, "store_unavailable");
        }
    }
    let opened = proxy.connection_count() - before;
    assert!(opened < 100, "{opened} connections for 500 requests");
    redis.restart();
    app.wait_until_ready(true).await;
}

#[tokio::test]
async fn stop_of_failed_stream_returns_200_without_event() {
    let nowhere = format!("ws://127.0.0.1:{}", free_port());
    let app = Setup::new(shared_redis(), &nowhere).start().await;
    app.post("/streams", json!({})).await.expect_problem(503, "livekit_unavailable");
    let failed = app.get("/streams?status=error").await.expect(StatusCode::OK)[0].clone();
    let id = failed["id"].as_str().unwrap();
    let path = format!("/streams/{id}");
    let document = app.get(&path).await.expect(StatusCode::OK);
    let events = app.get(&format!("/events/{id}")).await.expect(StatusCode::OK);

    assert_eq!(app.delete(&path).await.expect(StatusCode::OK), document);
    assert_eq!(app.patch(&path, json!({"status": "stopped"})).await.expect(StatusCode::OK), document);
    assert_eq!(document["status"], "error");
    app.patch(&path, json!({"metadata": {"a": 1}})).await.expect_problem(409, "stream_not_active");
    assert_eq!(app.get(&format!("/events/{id}")).await.expect(StatusCode::OK), events);
}
