//! Changes that Redis refuses or does not reply to: other operations continue, and no change is applied twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    delivery_fixture::DeliveryFixture,
    support::{
        app::{Setup, participant_webhook},
        fault_proxy::{CommandFault, FaultProxy},
        recording::SharedUrl,
        servers::{Redis, shared_livekit},
        unique,
    },
};

/// Changes that add data are refused. Reads, feeds, resumes and stops continue, and no event is lost.
#[tokio::test]
async fn full_redis_refuses_changes_and_serves_reads_feeds_and_stops() {
    let redis = Redis::start();
    let log_url = SharedUrl::new(redis.url().into());
    let mut fixture = DeliveryFixture::start(&redis.url(), &unique("test"), &log_url).await;
    let app = &fixture.apps[0];
    let spare = app.create(json!({})).await["id"].as_str().unwrap().to_owned();
    let path = format!("/streams/{spare}");
    app.post(&format!("{path}/join"), json!({"identity": "early"})).await.expect(StatusCode::OK);
    app.patch(&path, json!({"metadata": {"a": 1}})).await.expect(StatusCode::OK);
    let load = fixture.start_load();
    load.wait_for_changes(40).await;
    redis.execute(&["CONFIG", "SET", "maxmemory", "1mb"]).await.unwrap();
    load.wait_for_refusal().await;
    app.post("/streams", json!({})).await.expect_problem(503, "store_unavailable");
    for (action, body) in [("", json!({"metadata": {"a": 2}})), ("/join", json!({"identity": "late"}))] {
        let path = format!("{path}{action}");
        let refused =
            if action.is_empty() { app.patch(&path, body).await } else { app.post(&path, body).await };
        refused.expect_problem(503, "store_unavailable");
    }
    assert!(app.get("/metrics").await.text.contains("kind=\"oom\""));
    assert!(app.is_ready().await, "reads and feeds are served");
    app.get(&path).await.expect(StatusCode::OK);
    app.get("/streams").await.expect(StatusCode::OK);
    let history = app.get(&format!("/events/{spare}")).await.expect(StatusCode::OK);
    // A resuming client gets the later events.
    let first = history[1]["cursor"].as_str().unwrap();
    let mut resumed = app.resume(&format!("/events?streamId={spare}"), first).await;
    resumed.wait_for("participant_updated").await;
    assert_eq!(resumed.wait_for("stream_updated").await, history[3]);
    // Changes that free memory in the end are executed and published.
    app.post(&format!("{path}/leave"), json!({"identity": "early"})).await.expect(StatusCode::OK);
    resumed.wait_for("participant_updated").await;
    app.delete(&path).await.expect(StatusCode::OK);
    resumed.wait_for("stream_stopped").await;
    redis.execute(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    load.wait_for_changes(40).await;
    let made = load.stop().await;
    let report = fixture.delivery_report().await;
    assert!(report.is_exactly_once(), "{report:?}");
    assert!(fixture.times_in_log(&made).await.iter().all(|times| *times == 1));
}

#[tokio::test]
async fn full_redis_refuses_raised_hands_and_lowers_them() {
    let redis = Redis::start();
    let app = Setup::new(&redis.url(), shared_livekit()).start().await;
    let id = app.create(json!({})).await["id"].as_str().unwrap().to_owned();
    let path = format!("/streams/{id}");
    for identity in ["ann", "ben"] {
        let body = json!({"identity": identity, "role": "viewer"});
        app.post(&format!("{path}/join"), body).await.expect(StatusCode::OK);
    }
    let hand = |identity: &str| format!("{path}/participants/{identity}/hand");
    app.send(Method::PUT, &hand("ann"), None).await.expect(StatusCode::OK);
    redis.execute(&["CONFIG", "SET", "maxmemory", "1mb"]).await.unwrap();
    app.send(Method::PUT, &hand("ben"), None).await.expect_problem(503, "store_unavailable");
    let lowered = app.delete(&hand("ann")).await.expect(StatusCode::OK);
    assert!(lowered.get("handRaisedAt").is_none(), "{lowered}");
}

/// Redis applies the change and the reply is lost. The repeated request does not apply it again.
#[tokio::test]
async fn repeated_change_after_lost_redis_reply_is_applied_once() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(redis.port).await;
    let app = Setup::new(&proxy.url(), shared_livekit()).start().await;
    let stream = app.create(json!({})).await;
    let id = stream["id"].as_str().unwrap().to_owned();
    let path = format!("/streams/{id}");
    // Start of the arguments of every change of this stream, after the declared key that never exists.
    let change = format!(":never\r\n$36\r\n{id}\r\n");
    let joined = participant_webhook("participant_joined", &stream, "ann", "PA_1");
    let request = async |kind: &str| match kind {
        "stream_updated" => app.patch(&path, json!({"metadata": {"a": 1}})).await,
        "participant_joined" => app.webhook(&joined).await,
        _ => app.delete(&path).await,
    };
    for (n, kind) in ["stream_updated", "participant_joined", "stream_stopped"].into_iter().enumerate() {
        proxy.fault_commands(Some((&change, CommandFault::LostReply)));
        request(kind).await.expect_problem(503, "store_unavailable");
        proxy.fault_commands(None);
        assert_eq!(proxy.faulted_count(), n + 1, "the service does not repeat the command");
        request(kind).await.expect(StatusCode::OK);
        let history = app.get(&format!("/events/{id}")).await.expect(StatusCode::OK);
        let of_kind =
            |event: &&Value| event["type"] == kind && event["data"]["stream"]["status"] != "stopping";
        let status = |event: &Value| event["data"]["stream"]["status"].clone();
        let events: Vec<_> = history.as_array().unwrap().iter().filter(of_kind).map(status).collect();
        let expected = if kind == "stream_updated" { 2 } else { 1 };
        assert_eq!(events.len(), expected, "{kind}: {history:#}");
    }
    // A repeated creation does not make a second stream of the same name.
    let room = unique("room");
    proxy.fault_commands(Some((&room, CommandFault::LostReply)));
    app.post("/streams", json!({"name": room})).await.expect_problem(503, "store_unavailable");
    proxy.fault_commands(None);
    let again = app.post("/streams", json!({"name": room})).await.expect(StatusCode::OK);
    let all = app.get("/streams?status=all").await.expect(StatusCode::OK);
    let ids: Vec<_> = all.as_array().unwrap().iter().filter(|one| one["roomName"] == room).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(ids[0]["id"], again["id"]);
}
