//! Broadcasts on a real LiveKit server: routes, outputs, hidden addresses, repetitions, failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::access::Grant;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    auth_fixture::{create, only_grant, send, token},
    egress_fixture::{FOLDER, MediaApps, path, refused_fields, send_with_key, wait_for_status},
};
use crate::support::{
    app::Setup,
    eventually,
    servers::{shared_livekit_with_redis, shared_redis},
    unique,
};

const YOUTUBE: &str = "rtmp://a.rtmp.example.com/live2/first-stream-key";
const TWITCH: &str = "rtmps://live.example.com:443/app/second-stream-key?token=a-third-key";

fn one(stream: &Value, broadcast: &Value) -> String {
    path(stream, &format!("broadcasts/{}", broadcast["broadcastId"].as_str().unwrap()))
}

/// Addresses and states of the RTMP outputs.
fn outputs(broadcast: &Value) -> Vec<(&str, &str)> {
    broadcast["rtmp"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| (target["url"].as_str().unwrap(), target["status"].as_str().unwrap()))
        .collect()
}

const MASKED: [&str; 2] = ["rtmp://a.rtmp.example.com/live2/***", "rtmps://live.example.com:443/app/***?***"];

#[tokio::test]
async fn broadcast_has_outputs_that_are_added_and_removed() {
    let servers = MediaApps::start().await;
    let (app, other) = (&servers.app, &servers.other);
    let stream = app.create(json!({"roomName": unique("room")})).await;
    let body = json!({"hls": {"path": "{room}/live", "segmentSeconds": 4}, "rtmp": [YOUTUBE]});
    let made = app.post(&path(&stream, "broadcasts"), body).await;
    let location = made.header("location").unwrap().to_owned();
    let made = made.expect(StatusCode::CREATED);
    assert_eq!(location, one(&stream, &made));
    let playlist = format!("{}/live.m3u8", stream["roomName"].as_str().unwrap());
    assert_eq!(
        (&made["hls"]["path"], &made["hls"]["url"], &made["hls"]["segmentSeconds"]),
        (&json!(playlist), &json!(format!("https://cdn.example.com/live/{playlist}")), &json!(4))
    );
    assert_eq!(outputs(&made)[0].0, MASKED[0]);
    let asked = servers.workers.calls("StartEgress").await[0].to_string();
    assert!(asked.contains(YOUTUBE) && asked.contains(&format!("{FOLDER}/{playlist}")), "{asked}");
    let document = other.get(&path(&stream, "")).await.expect(StatusCode::OK);
    assert_eq!((&document["recording"], &document["broadcasting"]), (&json!(false), &json!(true)));
    wait_for_status(other, &location, "active").await;

    for app in [app, other] {
        let added = app.patch(&location, json!({"add": [TWITCH]})).await.expect(StatusCode::OK);
        assert_eq!(outputs(&added).iter().map(|one| one.0).collect::<Vec<_>>(), MASKED);
    }
    assert_eq!(servers.workers.calls("UpdateStream").await.len(), 1);
    let unchanged = app.patch(&location, json!({})).await.expect(StatusCode::OK);
    assert_eq!(unchanged["rtmp"].as_array().unwrap().len(), 2);
    for absent in ["77", "rtmp://other.example.com/app/key"] {
        let refused = app.patch(&location, json!({"remove": [absent]})).await;
        refused.expect_problem(404, "output_not_found");
    }
    let first = made["rtmp"][0]["id"].as_str().unwrap();
    for selector in [first, YOUTUBE] {
        let removed = other.patch(&location, json!({"remove": [selector]})).await.expect(StatusCode::OK);
        assert_eq!(removed["status"], "active");
    }
    let calls = servers.workers.calls("UpdateStream").await;
    assert_eq!(calls.len(), 2, "{calls:?}");
    // Its HLS remains.
    app.patch(&location, json!({"remove": [TWITCH]})).await.expect(StatusCode::OK);
    app.delete(&location).await.expect(StatusCode::OK);
    let complete = wait_for_status(app, &location, "complete").await;
    assert_eq!(outputs(&complete), [(MASKED[0], "finished"), (MASKED[1], "finished")]);
    assert!(complete["hls"]["location"].is_string() && complete["hls"]["segments"].is_u64());
    let refused = app.patch(&location, json!({"add": [YOUTUBE]})).await;
    refused.expect_problem(409, "broadcast_ended");
    assert_eq!(app.get(&path(&stream, "broadcasts")).await.expect(StatusCode::OK), json!([complete]));
    let log = app.get(&format!("/events/{}?limit=1000", stream["id"].as_str().unwrap())).await;
    assert!(log.text.contains("broadcast_updated") && !log.text.contains("-key"), "{}", log.text);
    app.patch(&path(&stream, "broadcasts/EG_absent"), json!({}))
        .await
        .expect_problem(404, "broadcast_not_found");
}

