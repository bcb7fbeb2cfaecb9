//! Recordings on a real LiveKit server: routes, grants, events on every transport, repetitions, failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::future::join_all;
use livestream_orchestrator::access::Grant;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    auth_fixture::{create, only_grant, send, token},
    egress_fixture::{
        FOLDER, MediaApps, complete, end_slowly, path, refused_fields, send_with_key, wait_for_status,
    },
    websocket::Socket,
};
use crate::support::{
    app::Setup,
    eventually,
    grpc::Client,
    servers::{shared_livekit, shared_livekit_with_redis, shared_redis},
    unique, within,
};

async fn is_recording(servers: &MediaApps, stream: &Value) -> Value {
    servers.other.get(&path(stream, "")).await.expect(StatusCode::OK)["recording"].clone()
}

#[tokio::test]
async fn recording_is_started_read_and_stopped() {
    let servers = MediaApps::start().await;
    let (app, other) = (&servers.app, &servers.other);
    let stream = app.create(json!({"roomName": unique("room")})).await;
    assert_eq!((&stream["recording"], &stream["broadcasting"]), (&json!(false), &json!(false)));
    let body = json!({"layout": "grid", "preset": "H264_1080P_30", "path": "{room}/evening"});
    let made = app.post(&path(&stream, "recordings"), body).await;
    let location = made.header("location").unwrap().to_owned();
    let made = made.expect(StatusCode::CREATED);
    let id = made["recordingId"].as_str().unwrap();
    assert_eq!(location, path(&stream, &format!("recordings/{id}")));
    let file = format!("{}/evening.mp4", stream["roomName"].as_str().unwrap());
    assert_eq!(
        (&made["egressId"], &made["layout"], &made["preset"], &made["path"]),
        (&json!(id), &json!("grid"), &json!("H264_1080P_30"), &json!(file))
    );
    assert_eq!(is_recording(&servers, &stream).await, true);
    let asked = servers.workers.calls("StartEgress").await;
    assert!(asked[0].to_string().contains(&format!("{FOLDER}/{file}")), "{asked:?}");

    wait_for_status(other, &location, "active").await;
    end_slowly(&servers.workers, id).await;
    assert_eq!(other.delete(&location).await.expect(StatusCode::OK)["status"], "ending");
    complete(&servers.workers, id).await;
    let ended = wait_for_status(other, &location, "complete").await;
    assert!(ended["startedAt"].is_string() && ended["endedAt"].is_string());
    let [recorded] = ended["files"].as_array().unwrap().as_slice() else { panic!("{ended}") };
    assert_eq!((&recorded["path"], recorded["location"].is_string()), (&json!(file), true));
    assert_eq!(is_recording(&servers, &stream).await, false);
    let listed = app.get(&path(&stream, "recordings")).await.expect(StatusCode::OK);
    assert_eq!(listed, json!([ended]));
    assert_eq!(app.get(&path(&stream, "broadcasts")).await.expect(StatusCode::OK), json!([]));
    for app in [app, other] {
        assert_eq!(app.delete(&location).await.expect(StatusCode::OK), ended);
    }
    let as_broadcast = path(&stream, &format!("broadcasts/{id}"));
    app.get(&as_broadcast).await.expect_problem(404, "broadcast_not_found");
    app.delete(&as_broadcast).await.expect_problem(404, "broadcast_not_found");
    app.get(&path(&stream, "recordings/EG_absent")).await.expect_problem(404, "recording_not_found");
    app.delete(&path(&stream, "recordings/EG_absent")).await.expect_problem(404, "recording_not_found");
    assert_eq!(servers.workers.calls("StopEgress").await.len(), 1);
}

