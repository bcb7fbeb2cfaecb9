//! Webhooks: signatures, duplicates, late events, and rooms of other applications.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use livekit_api::access_token::AccessToken;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Pair;
use crate::support::{
    app::{TestResponse, participant_webhook, sign_webhook},
    servers::{KEY, SECRET},
    tokens::jwt,
};

/// The `sha256` claim of a body.
pub fn body_hash(body: &str) -> String {
    STANDARD.encode(Sha256::digest(body))
}

/// The `Authorization` header of a webhook, valid or forged.
fn authorization(key: &str, secret: &str, lifetime: Duration, body: &str) -> String {
    AccessToken::with_api_key(key, secret).with_ttl(lifetime).with_sha256(&body_hash(body)).to_jwt().unwrap()
}

#[tokio::test]
async fn webhook_without_valid_signature_returns_401() {
    let Pair(app, _other) = Pair::start().await;
    let stream = app.create(json!({})).await;
    let minute = Duration::from_secs(60);
    let body = |sid: &str| {
        let mut event = participant_webhook("participant_joined", &stream, "ann", sid);
        // The id is fixed, so that the signature fits every copy of the body.
        event["id"] = format!("EV_{sid}").into();
        event.to_string()
    };
    let good = authorization(KEY, SECRET, minute, &body("PA_1"));
    let without_hash = AccessToken::with_api_key(KEY, SECRET).to_jwt().unwrap();
    let during = |nbf: u64, exp: u64| {
        let claims = good.split('.').nth(1).unwrap();
        let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        (claims["nbf"], claims["exp"]) = (nbf.into(), exp.into());
        claims
    };
    let (past, future) = (during(0, 1_000_000_000), during(9_000_000_000, 9_000_000_300));
    let lasting = during(0, 9_000_000_000);
    let [expired, early] = [&past, &future].map(|claims| jwt(claims, "HS256", SECRET));
    let [unsigned, other] = ["none", "HS512"].map(|algorithm| jwt(&lasting, algorithm, SECRET));
    let mut no_signature = good.clone();
    no_signature.truncate(good.rfind('.').unwrap() + 1);
    for path in ["/webhooks/livekit", "/webhook"] {
        let post = async |authorization: Option<&str>, body: String| {
            let mut request = app.request(Method::POST, path).body(body);
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            TestResponse::read(request.send().await.unwrap()).await
        };
        for (what, value) in [
            ("no header", None),
            ("an empty header", Some("")),
            ("nonsense", Some("Bearer nonsense")),
            ("another key", Some(authorization("other", SECRET, minute, &body("PA_1")).as_str())),
            ("another secret", Some(authorization(KEY, "wrong", minute, &body("PA_1")).as_str())),
            ("another body", Some(authorization(KEY, SECRET, minute, &body("PA_2")).as_str())),
            ("no body hash", Some(without_hash.as_str())),
            ("an expired token", Some(expired.as_str())),
            ("a token that is not valid yet", Some(early.as_str())),
            ("no algorithm", Some(unsigned.as_str())),
            ("another algorithm", Some(other.as_str())),
            ("no signature", Some(no_signature.as_str())),
        ] {
            let answer = post(value, body("PA_1")).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}");
            answer.expect_problem(401, "invalid_signature");
        }
        // One byte of the body differs.
        post(Some(&good), body("PA_1").replace("PA_1", "PA_l"))
            .await
            .expect_problem(401, "invalid_signature");
    }
    // A valid signature is accepted, which proves that the helper signs correctly.
    let request =
        app.request(Method::POST, "/webhook").header("authorization", jwt(&lasting, "HS256", SECRET));
    assert_eq!(request.body(body("PA_1")).send().await.unwrap().status(), StatusCode::OK);
    let state = async || {
        let path = format!("/streams/{}/state", stream["id"].as_str().unwrap());
        app.get(&path).await.expect(StatusCode::OK)["participantCount"].clone()
    };
    assert_eq!(state().await, 1);
}