#[tokio::test]
async fn last_output_is_not_removed() {
    let servers = MediaApps::start().await;
    let app = &servers.app;
    let stream = app.create(json!({"roomName": unique("room")})).await;
    let body = json!({"rtmp": [YOUTUBE, YOUTUBE]});
    let made = app.post(&path(&stream, "broadcasts"), body).await.expect(StatusCode::CREATED);
    assert_eq!((outputs(&made).len(), &made["hls"]), (1, &Value::Null));
    let location = one(&stream, &made);
    wait_for_status(app, &location, "active").await;
    let refused = app.patch(&location, json!({"remove": [YOUTUBE]})).await;
    refused.expect_problem(409, "last_output");
    let replaced = json!({"add": [TWITCH], "remove": [YOUTUBE]});
    let replaced = app.patch(&location, replaced).await.expect(StatusCode::OK);
    assert_eq!(outputs(&replaced).len(), 2);
    eventually("the replaced output", || async {
        let found = app.get(&location).await.expect(StatusCode::OK);
        (outputs(&found) == [(MASKED[0], "finished"), (MASKED[1], "active")]).then_some(())
    })
    .await;
    let stopped = servers.other.delete(&path(&stream, "")).await.expect(StatusCode::OK);
    assert_eq!(stopped["broadcasting"], false);
    let ended = wait_for_status(app, &location, "complete").await;
    assert_eq!(outputs(&ended)[1], (MASKED[1], "finished"));
}

#[tokio::test]
async fn failed_output_shows_no_key() {
    let servers = MediaApps::start().await;
    let app = &servers.app;
    let stream = app.create(json!({"roomName": unique("room")})).await;
    let body = json!({"rtmp": [YOUTUBE, TWITCH]});
    let made = app.post(&path(&stream, "broadcasts"), body).await.expect(StatusCode::CREATED);
    let location = one(&stream, &made);
    wait_for_status(app, &location, "active").await;
    let error = format!("could not write to {YOUTUBE}: first-stream-key is in use");
    let results = json!([
        {"url": YOUTUBE, "status": "FAILED", "error": error, "startedAt": "1795000000000000000"},
        {"url": TWITCH, "status": "ACTIVE", "startedAt": "1795000000000000000"}
    ]);
    let id = made["broadcastId"].as_str().unwrap();
    servers.workers.report_egress(id, json!([{"streamResults": results}])).await;
    let failed = eventually("the failed output", || async {
        let found = app.get(&location).await.expect(StatusCode::OK);
        (outputs(&found)[0].1 == "failed").then_some(found)
    })
    .await;
    assert_eq!(failed["rtmp"][0]["error"], format!("could not write to {}: *** is in use", MASKED[0]));
    let ended = json!([{"status": "EGRESS_FAILED", "error": error}]);
    servers.workers.report_egress(id, ended).await;
    let failed = wait_for_status(&servers.other, &location, "failed").await;
    assert!(!failed.to_string().contains("-key"), "{failed}");
    assert!(failed["error"].as_str().unwrap().contains(MASKED[0]));
}

