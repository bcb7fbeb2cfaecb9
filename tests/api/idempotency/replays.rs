//! Responses to repetitions of a request: equal to the first response while the stream is unchanged, and the stream as
//! it is now after that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livekit_api::access_token::{Claims, TokenVerifier, VideoGrants};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{create, document, is_replayed, send_with_key};
use crate::{
    Pair,
    auth_fixture::{start_with_auth, token},
    support::{
        app::{TestApp, TestResponse},
        eventually,
        servers::{KEY, SECRET},
    },
};

#[tokio::test]
async fn repeated_request_with_key_is_replayed_without_second_effect() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({"metadata": {"n": 0}})).await;
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    let requests = [
        (Method::PATCH, path.clone(), Some(json!({"metadata": {"n": 1}}))),
        (Method::POST, format!("{path}/stop_live"), None),
        (Method::POST, format!("{path}/go_live"), None),
        (Method::POST, format!("{path}/join"), Some(json!({"identity": "ann"}))),
        (Method::PATCH, format!("{path}/participants/ann"), Some(json!({"role": "viewer"}))),
        (Method::PATCH, format!("{path}/participants/bob"), Some(json!({"role": "viewer"}))),
        (Method::POST, format!("{path}/participants/ann/mute"), Some(json!({}))),
        (Method::POST, format!("{path}/mute"), Some(json!({}))),
        (Method::PUT, format!("{path}/participants/ann/hand"), None),
        (Method::DELETE, format!("{path}/participants/ann/hand"), None),
        (Method::PUT, format!("{path}/participants/bob/hand"), None),
        (Method::DELETE, format!("{path}/participants/ann"), None),
        (Method::PUT, format!("{path}/blocks/ann"), Some(json!({"expiresIn": 60}))),
        (Method::DELETE, format!("{path}/blocks/ann"), None),
        (Method::POST, format!("{path}/join"), Some(json!({"identity": "ann"}))),
        (Method::POST, format!("{path}/leave"), Some(json!({"identity": "ann"}))),
        (Method::PUT, format!("{path}/participants/ann/hand"), None),
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

fn path_of(stream: &Value) -> String {
    format!("/streams/{}", stream["id"].as_str().unwrap())
}

#[tokio::test]
async fn replay_after_change_has_first_status_and_stream_as_it_is_now() {
    let Pair(one, two) = Pair::start().await;
    let body = json!({"roomName": "moving", "metadata": {"n": 0}});
    let first = create(&one, "create", &body).await;
    let path = path_of(&first.body);
    let patch = json!({"metadata": {"n": 1}});
    let patched = send_with_key(&one, "patch", Method::PATCH, &path, Some(&patch)).await;
    let found = create(&one, "find", &body).await;
    assert_eq!((patched.status, found.status), (StatusCode::OK, StatusCode::OK));

    let changes = [(Method::PATCH, Some(json!({"metadata": {"n": 2}}))), (Method::DELETE, None)];
    for (method, change) in changes {
        two.send(method, &path, change).await.expect(StatusCode::OK);
        let now = two.get(&path).await;
        for (key, method, path, body, first) in [
            ("create", Method::POST, "/streams", &body, &first),
            ("patch", Method::PATCH, path.as_str(), &patch, &patched),
            ("find", Method::POST, "/streams", &body, &found),
        ] {
            let again = send_with_key(&two, key, method, path, Some(body)).await;
            assert!(is_replayed(&again), "{key}");
            assert_eq!((again.status, &again.text), (first.status, &now.text), "{key}");
            assert_ne!(again.text, first.text, "{key}");
            for header in ["etag", "last-event-id"] {
                assert_eq!(again.header(header), now.header(header), "{key}: {header}");
            }
            assert_eq!(again.header("location"), first.header("location"), "{key}");
        }
        assert_eq!(two.get(&path).await.text, now.text, "no replay changes the stream");
    }
    // The room name is free now. The key still stands for the first stream.
    let successor = two.create(body.clone()).await;
    let again = create(&one, "create", &body).await.expect(StatusCode::CREATED);
    assert_eq!(again["id"], first.body["id"]);
    assert_ne!(successor["id"], first.body["id"]);
}

#[tokio::test]
async fn replayed_leave_shows_participant_as_it_is_now() {
    let Pair(one, two) = Pair::start().await;
    let path = path_of(&one.create(json!({})).await);
    let (join, leave) = (format!("{path}/join"), format!("{path}/leave"));
    let ann = json!({"identity": "ann"});
    one.post(&join, ann.clone()).await.expect(StatusCode::OK);
    let first = send_with_key(&one, "leave", Method::POST, &leave, Some(&ann)).await;
    assert_eq!(first.body["participant"]["state"], "disconnected");
    two.post(&join, ann.clone()).await.expect(StatusCode::OK);
    let again = send_with_key(&two, "leave", Method::POST, &leave, Some(&ann)).await;
    assert!(is_replayed(&again));
    let again = again.expect(StatusCode::OK);
    assert_eq!(again["streamId"], first.body["streamId"]);
    assert_eq!(again["participant"]["state"], "joining", "the later join goes on");
}

fn claims(answer: &Value) -> Claims {
    TokenVerifier::with_api_key(KEY, SECRET).verify(answer["token"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn replayed_join_has_equal_token_also_after_stream_has_changed() {
    let Pair(one, two) = Pair::start().await;
    let path = path_of(&one.create(json!({})).await);
    let join = format!("{path}/join");
    let body = json!({"identity": "ann", "name": "Ann", "role": "viewer", "metadata": {"seat": 1},
        "attributes": {"a": "1", "b": "2", "c": "3"}});
    let first = send_with_key(&one, "join", Method::POST, &join, Some(&body)).await;
    two.post(&format!("{path}/leave"), json!({"identity": "ann"})).await.expect(StatusCode::OK);
    two.post(&join, json!({"identity": "ann", "role": "host"})).await.expect(StatusCode::OK);
    let changes = [("role", format!("{path}/participants/ann")), ("removal", path.clone()), ("stop", path)];
    for (change, next) in changes {
        let again = send_with_key(&two, "join", Method::POST, &join, Some(&body)).await;
        assert!(is_replayed(&again), "{change}");
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{change}");
        two.delete(&next).await.expect(StatusCode::OK);
    }
    let claims = claims(&first.body);
    assert_eq!((claims.sub.as_str(), claims.name.as_str()), ("ann", "Ann"));
    assert_eq!((claims.metadata.as_str(), claims.video.can_publish), (r#"{"seat":1}"#, Some(false)));
    assert_eq!(claims.attributes.len(), 4, "with the mark of the token");
    assert!(claims.attributes["lso.token"].ends_with(".0"), "of a token from before the removal");
}

#[tokio::test]
async fn replay_shows_participants_only_to_caller_that_may_read_them() {
    let Pair(app, _other) = start_with_auth().await;
    let creates = token(VideoGrants { room_create: true, ..VideoGrants::default() });
    let admin = VideoGrants { room_admin: true, room: "private".to_owned(), ..VideoGrants::default() };
    let admin = token(admin);
    let create = || {
        let request = app.request(Method::POST, "/streams").header("idempotency-key", "k");
        let request = request.header("authorization", format!("Bearer {creates}"));
        request.json(&json!({"roomName": "private"})).send()
    };
    let first = TestResponse::read(create().await.unwrap()).await;
    assert_eq!(first.body["participants"], json!([]));
    let join = app.request(Method::POST, "/streams/private/join");
    let join = join.header("authorization", format!("Bearer {admin}")).json(&json!({"identity": "ann"}));
    assert_eq!(join.send().await.unwrap().status(), StatusCode::OK);
    let again = TestResponse::read(create().await.unwrap()).await;
    assert!(is_replayed(&again));
    let again = again.expect(StatusCode::CREATED);
    assert_eq!(again["id"], first.body["id"]);
    assert!(again.get("participants").is_none(), "{again}");
}

/// Waits until the store no longer has the stream.
async fn wait_for_expiry(app: &TestApp, path: &str) {
    eventually("the end of the stream's keys", || async {
        (app.get(path).await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
}

#[tokio::test]
async fn replay_for_expired_stream_is_404_and_changes_nothing() {
    let Pair(one, two) = Pair::with(|arguments| arguments.stopped_ttl = Some("1s".to_owned())).await;
    let body = json!({"roomName": "expiring"});
    let first = create(&one, "create", &body).await.expect(StatusCode::CREATED);
    let path = path_of(&first);
    let join = (Method::POST, format!("{path}/join"), Some(json!({"identity": "ann"})));
    let stop = (Method::DELETE, path.clone(), None);
    for (method, path, body) in [&join, &stop] {
        send_with_key(&one, path, method.clone(), path, body.as_ref()).await.expect(StatusCode::OK);
    }
    wait_for_expiry(&two, &path).await;
    let again = create(&two, "create", &body).await;
    assert!(is_replayed(&again), "the request was executed");
    let problem = again.expect_problem(404, "stream_not_found");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("was executed") && detail.contains(first["id"].as_str().unwrap()), "{detail}");
    for (method, path, body) in [join, stop] {
        let again = send_with_key(&two, &path, method, &path, body.as_ref()).await;
        assert!(is_replayed(&again), "{path}");
        again.expect_problem(404, "stream_not_found");
    }
    assert_eq!(super::stream_count(&two).await, 0);
}

#[tokio::test]
async fn long_refusal_is_not_recorded_and_is_made_again() {
    let Pair(one, two) = Pair::start().await;
    let join = format!("{}/join", path_of(&one.create(json!({})).await));
    let body = json!({"identity": [], "name": [], "role": [], "metadata": [], "attributes": []});
    let first = send_with_key(&one, "k", Method::POST, &join, Some(&body)).await;
    let again = send_with_key(&two, "k", Method::POST, &join, Some(&body)).await;
    assert!(!is_replayed(&again), "{}", first.text);
    assert_eq!(again.text, first.text);
    again.expect_problem(400, "validation_failed");
}

#[tokio::test]
async fn precondition_in_any_line_belongs_to_request_of_key() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    let send = async |app: &TestApp, key: &str, tags: &[&[u8]]| {
        let mut request = app.request(Method::PATCH, &path).header("idempotency-key", key);
        for tag in tags {
            request = request.header("if-match", *tag);
        }
        TestResponse::read(request.json(&json!({"metadata": {"n": 1}})).send().await.unwrap()).await
    };
    let different: [&[&[u8]]; 5] = [&[], &[b""], &[b"\"\xe9\""], &[b"\"900\""], &[b"\"900\"", b"\"901\""]];
    for (n, tags) in different.into_iter().enumerate() {
        let key = format!("{n}");
        let first = send(&one, &key, tags).await;
        let again = send(&two, &key, tags).await;
        assert_eq!((again.status, is_replayed(&again)), (first.status, true), "{tags:?}");
        for other in different.into_iter().filter(|other| *other != tags) {
            send(&two, &key, other).await.expect_problem(422, "idempotency_mismatch");
        }
    }
}

#[tokio::test]
async fn request_with_corrected_content_type_is_executed() {
    let Pair(one, two) = Pair::start().await;
    let send = async |app: &TestApp, media_type: &str| {
        let request = app.request(Method::POST, "/streams").header("idempotency-key", "k");
        let request = request.header("content-type", media_type).body("{}");
        TestResponse::read(request.send().await.unwrap()).await
    };
    send(&one, "text/plain").await.expect_problem(415, "unsupported_media_type");
    let made = send(&two, "application/json").await;
    assert!(!is_replayed(&made));
    made.expect(StatusCode::CREATED);
}