#[tokio::test]
async fn location_is_shown_to_those_who_may_record() {
    let servers = MediaApps::with(|arguments| arguments.admission.auth = Some("livekit".to_owned())).await;
    let app = &servers.app;
    let room = unique("room");
    let stream = create(app, &room).await;
    let bearer = |grant| token(only_grant(grant, &room));
    let recordings = path(&stream, "recordings");
    for grant in [Grant::RoomList, Grant::RoomJoin, Grant::IngressAdmin, Grant::RoomCreate] {
        let refused = send(app, &bearer(grant), Method::POST, &recordings, Some(&json!({}))).await;
        refused.expect_problem(403, "forbidden");
    }
    let recorder = bearer(Grant::RoomRecord);
    let made = send(app, &recorder, Method::POST, &recordings, Some(&json!({}))).await;
    let made = made.expect(StatusCode::CREATED);
    let one = path(&stream, &format!("recordings/{}", made["recordingId"].as_str().unwrap()));
    send(app, &bearer(Grant::RoomAdmin), Method::DELETE, &one, None).await.expect(StatusCode::OK);
    eventually("the recording's end", || async {
        let found = send(app, &recorder, Method::GET, &one, None).await.expect(StatusCode::OK);
        (found["endedAt"] != Value::Null).then_some(())
    })
    .await;
    for (grant, shows) in [
        (Grant::RoomAdmin, true),
        (Grant::RoomRecord, true),
        (Grant::RoomList, false),
        (Grant::RoomJoin, false),
    ] {
        for path in [&one, &recordings] {
            let found = send(app, &bearer(grant), Method::GET, path, None).await;
            assert!(found.text.contains("recordingId"), "{}", found.text);
            assert_eq!(found.text.contains(r#""location""#), shows, "{grant:?}: {}", found.text);
        }
    }
    let log = send(app, &bearer(Grant::RoomAdmin), Method::GET, &format!("/events/{room}"), None).await;
    assert!(log.text.contains("recording_updated") && !log.text.contains(r#""location""#), "{}", log.text);
}

#[tokio::test]
async fn invalid_request_names_its_fields() {
    let servers = MediaApps::start().await;
    let stream = servers.app.create(json!({})).await;
    for (body, fields) in [
        (json!({"path": "../etc/passwd"}), vec!["path"]),
        (json!({"path": "/etc/passwd"}), vec!["path"]),
        (json!({"path": "{secret}.mp4"}), vec!["path"]),
        (json!({"preset": "8K"}), vec!["preset"]),
        (json!({"layout": "grid", "identity": "ann"}), vec!["identity"]),
        (json!({"identity": "ann", "trackSid": "TR_1"}), vec!["trackSid"]),
        (json!({"layout": "", "audioOnly": "yes"}), vec!["layout", "audioOnly"]),
    ] {
        let refused = servers.app.post(&path(&stream, "recordings"), body.clone()).await;
        let problem = refused.expect_problem(400, "validation_failed");
        let mut named = refused_fields(&problem);
        named.dedup();
        assert_eq!(named, fields, "{body}");
    }
    for (body, code) in [
        (json!({"identity": "absent"}), "participant_not_found"),
        (json!({"trackSid": "TR_absent"}), "track_not_found"),
    ] {
        servers.app.post(&path(&stream, "recordings"), body).await.expect_problem(404, code);
    }
    assert!(servers.workers.calls("StartEgress").await.is_empty());
    let stopped = servers.app.delete(&path(&stream, "")).await.expect(StatusCode::OK);
    assert_eq!(stopped["recording"], false);
    servers.app.post(&path(&stream, "recordings"), json!({})).await.expect_problem(409, "stream_not_active");
    let absent = servers.app.post("/streams/absent/recordings", json!({})).await;
    absent.expect_problem(404, "stream_not_found");
}

#[tokio::test]
async fn events_have_the_recording_on_every_transport() {
    let servers = MediaApps::start().await;
    let (app, other) = (&servers.app, &servers.other);
    let stream = app.create(json!({"roomName": unique("room")})).await;
    let id = stream["id"].as_str().unwrap();
    let mut socket = Socket::open(other, "/ws").await;
    socket.subscribe(id, None).await;
    let mut feed = other.follow(&format!("/events?streamId={id}")).await;
    let mut client = Client::of(other).await;
    let mut subscription = client.subscribe(id, "").await.unwrap();
    let mut updates = client.updates(id).await.unwrap();
    within("the present state", updates.message()).await.unwrap().unwrap();

    let made = app.post(&path(&stream, "recordings"), json!({})).await.expect(StatusCode::CREATED);
    let one = path(&stream, &format!("recordings/{}", made["recordingId"].as_str().unwrap()));
    wait_for_status(app, &one, "active").await;
    let recording = made["recordingId"].as_str().unwrap();
    end_slowly(&servers.workers, recording).await;
    app.delete(&one).await.expect(StatusCode::OK);
    complete(&servers.workers, recording).await;
    wait_for_status(app, &one, "complete").await;

    for (status, recording) in [("starting", true), ("active", true), ("ending", true), ("complete", false)] {
        let told = eventually_recording(&mut socket).await;
        let shown = &told["data"]["recording"];
        assert_eq!((&shown["recordingId"], &shown["status"]), (&made["recordingId"], &json!(status)));
        assert_eq!(told["data"]["stream"]["recording"], recording);
        assert!(!told.to_string().contains(r#""location""#));
        loop {
            let text = format!("{:?}", within("an event", feed.message()).await.unwrap());
            assert!(!text.contains(r#""location""#), "{text}");
            if text.contains("recording_updated") {
                break;
            }
        }
        loop {
            let event = within("a gRPC event", subscription.message()).await.unwrap().unwrap();
            if event.event_type == 26 {
                break;
            }
        }
        loop {
            let update = within("a gRPC update", updates.message()).await.unwrap().unwrap();
            if update.update_type == 26 {
                break;
            }
        }
    }
}

/// Webhooks may add other events, such as that of the room.
async fn eventually_recording(socket: &mut Socket) -> Value {
    loop {
        let told = socket.next().await;
        if told["type"] == "recording_updated" {
            return told;
        }
    }
}

#[tokio::test]
async fn one_key_starts_one_recording() {
    let servers = MediaApps::start().await;
    let stream = servers.app.create(json!({"roomName": unique("room")})).await;
    let recordings = path(&stream, "recordings");
    let attempts = (0..20).map(|n| {
        let app = if n % 2 == 0 { &servers.app } else { &servers.other };
        let recordings = &recordings;
        async move {
            eventually("an end of the first request", || async {
                let answer = send_with_key(app, Method::POST, recordings, "k", &json!({})).await;
                (answer.body["code"] != "idempotency_in_progress").then_some(answer)
            })
            .await
        }
    });
    let mut ids: Vec<_> = Vec::new();
    for answer in join_all(attempts).await {
        ids.push(answer.expect(StatusCode::CREATED)["recordingId"].clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(servers.workers.calls("StartEgress").await.len(), 1);
    assert_eq!(servers.app.get(&recordings).await.expect(StatusCode::OK).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn busy_worker_returns_503() {
    let servers = MediaApps::start().await;
    let stream = servers.app.create(json!({"roomName": unique("room")})).await;
    let busy = json!({"refuse": {"code": "resource_exhausted", "message": "not enough CPU"}});
    servers.workers.script_egresses(busy).await;
    let refused = servers.app.post(&path(&stream, "recordings"), json!({})).await;
    refused.expect_problem(503, "egress_unavailable");
}

#[tokio::test]
async fn missing_storage_worker_or_redis_has_its_own_error() {
    let without_storage = Setup::new(shared_redis(), shared_livekit_with_redis()).start().await;
    let stream = without_storage.create(json!({})).await;
    let refused = without_storage.post(&path(&stream, "recordings"), json!({})).await;
    refused.expect_problem(501, "storage_not_configured");

    for livekit in [shared_livekit(), shared_livekit_with_redis()] {
        let setup = Setup::new(shared_redis(), livekit);
        let setup = setup
            .with(|arguments| arguments.egress.egress_storage_url = Some("file:///recordings".to_owned()));
        let app = setup.start().await;
        let stream = app.create(json!({})).await;
        let refused = app.post(&path(&stream, "recordings"), json!({})).await;
        refused.expect_problem(503, "egress_unavailable");
        assert_eq!(app.get(&path(&stream, "recordings")).await.expect(StatusCode::OK), json!([]));
        let stopped = app.delete(&path(&stream, "")).await.expect(StatusCode::OK);
        assert_eq!(stopped["recording"], false);
    }
}
