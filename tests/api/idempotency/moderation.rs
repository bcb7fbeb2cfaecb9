//! Repetitions of moderation: with a key also after what the request has made is gone, and without a key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{document, is_replayed, send_with_key};
use crate::{
    Pair,
    support::{app::TestApp, eventually},
};

fn path(stream: &Value, rest: &str) -> String {
    format!("/streams/{}{rest}", stream["id"].as_str().unwrap())
}

async fn join(app: &TestApp, stream: &Value, identity: &str) {
    let request = json!({"identity": identity, "role": "viewer"});
    app.post(&path(stream, "/join"), request).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn repeated_block_returns_first_block_after_it_has_ended() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    let block = path(&stream, "/blocks/ann");
    let body = json!({"reason": "spam", "expiresIn": 600});
    let first = send_with_key(&one, "block", Method::PUT, &block, Some(&body)).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(one.delete(&block).await.status, StatusCode::NO_CONTENT);
    let version = document(&one, &stream).await["version"].clone();
    let again = send_with_key(&two, "block", Method::PUT, &block, Some(&body)).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert!(is_replayed(&again));
    assert_eq!(document(&one, &stream).await["version"], version, "the identity stays unblocked");
    assert_eq!(two.get(&path(&stream, "/blocks")).await.body, json!([]));
    // The present block of another request.
    two.send(Method::PUT, &block, Some(json!({"reason": "abuse"}))).await.expect(StatusCode::OK);
    let later = send_with_key(&two, "block", Method::PUT, &block, Some(&body)).await;
    assert_eq!(later.expect(StatusCode::OK)["reason"], "abuse");
}

#[tokio::test]
async fn repeated_change_of_participant_succeeds_after_its_entry_has_expired() {
    let Pair(one, two) = Pair::with(|arguments| arguments.joining_ttl = Some("1s".to_owned())).await;
    let stream = one.create(json!({})).await;
    join(&one, &stream, "ann").await;
    let participant = path(&stream, "/participants/ann");
    let requests = [
        (Method::PUT, format!("{participant}/hand"), None),
        (Method::PATCH, participant.clone(), Some(json!({"name": "Ann"}))),
        (Method::POST, format!("{participant}/mute"), Some(json!({}))),
        (Method::DELETE, format!("{participant}/hand"), None),
    ];
    let mut first = Vec::new();
    for (method, path, body) in &requests {
        let key = format!("{method} {path}");
        let answer = send_with_key(&one, &key, method.clone(), path, body.as_ref()).await;
        first.push(answer.expect(StatusCode::OK));
    }
    eventually("the expiry of the entry", || async {
        (two.get(&participant).await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    for ((method, path, body), first) in requests.iter().zip(first) {
        let key = format!("{method} {path}");
        let again = send_with_key(&two, &key, method.clone(), path, body.as_ref()).await;
        assert!(is_replayed(&again), "{method} {path}");
        let again = again.expect(StatusCode::OK);
        for field in ["identity", "role", "joinedAt"] {
            assert_eq!(again[field], first[field], "{method} {path}");
        }
        assert_eq!((&again["state"], again.get("handRaisedAt")), (&json!("disconnected"), None));
        assert!(again["leftAt"].as_str() > again["joinedAt"].as_str());
    }
}

#[tokio::test]
async fn repeated_moderation_without_key_has_no_second_event() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    join(&one, &stream, "ann").await;
    let requests = [
        (Method::POST, "/stop_live", None),
        (Method::POST, "/go_live", None),
        (Method::POST, "/mute", Some(json!({}))),
        (Method::PUT, "/participants/ann/hand", None),
        (Method::DELETE, "/participants/ann/hand", None),
        (
            Method::PATCH,
            "/participants/ann",
            Some(json!({"role": "host", "name": "Ann", "metadata": {"n": 1}})),
        ),
        (Method::POST, "/participants/ann/mute", Some(json!({}))),
        (Method::PUT, "/blocks/ann", Some(json!({"reason": "spam"}))),
        (Method::DELETE, "/blocks/ann", None),
        (Method::DELETE, "/participants/ann", None),
    ];
    for (method, rest, body) in requests {
        let path = path(&stream, rest);
        let first = one.send(method.clone(), &path, body.clone()).await;
        assert!(first.status.is_success(), "{method} {path}: {}", first.text);
        let version = document(&one, &stream).await["version"].clone();
        let again = two.send(method.clone(), &path, body).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{method} {path}");
        assert_eq!(document(&two, &stream).await["version"], version, "{method} {path}: no second event");
    }
}
