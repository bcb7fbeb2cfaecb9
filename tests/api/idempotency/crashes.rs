//! Requests with a key that fail half-way, or whose instance crashes: the next attempt continues them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::future::join_all;
use livestream_orchestrator::domain::RoomName;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{create, create_eventually, document, is_replayed, stream_count};
use crate::support::{
    app::{Setup, TestApp, TestResponse, key_prefix, participant_webhook},
    eventually,
    fault_proxy::FaultProxy,
    instance::Instance,
    servers::{LiveKit, port_of, shared_livekit, shared_redis},
    unique,
};

#[tokio::test]
async fn request_that_failed_with_503_is_executed_again() {
    let mut livekit = LiveKit::start(None);
    let setup = Setup::new(shared_redis(), &livekit.url());
    let (one, two) = (setup.start().await, setup.start().await);
    livekit.kill();
    let body = json!({"roomName": "again"});
    create(&one, "k", &body).await.expect_problem(503, "livekit_unavailable");
    livekit.restart();
    let made = create_eventually(&two, "k", &body).await;
    assert!(!is_replayed(&made));
    let id = made.expect(StatusCode::CREATED)["id"].clone();
    assert_eq!(create(&one, "k", &body).await.expect(StatusCode::CREATED)["id"], id);
    let active = two.get("/streams?status=active").await.expect(StatusCode::OK);
    assert_eq!(active.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn conflict_with_retry_after_is_not_stored_under_its_key() {
    let setup = Setup::new(shared_redis(), shared_livekit());
    let prefix = setup.arguments.redis_prefix.clone().unwrap();
    let app = setup.start().await;
    // The lock of an instance that deletes an orphaned room of this name.
    let room = RoomName::parse("locked").unwrap();
    let lock = key_prefix(&prefix, |partitioning| partitioning.of_room(&room)) + "room_lock:locked";
    let redis = redis::Client::open(shared_redis()).unwrap();
    let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
    let _: () =
        redis::cmd("SET").arg(&lock).arg("1").arg("EX").arg(60).query_async(&mut redis).await.unwrap();
    let body = json!({"roomName": "locked"});
    let refused = create(&app, "k", &body).await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    refused.expect_problem(409, "room_name_locked");
    let _: () = redis::cmd("DEL").arg(&lock).query_async(&mut redis).await.unwrap();
    let made = create(&app, "k", &body).await;
    assert!(!is_replayed(&made), "the request is executed again");
    made.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn creation_of_crashed_instance_is_finished_by_retry() {
    for room in [Some("named"), None] {
        let livekit = FaultProxy::start(port_of(shared_livekit())).await;
        let prefix = unique("test");
        let through = format!("ws://127.0.0.1:{}", livekit.port);
        let mut first = Instance::new(shared_redis(), &through, &prefix);
        first.start().await;
        let setup = Setup::new(shared_redis(), shared_livekit())
            .with(|arguments| arguments.redis_prefix = Some(prefix.clone()));
        let two = setup.start().await;

        // The instance crashes while it waits for LiveKit.
        livekit.drop_all(true);
        let body = room.map_or_else(|| json!({}), |room| json!({"roomName": room}));
        let url = format!("{}/streams", first.address().http);
        let request = reqwest::Client::new().post(url).header("idempotency-key", "k").json(&body);
        let dying = tokio::spawn(request.send());
        eventually("a stream in creating", || async {
            let creating = two.get("/streams?status=creating").await.expect(StatusCode::OK);
            (creating.as_array().unwrap().len() == 1).then_some(())
        })
        .await;
        create(&two, "k", &body).await.expect_problem(409, "idempotency_in_progress");
        first.kill();
        assert!(dying.await.unwrap().is_err(), "the crashed instance sends no response");

        let made = create_eventually(&two, "k", &body).await;
        assert!(!is_replayed(&made));
        let made = made.expect(StatusCode::CREATED);
        assert_eq!(made["status"], "active");
        assert_eq!(stream_count(&two).await, 1, "one stream");
        let kinds =
            two.get(&format!("/events/{}", made["id"].as_str().unwrap())).await.expect(StatusCode::OK);
        let kinds: Vec<_> = kinds.as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
        assert_eq!(kinds, ["stream_created", "stream_updated"], "created once");
        assert!(is_replayed(&create(&two, "k", &body).await));
    }
}

/// Creates a stream with the participant ann.
async fn create_with_participant(app: &TestApp, room: &str) -> Value {
    let stream = app.create(json!({"roomName": room})).await;
    app.webhook(&participant_webhook("participant_joined", &stream, "ann", "PA_1"))
        .await
        .expect(StatusCode::OK);
    document(app, &stream).await
}

#[tokio::test]
async fn change_of_crashed_instance_is_not_repeated_by_retry() {
    let (proxy, prefix) = (FaultProxy::start(port_of(shared_redis())).await, unique("test"));
    let setup = Setup::new(shared_redis(), shared_livekit())
        .with(|arguments| arguments.redis_prefix = Some(prefix.clone()));
    let two = setup.start().await;
    let mut streams = Vec::new();
    for room in ["stopped", "changed", "joined", "left"] {
        streams.push(create_with_participant(&two, room).await);
    }
    let tag = format!("\"{}\"", streams[1]["version"]);
    let requests = [
        (Method::DELETE, "/streams/stopped", None),
        (Method::PATCH, "/streams/changed", Some(json!({"metadata": {"n": 1}}))),
        (Method::POST, "/streams/joined/join", Some(json!({"identity": "bob"}))),
        (Method::POST, "/streams/left/leave", Some(json!({"identity": "ann"}))),
    ];
    let send = |base: String, (method, path, body): (Method, &str, Option<Value>)| {
        let request = reqwest::Client::new().request(method, format!("{base}{path}"));
        let request = request.header("idempotency-key", path);
        let request = if path.ends_with("changed") { request.header("if-match", &tag) } else { request };
        if let Some(body) = body { request.json(&body).send() } else { request.send() }
    };

    // Each instance applies its change and crashes before the response is stored. Each change has its own instance,
    // because a held command blocks all later commands of its connection.
    let mut first = Vec::new();
    for _ in &requests {
        let mut instance = Instance::new(&proxy.url(), shared_livekit(), &prefix);
        instance.start().await;
        first.push(instance);
    }
    // The record of a response: its status and the id of the stream.
    proxy.hold("200 01");
    let start = |(instance, request): (&Instance, &(Method, &'static str, Option<Value>))| {
        tokio::spawn(send(instance.address().http, request.clone()))
    };
    let dying: Vec<_> = first.iter().zip(&requests).map(start).collect();
    eventually("four responses that are being stored", || async { (proxy.held_count() >= 4).then_some(()) })
        .await;
    first.iter_mut().for_each(Instance::kill);
    for answer in dying {
        assert!(answer.await.unwrap().is_err(), "the crashed instance sends no response");
    }
    // Another stream takes the room name, and ann rejoins.
    let successor = create_with_participant(&two, "stopped").await;
    two.webhook(&participant_webhook("participant_joined", &streams[3], "ann", "PA_2"))
        .await
        .expect(StatusCode::OK);
    let before = join_all(streams.iter().map(|stream| document(&two, stream))).await;
    for (request, stream) in requests.iter().zip(&streams) {
        let answer = eventually("an answer", || async {
            let answer = TestResponse::read(send(two.base.clone(), request.clone()).await.unwrap()).await;
            (answer.status != StatusCode::CONFLICT).then_some(answer)
        })
        .await;
        assert!(!is_replayed(&answer), "{}", request.1);
        let body = answer.expect(StatusCode::OK);
        assert_eq!(body["streamId"], stream["id"], "{}: the stream of the first request", request.1);
    }
    let after = join_all(streams.iter().map(|stream| document(&two, stream))).await;
    assert_eq!(after, before, "no change is applied again");
    assert_eq!(document(&two, &successor).await, successor, "the other stream is unchanged");
    assert_eq!(before[3]["participantCount"], 1, "the second visit continues");
}
