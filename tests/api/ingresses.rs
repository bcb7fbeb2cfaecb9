//! Ingresses on a real LiveKit server with Redis: routes, grants, events on every transport, repetitions, failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::future::join_all;
use livekit_api::{
    access_token::VideoGrants,
    services::ingress::{IngressClient, IngressListFilter},
};
use livestream_orchestrator::access::Grant;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Pair,
    auth_fixture::{CALLER, create, only_grant, send, start_with_auth, token},
    websocket::Socket,
};
use crate::support::{
    app::{Setup, TestApp, TestResponse},
    eventually,
    grpc::Client,
    servers::{KEY, SECRET, shared_livekit, shared_livekit_with_redis, shared_redis},
    unique, within,
};

async fn pair() -> Pair {
    let setup = Setup::new(shared_redis(), shared_livekit_with_redis());
    Pair(setup.start().await, setup.start().await)
}

fn path(stream: &Value, rest: &str) -> String {
    format!("/streams/{}/ingresses{rest}", stream["id"].as_str().unwrap())
}

fn one(stream: &Value, ingress: &Value) -> String {
    path(stream, &format!("/{}", ingress["ingressId"].as_str().unwrap()))
}

fn rtmp(identity: &str) -> Value {
    json!({"type": "rtmp", "identity": identity, "name": "Studio"})
}

/// Identities of the ingresses that LiveKit has for a stream.
async fn in_livekit(stream: &Value) -> Vec<String> {
    let url = shared_livekit_with_redis().replace("ws:", "http:");
    let client = IngressClient::with_api_key(&url, KEY, SECRET);
    let room = IngressListFilter::Room(stream["roomName"].as_str().unwrap().to_owned());
    client.list_ingress(room).await.unwrap().into_iter().map(|one| one.participant_identity).collect()
}

async fn create_with_key(app: &TestApp, stream: &Value, key: &str, body: &Value) -> TestResponse {
    let request = app.request(Method::POST, &path(stream, "")).header("idempotency-key", key);
    TestResponse::read(request.json(body).send().await.unwrap()).await
}

#[tokio::test]
async fn ingress_is_created_read_and_deleted() {
    let Pair(app, other) = pair().await;
    let stream = app.create(json!({"roomName": unique("room")})).await;
    assert_eq!(stream["ingresses"], 0);
    let made = app.post(&path(&stream, ""), rtmp("obs")).await;
    let location = made.header("location").unwrap().to_owned();
    let made = made.expect(StatusCode::CREATED);
    assert_eq!(location, one(&stream, &made));
    assert_eq!(
        (&made["type"], &made["status"], &made["name"]),
        (&json!("rtmp"), &json!("inactive"), &json!("Studio"))
    );
    assert!(made["url"].as_str().unwrap().starts_with("rtmp://"));
    let key = made["streamKey"].as_str().unwrap();

    let mut shown = made.clone();
    shown.as_object_mut().unwrap().remove("streamKey");
    assert_eq!(other.get(&path(&stream, "")).await.expect(StatusCode::OK), json!([shown]));
    assert_eq!(other.get(&location).await.expect(StatusCode::OK), made);
    let document = other.get(&format!("/streams/{}", stream["id"].as_str().unwrap())).await;
    assert!(!document.text.contains(key));
    assert_eq!(document.expect(StatusCode::OK)["ingresses"], 1);
    assert_eq!(in_livekit(&stream).await, ["obs"]);
    app.post(&path(&stream, ""), rtmp("obs")).await.expect_problem(409, "ingress_exists");

    for app in [&app, &other] {
        assert_eq!(app.delete(&location).await.status, StatusCode::NO_CONTENT);
    }
    assert!(in_livekit(&stream).await.is_empty());
    app.get(&location).await.expect_problem(404, "ingress_not_found");
    assert_eq!(app.get(&path(&stream, "")).await.expect(StatusCode::OK), json!([]));
}

#[tokio::test]
async fn stream_key_is_shown_to_administrators_only() {
    let setup = Setup::new(shared_redis(), shared_livekit_with_redis());
    let app = setup.with(|arguments| arguments.admission.auth = Some("livekit".to_owned())).start().await;
    let room = unique("room");
    let stream = create(&app, &room).await;
    let admin = token(only_grant(Grant::RoomAdmin, &room));
    let made = send(&app, &admin, Method::POST, &path(&stream, ""), Some(&rtmp("obs"))).await;
    let made = made.expect(StatusCode::CREATED);
    for (grant, shows_key) in [
        (Grant::RoomAdmin, true),
        (Grant::IngressAdmin, true),
        (Grant::RoomList, false),
        (Grant::RoomJoin, false),
    ] {
        let bearer = token(only_grant(grant, &room));
        let found = send(&app, &bearer, Method::GET, &one(&stream, &made), None).await.expect(StatusCode::OK);
        assert_eq!(found.get("streamKey"), shows_key.then_some(&made["streamKey"]), "{grant:?}");
        let listed = send(&app, &bearer, Method::GET, &path(&stream, ""), None).await;
        assert!(!listed.text.contains("streamKey"));
        assert_eq!(listed.expect(StatusCode::OK)[0]["ingressId"], made["ingressId"]);
    }
    let both = token(VideoGrants { room_list: true, ingress_admin: true, ..VideoGrants::default() });
    let found = send(&app, &both, Method::GET, &one(&stream, &made), None).await.expect(StatusCode::OK);
    assert_eq!(found["streamKey"], made["streamKey"]);
}

