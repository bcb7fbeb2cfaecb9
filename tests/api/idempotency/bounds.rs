//! What idempotency keys take of Redis, and how many of them a caller has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livekit_api::access_token::{AccessToken, VideoGrants};
use redis::AsyncCommands;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{create, is_replayed, send_with_key};
use crate::support::{
    app::{Setup, TestApp, TestResponse, key_prefix},
    servers::{KEY, Redis, SECRET, shared_livekit, shared_redis},
};

/// Fields of a join that may not be lists.
const INVALID_FIELDS: [&str; 5] = ["identity", "name", "role", "metadata", "attributes"];

async fn connect(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// Bytes that the keys of this pattern take, each with its name.
async fn memory_of(redis: &Redis, pattern: &str) -> Vec<(String, usize)> {
    let mut connection = connect(&redis.url()).await;
    let keys: Vec<String> = connection.keys(pattern).await.unwrap();
    let mut found = Vec::new();
    for key in keys {
        let mut usage = redis::cmd("MEMORY");
        usage.arg("USAGE").arg(&key).arg("SAMPLES").arg(0);
        let bytes: usize = usage.query_async(&mut connection).await.unwrap();
        found.push((key, bytes));
    }
    found
}

#[tokio::test]
async fn keyed_requests_on_large_stream_take_less_than_1_kb_each() {
    let redis = Redis::start();
    let app = Setup::new(&redis.url(), shared_livekit()).start().await;
    let body = json!({"metadata": {"large": "x".repeat(59_900)}});
    let first = create(&app, "create", &body).await;
    let path = format!("/streams/{}", first.body["id"].as_str().unwrap());
    for n in 0..200 {
        let patch = json!({"metadata": {"n": n}});
        let key = format!("{n}");
        send_with_key(&app, &key, Method::PATCH, &path, Some(&patch)).await.expect(StatusCode::OK);
    }
    let join = format!("{path}/join");
    let bodies =
        [json!({"identity": "ann", "metadata": {"large": "x".repeat(50_000)}}), json!({"identity": ""})];
    for (key, body) in ["join", "refused"].into_iter().zip(&bodies) {
        send_with_key(&app, key, Method::POST, &join, Some(body)).await;
        assert!(is_replayed(&send_with_key(&app, key, Method::POST, &join, Some(body)).await), "{key}");
    }
    // Refusals of growing length: the short ones are recorded, the long ones are not.
    let mut recorded = Vec::new();
    for fields in 1..=INVALID_FIELDS.len() {
        let body: Value =
            INVALID_FIELDS[..fields].iter().map(|field| ((*field).to_owned(), json!([1]))).collect();
        let key = format!("{fields} invalid fields");
        let send = || send_with_key(&app, &key, Method::POST, &join, Some(&body));
        send().await.expect_problem(400, "validation_failed");
        recorded.push(is_replayed(&send().await));
    }
    assert!(recorded.contains(&true) && recorded.is_sorted_by(|one, next| one >= next), "{recorded:?}");
    assert_eq!(recorded.last(), Some(&false), "long documents are not recorded");

    let records = memory_of(&redis, "*}:idem:*").await;
    assert_eq!(records.len(), 203 + INVALID_FIELDS.len());
    for (key, bytes) in &records {
        assert!(*bytes < 1_024, "{key} takes {bytes} bytes");
    }
    let others =
        [memory_of(&redis, "*}:idem_live:*").await, memory_of(&redis, "*}:applied:*").await].concat();
    let total: usize = records.iter().chain(&others).map(|(_, bytes)| bytes).sum();
    assert!(total / records.len() < 1_024, "{total} bytes for {} keys", records.len());
}

#[tokio::test]
async fn viewer_has_fewer_keys_than_moderator() {
    let app = Setup::new(shared_redis(), shared_livekit())
        .with(|arguments| arguments.admission.auth = Some("livekit".to_owned()))
        .start()
        .await;
    let token = |grants: VideoGrants| {
        let token = AccessToken::with_api_key(KEY, SECRET).with_identity("ann").with_grants(grants);
        token.to_jwt().unwrap()
    };
    let send = async |token: &str, path: &str, key: usize, body: Value| {
        let request = app.request(Method::POST, path).bearer_auth(token).json(&body);
        TestResponse::read(request.header("idempotency-key", key.to_string()).send().await.unwrap()).await
    };
    let backend = token(VideoGrants { room_create: true, ..VideoGrants::default() });
    send(&backend, "/streams", 0, json!({"roomName": "room"})).await.expect(StatusCode::CREATED);
    let room = "room".to_owned();
    let viewer = token(VideoGrants { room_join: true, room: room.clone(), ..VideoGrants::default() });
    let moderator = token(VideoGrants { room_admin: true, room, ..VideoGrants::default() });
    for token in [&viewer, &moderator] {
        for key in 0..100 {
            let left = send(token, "/streams/room/leave", key, json!({"identity": "ann"})).await;
            left.expect(StatusCode::OK);
        }
    }
    let leave = json!({"identity": "ann"});
    let refused = send(&viewer, "/streams/room/leave", 100, leave.clone()).await;
    let problem = refused.expect_problem(429, "too_many_idempotency_keys");
    assert!(problem["detail"].as_str().unwrap().contains("at most 100 keys"), "{problem}");
    assert!(is_replayed(&send(&viewer, "/streams/room/leave", 0, leave.clone()).await));
    send(&moderator, "/streams/room/leave", 100, leave).await.expect(StatusCode::OK);
}

/// Sends a creation with a key from an address behind a proxy.
async fn create_from(app: &TestApp, address: &str, key: &str) -> TestResponse {
    let request = app.request(Method::POST, "/streams").header("idempotency-key", key);
    let request = request.header("x-forwarded-for", address).json(&json!({}));
    TestResponse::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn caller_with_too_many_keys_gets_429_and_keeps_its_old_keys() {
    let trusting = Setup::new(shared_redis(), shared_livekit())
        .with(|arguments| arguments.admission.trusted_proxies = Some("127.0.0.1".to_owned()));
    let prefix = trusting.arguments.redis_prefix.clone().unwrap();
    let app = trusting.start().await;
    let first = create_from(&app, "203.0.113.1", "old").await;

    let caller = "address:203.0.113.1";
    let live = key_prefix(&prefix, |partitioning| partitioning.of_text(caller)) + "idem_live:" + caller;
    let mut redis = connect(shared_redis()).await;
    let times: Vec<u64> = redis::cmd("TIME").query_async(&mut redis).await.unwrap();
    let soon = (times[0] + 100) * 1_000;
    let keys: Vec<_> = (1..10_000_u64).map(|n| (soon + n, format!("filler {n}"))).collect();
    let _: () = redis.zadd_multiple(&live, &keys).await.unwrap();

    let refused = create_from(&app, "203.0.113.1", "new").await;
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=101).contains(&wait), "{wait}");
    let problem = refused.expect_problem(429, "too_many_idempotency_keys");
    assert!(problem["detail"].as_str().unwrap().contains("10000"), "{problem}");
    let again = create_from(&app, "203.0.113.1", "old").await;
    assert!(is_replayed(&again));
    assert_eq!(again.text, first.text);
    // Requests without a key, and other callers, are not refused.
    app.create(json!({})).await;
    create_from(&app, "203.0.113.2", "new").await.expect(StatusCode::CREATED);
    let _: () = redis.zrem(&live, "filler 1").await.unwrap();
    create_from(&app, "203.0.113.1", "new").await.expect(StatusCode::CREATED);
}
