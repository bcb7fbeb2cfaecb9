//! `Idempotency-Key`: a repeated request has no second effect, on any instance, also after the first instance has
//! crashed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bounds;
mod crashes;
mod moderation;
mod replays;

use std::collections::HashSet;

use futures_util::future::join_all;
use livekit_api::access_token::{AccessToken, VideoGrants};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Pair;
use crate::support::{
    app::{TestApp, TestResponse},
    eventually,
    servers::{KEY, SECRET},
};

/// Sends a request with an idempotency key.
pub async fn send_with_key(
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

/// Creates a stream under an idempotency key.
pub async fn create(app: &TestApp, key: &str, body: &Value) -> TestResponse {
    send_with_key(app, key, Method::POST, "/streams", Some(body)).await
}

/// Repeats the creation until it is neither in progress nor failed.
pub async fn create_eventually(app: &TestApp, key: &str, body: &Value) -> TestResponse {
    eventually("an answer", || async {
        let answer = create(app, key, body).await;
        (answer.status != StatusCode::CONFLICT && !answer.status.is_server_error()).then_some(answer)
    })
    .await
}

/// Number of all streams.
pub async fn stream_count(app: &TestApp) -> usize {
    app.get("/streams?status=all").await.expect(StatusCode::OK).as_array().unwrap().len()
}

/// True if the response is a replay.
pub fn is_replayed(answer: &TestResponse) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

/// The stream's present document.
pub async fn document(app: &TestApp, stream: &Value) -> Value {
    app.get(&format!("/streams/{}", stream["id"].as_str().unwrap())).await.expect(StatusCode::OK)
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