#[tokio::test]
async fn blocked_participant_does_not_read_ingresses() {
    let Pair(app, _other) = start_with_auth().await;
    let room = unique("room");
    let stream = create(&app, &room).await;
    let (admin, own) =
        (token(only_grant(Grant::RoomAdmin, &room)), token(only_grant(Grant::RoomJoin, &room)));
    let block = format!("/streams/{room}/blocks/{CALLER}");
    send(&app, &admin, Method::PUT, &block, Some(&json!({}))).await.expect(StatusCode::OK);
    let refused = send(&app, &own, Method::GET, &path(&stream, ""), None).await;
    refused.expect_problem(403, "participant_blocked");
    let refused = send(&app, &admin, Method::POST, &path(&stream, ""), Some(&rtmp(CALLER))).await;
    refused.expect_problem(403, "participant_blocked");
}

#[tokio::test]
async fn invalid_request_names_its_fields() {
    let Pair(app, _other) = pair().await;
    let stream = app.create(json!({})).await;
    for (body, fields) in [
        (json!({}), vec!["type", "identity"]),
        (json!({"type": "unknown", "identity": ""}), vec!["type", "identity"]),
        (json!({"type": "rtmp", "identity": "obs", "url": "https://a.example/x"}), vec!["url"]),
        (json!({"type": "url", "identity": "obs"}), vec!["url"]),
        (json!({"type": "url", "identity": "obs", "url": "file:///etc/passwd"}), vec!["url"]),
        (json!({"type": "url", "identity": "obs", "url": "https:"}), vec!["url"]),
        (json!({"type": "url", "identity": "obs", "url": "https://a.example/\tx"}), vec!["url"]),
        (json!({"type": "whip", "identity": "..", "name": "a\u{0}"}), vec!["identity", "name"]),
    ] {
        let problem =
            app.post(&path(&stream, ""), body.clone()).await.expect_problem(400, "validation_failed");
        let named: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|one| one["field"].clone()).collect();
        assert_eq!(named, fields, "{body}");
    }
    assert!(in_livekit(&stream).await.is_empty());
    app.delete(&format!("/streams/{}", stream["id"].as_str().unwrap())).await.expect(StatusCode::OK);
    app.post(&path(&stream, ""), rtmp("obs")).await.expect_problem(409, "stream_not_active");
    app.post("/streams/absent/ingresses", rtmp("obs")).await.expect_problem(404, "stream_not_found");
}

#[tokio::test]
async fn events_have_the_ingress_without_its_key_on_every_transport() {
    let Pair(app, other) = pair().await;
    let stream = app.create(json!({"roomName": unique("room")})).await;
    let id = stream["id"].as_str().unwrap();
    let mut socket = Socket::open(&other, "/ws").await;
    socket.subscribe(id, None).await;
    let mut feed = other.follow(&format!("/events?streamId={id}")).await;
    let mut client = Client::of(&other).await;
    let mut subscription = client.subscribe(id, "").await.unwrap();
    let mut updates = client.updates(id).await.unwrap();
    within("the present state", updates.message()).await.unwrap().unwrap();

    let made = app.post(&path(&stream, ""), rtmp("obs")).await.expect(StatusCode::CREATED);
    let (ingress, key) = (made["ingressId"].as_str().unwrap(), made["streamKey"].as_str().unwrap());
    // As LiveKit sends them: the key is in the body, and the state of the end is omitted.
    let info = |state: Value| {
        json!({"ingressId": ingress, "streamKey": key, "roomName": stream["roomName"],
        "participantIdentity": "obs", "participantName": "Studio", "url": made["url"], "state": state})
    };
    let publishing = json!({"status": "ENDPOINT_PUBLISHING", "startedAt": "1795000000000000000",
        "updatedAt": "1795000001000000000"});
    let ended = json!({"startedAt": "1795000000000000000", "endedAt": "1795000009000000000",
        "updatedAt": "1795000009000000000"});
    let started =
        json!({"event": "ingress_started", "id": unique("EV"), "ingressInfo": info(publishing.clone())});
    let late = json!({"event": "ingress_started", "id": unique("EV"), "ingressInfo": info(publishing)});
    let ended = json!({"event": "ingress_ended", "id": unique("EV"), "ingressInfo": info(ended)});
    for (webhook, outcome) in
        [(&started, "applied"), (&started, "duplicate"), (&ended, "applied"), (&late, "unchanged")]
    {
        assert_eq!(app.webhook(webhook).await.expect(StatusCode::OK)["outcome"], outcome);
    }
    assert_eq!(app.delete(&one(&stream, &made)).await.status, StatusCode::NO_CONTENT);

    for (status, deleted, count) in
        [("inactive", None, 1), ("publishing", None, 1), ("inactive", None, 1), ("inactive", Some(true), 0)]
    {
        let told = socket.next().await;
        assert_eq!(told["type"], "ingress_updated", "{told}");
        let shown = &told["data"]["ingress"];
        assert_eq!((&shown["ingressId"], &shown["status"]), (&made["ingressId"], &json!(status)));
        assert_eq!(shown.get("deleted").map(|one| one.as_bool().unwrap()), deleted);
        assert_eq!(told["data"]["stream"]["ingresses"], count);
        assert!(!told.to_string().contains(key));
        let block = within("an event", feed.message()).await.unwrap();
        let text = format!("{block:?}");
        assert!(text.contains("ingress_updated") && !text.contains(key), "{text}");
        let event = within("a gRPC event", subscription.message()).await.unwrap().unwrap();
        let update = within("a gRPC update", updates.message()).await.unwrap().unwrap();
        assert_eq!((event.event_type, update.update_type), (25, 25));
    }
}

