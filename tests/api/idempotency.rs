//! `Idempotency-Key`: a repeated request has the same response and no second effect, on any instance, also after the
//! first instance has crashed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;

use futures_util::future::join_all;
use livekit_api::access_token::{AccessToken, VideoGrants};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Pair;
use crate::support::{
    app::{Setup, TestApp, TestResponse, participant_webhook},
    eventually,
    fault_proxy::FaultProxy,
    instance::Instance,
    servers::{KEY, LiveKit, SECRET, port_of, shared_livekit, shared_redis},
    unique,
};

async fn send_with_key(
    app: &TestApp,
    key: &str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> TestResponse {
    let request = app.request(method, path).header("idempotency-key", key);
    let request = if let Some(body) = body { request.json(body) } else { request };
    TestResponse::read(request.send().await.unwrap()).await
}

async fn create(app: &TestApp, key: &str, body: &Value) -> TestResponse {
    send_with_key(app, key, Method::POST, "/streams", Some(body)).await
}

/// Repeats the creation until it is neither in progress nor failed.
async fn create_eventually(app: &TestApp, key: &str, body: &Value) -> TestResponse {
    eventually("an answer", || async {
        let answer = create(app, key, body).await;
        (answer.status != StatusCode::CONFLICT && !answer.status.is_server_error()).then_some(answer)
    })
    .await
}

async fn stream_count(app: &TestApp) -> usize {
    app.get("/streams?status=all").await.expect(StatusCode::OK).as_array().unwrap().len()
}

fn is_replayed(answer: &TestResponse) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

#[tokio::test]
async fn fifty_concurrent_creations_with_one_key_make_one_stream() {
    let Pair(one, two) = Pair::start().await;
    let body = json!({"metadata": {"title": "once"}});
    let calls = (0..50).map(|n| create(if n % 2 == 0 { &one } else { &two }, "the same", &body));
    let answers = join_all(calls).await;
    let (done, others): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == StatusCode::CREATED);
    assert!(!done.is_empty());
    assert_eq!(
        done.iter().map(|answer| &answer.text).collect::<HashSet<_>>().len(),
        1,
        "all responses are equal"
    );
    assert_eq!(done.iter().filter(|answer| !is_replayed(answer)).count(), 1, "one response is not a replay");
    for other in others {
        assert_eq!(other.header("retry-after"), Some("1"));
        other.expect_problem(409, "idempotency_in_progress");
    }
    assert_eq!(stream_count(&one).await, 1);
    assert_eq!(create(&two, "another", &body).await.status, StatusCode::CREATED);
    assert_eq!(stream_count(&one).await, 2);
}

#[tokio::test]
async fn idempotency_key_applies_to_one_request_of_one_caller() {
    let Pair(one, two) = Pair::start().await;
    let stream = create(&one, "k", &json!({"roomName": "first"})).await.expect(StatusCode::CREATED);
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    create(&two, "k", &json!({"roomName": "second"})).await.expect_problem(422, "idempotency_mismatch");
    send_with_key(&two, "k", Method::DELETE, &path, None).await.expect_problem(422, "idempotency_mismatch");
    assert!(is_replayed(&create(&two, "k", &json!({"roomName": "first"})).await));
    for bad in ["", &"k".repeat(256), "a\tb"] {
        let answer = create(&one, bad, &json!({})).await.expect_problem(400, "validation_failed");
        assert_eq!(answer["errors"][0]["field"], "Idempotency-Key");
    }

    let Pair(authenticating, _other) =
        Pair::with(|arguments| arguments.admission.auth = Some("livekit".to_owned())).await;
    let create_as = |identity: &str| {
        let grants = VideoGrants { room_create: true, ..VideoGrants::default() };
        let token = AccessToken::with_api_key(KEY, SECRET).with_identity(identity).with_grants(grants);
        let request =
            authenticating.request(Method::POST, "/streams").header("idempotency-key", "k").json(&json!({}));
        let request = request.header("authorization", format!("Bearer {}", token.to_jwt().unwrap()));
        async move { TestResponse::read(request.send().await.unwrap()).await }
    };
    let first = create_as("ann").await.expect(StatusCode::CREATED);
    assert_ne!(
        create_as("bob").await.expect(StatusCode::CREATED)["id"],
        first["id"],
        "the same key of another caller"
    );
    assert_eq!(
        create_as("ann").await.expect(StatusCode::CREATED)["id"],
        first["id"],
        "another token of the same caller"
    );
}

#[tokio::test]
async fn repeated_request_with_key_is_replayed_without_second_effect() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({"metadata": {"n": 0}})).await;
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    let requests = [
        (Method::PATCH, path.clone(), Some(json!({"metadata": {"n": 1}}))),
        (Method::POST, format!("{path}/join"), Some(json!({"identity": "ann"}))),
        (Method::POST, format!("{path}/leave"), Some(json!({"identity": "ann"}))),
        (Method::POST, format!("{path}/join"), Some(json!({"identity": ""}))),
        (Method::DELETE, path.clone(), None),
        (Method::DELETE, "/streams/absent".to_owned(), None),
    ];
    for (n, (method, path, body)) in requests.into_iter().enumerate() {
        let key = format!("key {n}");
        let first = send_with_key(&one, &key, method.clone(), &path, body.as_ref()).await;
        let version = document(&one, &stream).await["version"].clone();
        let again = send_with_key(&two, &key, method.clone(), &path, body.as_ref()).await;
        let after = document(&one, &stream).await["version"].clone();
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{method} {path}");
        for header in ["content-type", "etag", "last-event-id", "cache-control"] {
            assert_eq!(again.header(header), first.header(header), "{method} {path}: {header}");
        }
        assert!(is_replayed(&again) && !is_replayed(&first), "{method} {path}");
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
        assert_eq!(after, version, "{method} {path}: no second event");
    }
}

#[tokio::test]
async fn replayed_response_equals_first_byte_for_byte() {
    let Pair(one, two) = Pair::start().await;
    let texts = prop::collection::hash_map("\\PC{0,12}", "\\PC{0,40}", 0..6);
    let mut runner = TestRunner::deterministic();
    for n in 0..40 {
        let metadata = texts.new_tree(&mut runner).unwrap().current();
        let (key, body) = (format!("{n}"), json!({"metadata": metadata}));
        let first = create(&one, &key, &body).await;
        let again = create(&two, &key, &body).await;
        assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::CREATED));
        assert_eq!(again.text, first.text);
        assert_eq!(again.header("location"), first.header("location"));
        assert_eq!(first.body["metadata"], body["metadata"]);
    }
}

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
    let lock = format!("{{{prefix}}}:room_lock:locked");
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

/// The stream's present document.
async fn document(app: &TestApp, stream: &Value) -> Value {
    app.get(&format!("/streams/{}", stream["id"].as_str().unwrap())).await.expect(StatusCode::OK)
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
    proxy.hold(r#"{"status":200"#);
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