#[tokio::test]
async fn one_key_starts_one_broadcast_and_adds_once() {
    let servers = MediaApps::start().await;
    let stream = servers.app.create(json!({"roomName": unique("room")})).await;
    let broadcasts = path(&stream, "broadcasts");
    let body = json!({"rtmp": [YOUTUBE]});
    let made = send_with_key(&servers.app, Method::POST, &broadcasts, "k", &body).await;
    let made = made.expect(StatusCode::CREATED);
    let again = send_with_key(&servers.other, Method::POST, &broadcasts, "k", &body).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(StatusCode::CREATED)["broadcastId"], made["broadcastId"]);
    let location = one(&stream, &made);
    wait_for_status(&servers.app, &location, "active").await;
    for app in [&servers.app, &servers.other] {
        let added = send_with_key(app, Method::PATCH, &location, "p", &json!({"add": [TWITCH]})).await;
        assert_eq!(added.expect(StatusCode::OK)["rtmp"].as_array().unwrap().len(), 2);
        let stopped = send_with_key(app, Method::DELETE, &location, "d", &Value::Null).await;
        assert_ne!(stopped.expect(StatusCode::OK)["status"], "active");
    }
    for (method, count) in [("StartEgress", 1), ("UpdateStream", 1), ("StopEgress", 1)] {
        assert_eq!(servers.workers.calls(method).await.len(), count, "{method}");
    }
}

#[tokio::test]
async fn invalid_request_names_its_fields() {
    let app = Setup::new(shared_redis(), shared_livekit_with_redis()).start().await;
    let stream = app.create(json!({})).await;
    let many: Vec<_> = (0..9).map(|n| format!("rtmp://a.example.com/app/{n}")).collect();
    for (body, field) in [
        (json!({}), "rtmp"),
        (json!({"rtmp": []}), "rtmp"),
        (json!({"rtmp": ["https://a.example.com/x"]}), "rtmp"),
        (json!({"rtmp": ["rtmp://"]}), "rtmp"),
        (json!({"rtmp": "rtmp://a.example.com/app/key"}), "rtmp"),
        (json!({"rtmp": many}), "rtmp"),
        (json!({"hls": true}), "hls"),
        (json!({"hls": {"path": "../x"}}), "hls.path"),
        (json!({"hls": {"segmentSeconds": 0}}), "hls.segmentSeconds"),
    ] {
        let refused = app.post(&path(&stream, "broadcasts"), body.clone()).await;
        let problem = refused.expect_problem(400, "validation_failed");
        assert!(refused_fields(&problem)[0].starts_with(field), "{body}: {problem}");
        assert!(!problem.to_string().contains("example.com/app/key"));
    }
    app.post(&path(&stream, "broadcasts"), json!({"hls": {}}))
        .await
        .expect_problem(501, "storage_not_configured");
    let no_worker = app.post(&path(&stream, "broadcasts"), json!({"rtmp": [YOUTUBE]})).await;
    no_worker.expect_problem(503, "egress_unavailable");
    assert_eq!(app.get(&path(&stream, "broadcasts")).await.expect(StatusCode::OK), json!([]));
}

#[tokio::test]
async fn grants_decide_who_broadcasts() {
    let setup = Setup::new(shared_redis(), shared_livekit_with_redis());
    let app = setup.with(|arguments| arguments.admission.auth = Some("livekit".to_owned())).start().await;
    let room = unique("room");
    let stream = create(&app, &room).await;
    let body = json!({"rtmp": [YOUTUBE]});
    for (grant, may_change, may_read) in [
        (Grant::RoomRecord, true, true),
        (Grant::RoomAdmin, true, true),
        (Grant::RoomList, false, true),
        (Grant::RoomJoin, false, true),
        (Grant::RoomCreate, false, false),
        (Grant::IngressAdmin, false, false),
    ] {
        let bearer = token(only_grant(grant, &room));
        let started = send(&app, &bearer, Method::POST, &path(&stream, "broadcasts"), Some(&body)).await;
        // No worker runs.
        let expected = if may_change { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::FORBIDDEN };
        assert_eq!(started.status, expected, "{grant:?}: {}", started.text);
        let listed = send(&app, &bearer, Method::GET, &path(&stream, "broadcasts"), None).await;
        let expected = if may_read { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(listed.status, expected, "{grant:?}: {}", listed.text);
    }
}