#[tokio::test]
async fn webhook_signature_with_bearer_prefix_is_accepted() {
    let Pair(app, _other) = Pair::start().await;
    let stream = app.create(json!({})).await;
    for (prefix, identity) in [("", "ann"), ("Bearer ", "bob")] {
        let body = participant_webhook("participant_joined", &stream, identity, &format!("PA_{identity}"))
            .to_string();
        let value = format!("{prefix}{}", authorization(KEY, SECRET, Duration::from_secs(60), &body));
        let request = app.request(Method::POST, "/webhook").header("authorization", value).body(body);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    }
    let state = app.get(&format!("/streams/{}/state", stream["id"].as_str().unwrap())).await;
    assert_eq!(state.expect(StatusCode::OK)["participantCount"], 2);
}

#[tokio::test]
async fn webhook_is_applied_once_and_ignored_for_unknown_room() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    let outcome =
        |answer: TestResponse| answer.expect(StatusCode::OK)["outcome"].as_str().unwrap().to_owned();
    let joined = participant_webhook("participant_joined", &stream, "ann", "PA_1");
    assert_eq!(outcome(one.webhook(&joined).await), "applied");
    assert_eq!(outcome(two.webhook(&joined).await), "duplicate");
    let unknown_room = json!({"roomSid": "RM_x", "roomName": "unknown"});
    assert_eq!(
        outcome(one.webhook(&participant_webhook("participant_joined", &unknown_room, "ann", "PA_1")).await),
        "ignored"
    );
    assert_eq!(
        outcome(one.webhook(&json!({"event": "from_the_future", "id": "EV_f", "x": {}})).await),
        "ignored"
    );
    let late = participant_webhook("participant_left", &stream, "ann", "PA_0");
    assert_eq!(outcome(one.webhook(&late).await), "unchanged");
    let room = json!({"sid": "RM_old", "name": stream["roomName"]});
    assert_eq!(
        outcome(one.webhook(&json!({"event": "room_finished", "id": "EV_o", "room": room})).await),
        "unchanged"
    );
    let room = json!({"sid": stream["roomSid"], "name": stream["roomName"]});
    assert_eq!(
        outcome(two.webhook(&json!({"event": "room_finished", "id": "EV_r", "room": room})).await),
        "applied"
    );
    let document =
        one.get(&format!("/streams/{}", stream["id"].as_str().unwrap())).await.expect(StatusCode::OK);
    assert_eq!((&document["status"], &document["participantCount"]), (&json!("stopped"), &json!(0)));
    assert_eq!(document["participants"][0]["state"], "disconnected");
}

/// LiveKit allows 64 KiB each for the metadata of a room and of a participant, and for attributes, and JSON escapes
/// take up to six bytes a byte. LiveKit counts a 413 as delivered.
#[tokio::test]
async fn webhook_with_largest_participant_is_applied() {
    let Pair(app, _) = Pair::start().await;
    let stream = app.create(json!({})).await;
    let mut event = participant_webhook("participant_joined", &stream, "ann", "PA_1");
    event["room"]["metadata"] = json!("\u{1}".repeat(64_000));
    event["participant"]["metadata"] = json!("\u{1}".repeat(64_000));
    event["participant"]["attributes"] = json!({"a": "\u{1}".repeat(64_000)});
    assert!(event.to_string().len() > 1_000_000);
    let unsigned = app.request(Method::POST, "/webhooks/livekit").body(event.to_string());
    TestResponse::read(unsigned.send().await.unwrap()).await.expect_problem(401, "invalid_signature");
    let padding = " ".repeat(2_100_000);
    let too_large =
        app.request(Method::POST, "/webhooks/livekit").header("authorization", sign_webhook(&padding));
    let too_large = TestResponse::read(too_large.body(padding).send().await.unwrap()).await;
    too_large.expect_problem(413, "payload_too_large");
    assert_eq!(app.webhook(&event).await.expect(StatusCode::OK)["outcome"], "applied");
    let state =
        app.get(&format!("/streams/{}/state", stream["id"].as_str().unwrap())).await.expect(StatusCode::OK);
    assert_eq!(state["participants"][0]["metadata"].as_str().unwrap().len(), 64_000);
}