#[tokio::test]
async fn one_key_creates_one_ingress() {
    let Pair(app, other) = pair().await;
    let stream = app.create(json!({"roomName": unique("room")})).await;
    let attempts = (0..20).map(|n| {
        let app = if n % 2 == 0 { &app } else { &other };
        let stream = &stream;
        async move {
            eventually("an end of the first request", || async {
                let answer = create_with_key(app, stream, "k", &rtmp("obs")).await;
                (answer.body["code"] != "idempotency_in_progress").then_some(answer)
            })
            .await
        }
    });
    let answers = join_all(attempts).await;
    let first = answers[0].body.clone();
    for answer in answers {
        assert_eq!(answer.expect(StatusCode::CREATED), first);
    }
    assert_eq!(in_livekit(&stream).await, ["obs"]);
    app.delete(&one(&stream, &first)).await;
    let gone = create_with_key(&other, &stream, "k", &rtmp("obs")).await;
    assert_eq!(gone.header("idempotency-replayed"), Some("true"));
    gone.expect_problem(404, "ingress_not_found");
    assert!(in_livekit(&stream).await.is_empty());
}

#[tokio::test]
async fn stopped_stream_and_blocked_identity_have_no_ingress_in_livekit() {
    let Pair(app, other) = pair().await;
    let stream = app.create(json!({"roomName": unique("room")})).await;
    for who in ["obs", "studio"] {
        app.post(&path(&stream, ""), rtmp(who)).await.expect(StatusCode::CREATED);
    }
    let id = stream["id"].as_str().unwrap();
    other
        .send(Method::PUT, &format!("/streams/{id}/blocks/obs"), Some(json!({})))
        .await
        .expect(StatusCode::OK);
    assert_eq!(in_livekit(&stream).await, ["studio"]);
    let stopped = other.delete(&format!("/streams/{id}")).await.expect(StatusCode::OK);
    assert_eq!(stopped["ingresses"], 0);
    assert!(in_livekit(&stream).await.is_empty());
    let log = app.get(&format!("/events/{id}?limit=1000")).await.expect(StatusCode::OK);
    let log = log.as_array().unwrap();
    let ended = log.iter().filter(|event| event["data"]["ingress"]["deleted"] == true).count();
    assert_eq!((ended, log.last().unwrap()["type"].as_str()), (2, Some("stream_stopped")));
}

#[tokio::test]
async fn livekit_without_redis_or_without_worker_returns_503() {
    let without_redis = Setup::new(shared_redis(), shared_livekit()).start().await;
    let stream = without_redis.create(json!({})).await;
    let refused = without_redis.post(&path(&stream, ""), rtmp("obs")).await;
    refused.expect_problem(503, "ingress_unavailable");
    assert_eq!(without_redis.get(&path(&stream, "")).await.expect(StatusCode::OK), json!([]));
    assert_eq!(without_redis.delete(&path(&stream, "/IN_1")).await.status, StatusCode::NO_CONTENT);

    let Pair(without_worker, _other) = pair().await;
    let stream = without_worker.create(json!({})).await;
    let pull = json!({"type": "url", "identity": "file", "url": "https://a.example/one.m3u8"});
    for _ in 0..2 {
        let refused = without_worker.post(&path(&stream, ""), pull.clone()).await;
        refused.expect_problem(503, "ingress_unavailable");
    }
    let stop = without_worker.delete(&format!("/streams/{}", stream["id"].as_str().unwrap())).await;
    stop.expect(StatusCode::OK);
}
