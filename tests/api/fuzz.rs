//! Random bodies, cursors, messages and webhooks never cause a 500 or a closed connection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::SinkExt;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use super::{Pair, websocket};
use crate::support::app::TestResponse;

/// Random cases of each test.
const CASES: usize = 150;

/// Random JSON with keys and values of this API, and with control and bidirectional characters.
pub fn json_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        3 => "\\PC{0,20}",
        1 => any::<String>(),
        1 => Just("\u{202e}\u{2066}evil\u{0}\u{1b}[31m".to_owned()),
        1 => prop::sample::select(vec!["stopped", "host", "viewer", "*", "0-0", "participant_joined", "room_finished"])
            .prop_map(str::to_owned),
    ];
    let key = prop_oneof![
        1 => "\\PC{0,8}",
        4 => prop::sample::select(vec!["roomName", "name", "metadata", "maxParticipants", "emptyTimeout", "status",
            "version", "identity", "userId", "participantName", "role", "type", "streamId", "after", "event", "id",
            "createdAt", "room", "sid", "participant", "permission", "canPublish", "tracks", "track", "joinedAt"])
            .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            3 => prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Generates cases with a random seed. A failure's message contains the case.
pub fn cases<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>) -> Vec<T> {
    let mut runner = TestRunner::new(Config::default());
    (0..CASES).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

fn raw_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => json_value().prop_map(|value| value.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (1_usize..3_000).prop_map(|depth| [vec![b'['; depth], vec![b']'; depth]].concat()),
        1 => "\\{\"metadata\":\\{\"a\":\"\\\\\\\\ud800\"\\}\\}".prop_map(String::into_bytes),
    ]
}

#[tokio::test]
async fn random_body_never_returns_500() {
    let Pair(app, _other) = Pair::start().await;
    let stream = app.create(json!({"roomName": "fuzz"})).await;
    let id = stream["id"].as_str().unwrap();
    for (n, body) in cases(raw_body()).into_iter().enumerate() {
        let (method, path) = match n % 4 {
            0 => (Method::POST, "/streams".to_owned()),
            1 => (Method::PATCH, format!("/streams/{id}")),
            2 => (Method::POST, format!("/streams/{id}/join")),
            _ => (Method::POST, format!("/streams/{id}/leave")),
        };
        let request =
            app.request(method.clone(), &path).header("content-type", "application/json").body(body.clone());
        let answer = TestResponse::read(request.send().await.unwrap()).await;
        assert!(!answer.status.is_server_error(), "{method} {path}: {body:?}: {}", answer.text);
        if answer.status.is_client_error() {
            assert!(answer.body["code"].is_string(), "{method} {path}: {body:?}: {}", answer.text);
        }
    }
    app.get(&format!("/streams/{id}")).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn random_signed_webhook_returns_200() {
    let Pair(app, _other) = Pair::start().await;
    let stream = app.create(json!({"roomName": "fuzz"})).await;
    let events = prop::sample::select(vec![
        "room_started",
        "room_finished",
        "participant_joined",
        "participant_left",
        "participant_connection_aborted",
        "track_published",
        "track_unpublished",
        "egress_started",
        "unknown_event",
    ]);
    for (event, mut body, is_own_room) in cases((events, json_value(), any::<bool>())) {
        if let Value::Object(fields) = &mut body {
            fields.insert("event".to_owned(), event.into());
            if is_own_room {
                fields.insert("room".to_owned(), json!({"sid": stream["roomSid"], "name": "fuzz"}));
            }
        }
        let answer = app.webhook(&body).await;
        assert_eq!(answer.status, StatusCode::OK, "{body}: {}", answer.text);
    }
    app.get("/streams/fuzz").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn random_cursor_returns_200_or_400() {
    let Pair(app, _other) = Pair::start().await;
    app.create(json!({"roomName": "fuzz"})).await;
    let cursor = prop_oneof![any::<String>(), "[0-9]{1,24}-[0-9]{1,24}", "[0-9a-f-]{0,40}"];
    for cursor in cases(cursor) {
        let encoded: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
        for path in [
            format!("/events/fuzz?after={encoded}"),
            format!("/streams?cursor={encoded}"),
            format!("/streams/fuzz/participants?cursor={encoded}"),
        ] {
            let answer = app.get(&path).await;
            let fine = [StatusCode::OK, StatusCode::BAD_REQUEST].contains(&answer.status);
            assert!(fine, "{path}: {}", answer.text);
        }
        for path in [
            format!("/events?streamId=fuzz&lastEventId={encoded}"),
            format!("/sse/fuzz/updates?lastEventId={encoded}"),
        ] {
            assert_eq!(app.follow(&path).await.status, StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test]
async fn websocket_after_random_message_still_answers_ping() {
    let Pair(app, _other) = Pair::start().await;
    app.create(json!({"roomName": "fuzz"})).await;
    let url = format!("{}/ws", app.base.replacen("http", "ws", 1));
    let (mut socket, _) = connect_async(url).await.unwrap();
    let text = prop_oneof![
        2 => json_value().prop_map(|value| value.to_string()),
        1 => any::<String>(),
        2 => ("\\PC{0,10}", "\\PC{0,20}").prop_map(|(stream, after)|
            json!({"type": "subscribe", "streamId": stream, "after": after}).to_string()),
        1 => "\\PC{0,20}".prop_map(|after|
            json!({"type": "subscribe", "streamId": "fuzz", "after": after}).to_string()),
    ];
    for text in cases(text) {
        socket.send(Message::text(text.clone())).await.unwrap();
        socket.send(Message::text(r#"{"type":"ping"}"#)).await.unwrap();
        // The ping is answered whatever the answer to the random message is.
        loop {
            let Message::Text(text) = websocket::message(&mut socket).await else { continue };
            if serde_json::from_str::<Value>(&text).unwrap()["type"] == "pong" {
                break;
            }
        }
    }
}
