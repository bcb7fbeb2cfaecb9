//! No input of any route or message makes Redis answer an error, so the alert on failed calls is about Redis alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::fuzz::{cases, json_value};
use crate::support::{
    app::{Setup, TestApp},
    feed_client::{FeedConnection, Received, Transport},
    servers::{shared_livekit, shared_redis},
    unique, within,
};

/// Numbers at which integers, doubles and Redis's stream ids end.
const LIMITS: [u64; 10] = [
    0,
    1,
    1 << 31,
    (1 << 53) - 1,
    (1 << 53) + 1,
    100_000_000_000_000,
    i64::MAX as u64,
    i64::MAX as u64 + 1,
    u64::MAX - 1,
    u64::MAX,
];

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(LIMITS.to_vec()).prop_map(|number| number.to_string()),
        1 => any::<u64>().prop_map(|number| number.to_string()),
        1 => "-?[0-9]{1,40}(\\.[0-9]{1,9})?(e[0-9]{1,3})?",
    ]
}

fn cursor() -> impl Strategy<Value = String> {
    (number(), number()).prop_map(|(ms, n)| format!("{ms}-{n}"))
}

/// The cursor of a list: a list key as `Link` encodes it.
fn list_cursor() -> impl Strategy<Value = String> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    (number(), "[0-9]{0,16}:?", any::<String>())
        .prop_map(|(rank, time, rest)| URL_SAFE_NO_PAD.encode(format!("{rank}:{time}{rest}")))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => number(),
        2 => cursor(),
        2 => list_cursor(),
        1 => any::<String>(),
        1 => prop::sample::select(vec!["inputs", "all", "*", "(", "[", "+", "-", "\0", "a\0b", "{x}", "hidden",
            "egress", "standard", "active", "joining", "disconnected", "stopped", "creating"])
            .prop_map(str::to_owned),
        1 => "\\PC{256}",
    ]
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A path and query: known routes, with generated ids and parameters.
fn address(room: &str) -> impl Strategy<Value = String> + use<> {
    let id = prop_oneof![3 => Just(room.to_owned()), 1 => text().prop_map(|text| encoded(&text))];
    let route = prop::sample::select(vec![
        "/streams",
        "/streams/{id}",
        "/streams/{id}/state",
        "/streams/{id}/participants",
        "/streams/{id}/join",
        "/streams/{id}/leave",
        "/events/{id}",
    ]);
    let name = prop::sample::select(vec![
        "limit",
        "cursor",
        "after",
        "status",
        "state",
        "kind",
        "streamId",
        "lastEventId",
    ]);
    let parameters = prop::collection::vec((name, text()), 0..4);
    (route, id, parameters).prop_map(|(route, id, parameters)| {
        let query: Vec<_> =
            parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        format!("{}?{}", route.replace("{id}", &id), query.join("&"))
    })
}

fn method() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![Method::GET, Method::GET, Method::GET, Method::POST, Method::PATCH])
}

/// Headers that this service reads. Their values are visible ASCII characters.
fn headers() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let name = prop::sample::select(vec!["if-match", "if-none-match", "idempotency-key", "last-event-id"]);
    let value = prop_oneof![
        1 => number().prop_map(|number| format!("\"{number}\"")),
        1 => "[ -~]{1,60}",
        1 => cursor(),
    ];
    prop::collection::vec((name, value), 0..3)
}

/// A body with known fields, whose values are at the limits.
fn body() -> impl Strategy<Value = Value> {
    let field = prop::sample::select(vec![
        "maxParticipants",
        "emptyTimeout",
        "version",
        "status",
        "metadata",
        "identity",
        "name",
        "role",
        "attributes",
        "roomName",
    ]);
    let value = prop_oneof![
        2 => number().prop_map(|number| serde_json::from_str(&number).unwrap_or(Value::Null)),
        1 => text().prop_map(Value::from),
        1 => text().prop_map(|text| json!({ text.clone(): text })),
        1 => json_value(),
    ];
    prop::collection::vec((field, value), 0..5).prop_map(|fields| fields.into_iter().collect())
}

/// Starts an instance with a stream that has an event and a participant; returns the stream's room name too.
async fn start() -> (TestApp, String) {
    let (app, room) = (Setup::new(shared_redis(), shared_livekit()).start().await, unique("inputs"));
    app.create(json!({ "roomName": room })).await;
    app.post(&format!("/streams/{room}/join"), json!({"identity": "ann"})).await.expect(StatusCode::OK);
    (app, room)
}

async fn assert_no_redis_errors(app: &TestApp) {
    let metrics = app.get("/metrics").await.text;
    let failed: Vec<_> = metrics.lines().filter(|line| line.starts_with("lso_redis_errors_total")).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[tokio::test]
async fn random_request_causes_no_redis_error() {
    let (app, room) = start().await;
    for (method, address, headers, body) in cases((method(), address(&room), headers(), body())) {
        let mut request = app.request(method.clone(), &address);
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        if method != Method::GET {
            request = request.json(&body);
        }
        let status = request.send().await.unwrap().status();
        assert_ne!(status, StatusCode::SERVICE_UNAVAILABLE, "{method} {address} {headers:?} {body}");
        assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{method} {address} {headers:?} {body}");
    }
    assert_no_redis_errors(&app).await;
}

/// Every cursor is answered with an event or a reset. gRPC refuses one that does not parse.
#[tokio::test]
async fn random_cursor_causes_no_redis_error() {
    let (app, room) = start().await;
    for cursor in cases(prop_oneof![4 => cursor(), 1 => "[!-~]{1,40}"]) {
        for transport in Transport::ALL {
            for stream in [None, Some(&*room)] {
                let opened = FeedConnection::open(&(&app).into(), transport, stream, Some(&cursor)).await;
                let is_malformed = cursor.parse::<livestream_orchestrator::domain::Cursor>().is_err();
                if transport == Transport::Grpc && is_malformed {
                    assert!(opened.is_err(), "{cursor}");
                    continue;
                }
                let received = within("an event or a reset", opened.unwrap().next()).await;
                let is_answered = matches!(received, Received::Event(_) | Received::Reset { .. });
                assert!(is_answered, "{transport:?} {cursor}: {received:?}");
            }
        }
        assert_eq!(
            app.follow(&format!("/sse/{room}/updates?lastEventId={}", encoded(&cursor))).await.status,
            200
        );
    }
    assert_no_redis_errors(&app).await;
}

#[tokio::test]
async fn random_webhook_causes_no_redis_error() {
    let (app, room) = start().await;
    let stream = app.get(&format!("/streams/{room}")).await.expect(StatusCode::OK);
    let event = prop::sample::select(vec![
        "participant_joined",
        "participant_left",
        "track_published",
        "track_unpublished",
        "participant_connection_aborted",
    ]);
    for (event, id, time, text) in cases((event, text(), number(), text())) {
        let webhook = json!({
            "event": event, "id": id, "createdAt": time,
            "room": {"sid": stream["roomSid"], "name": room},
            "participant": {"sid": text, "identity": text, "name": text, "joinedAt": time, "joinedAtMs": time,
                "metadata": text, "attributes": {text.clone(): text}},
            "track": {"sid": text, "source": "MICROPHONE"},
        });
        let answer = app.webhook(&webhook).await;
        assert!(!answer.status.is_server_error(), "{webhook}: {}", answer.text);
    }
    assert_no_redis_errors(&app).await;
}
