//! Metadata is returned unchanged, digit for digit, over every transport and through LiveKit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::StreamExt;
use livekit_api::{access_token::TokenVerifier, services::room::RoomClient};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use reqwest::{Client, Method, StatusCode};
use serde_json::json;
use tokio_tungstenite::{connect_async, tungstenite::Message};

use super::Pair;
use crate::support::{
    app::{TestApp, TestResponse},
    grpc::Client as GrpcClient,
    servers::{KEY, SECRET, shared_livekit},
    unique, within,
};

const CASES: usize = 24;

/// Compact JSON text of a value, with numbers and strings that a conversion to native types would change.
fn value() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        "-?(0|[1-9][0-9]{0,40})",
        "-?(0|[1-9][0-9]{0,20})\\.[0-9]{1,30}",
        "-?[1-9](\\.[0-9]{1,5})?[eE][+-]?[0-9]{1,4}",
    ];
    let string = "\"([a-z é😀/]|\\\\u00e9|\\\\/|\\\\n|\\\\u0000|\\\\ud83d\\\\ude00|\\\\\"){0,6}\"";
    let literal = prop::sample::select(vec!["true", "false", "null"]).prop_map(str::to_owned);
    let leaf = prop_oneof![3 => number, 2 => string, 1 => literal];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(","))),
            object(inner),
        ]
    })
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::btree_map("[a-cé$]{1,3}", value, 1..4).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

async fn send(app: &TestApp, method: Method, path: &str, body: String) -> TestResponse {
    let request = app.request(method, path).header("content-type", "application/json").body(body);
    TestResponse::read(request.send().await.unwrap()).await
}

/// Reads a response until it contains a text.
async fn read_until(path: &str, response: reqwest::Response, text: &str) {
    let (mut chunks, mut read) = (response.bytes_stream(), Vec::new());
    while !String::from_utf8_lossy(&read).contains(text) {
        read.extend(within(path, chunks.next()).await.expect("more bytes").unwrap());
    }
}

/// Subscribes over WebSocket and reads until a message contains a text.
async fn read_websocket_until(app: &TestApp, id: &str, after: &str, text: &str) {
    let (mut socket, _) = connect_async(app.base.replacen("http", "ws", 1) + "/ws").await.unwrap();
    let subscribe = json!({"type": "subscribe", "streamId": id, "after": after});
    futures_util::SinkExt::send(&mut socket, Message::text(subscribe.to_string())).await.unwrap();
    let mut read = Vec::new();
    while !read.last().is_some_and(|message: &String| message.contains(text)) {
        let message =
            within("a message", socket.next()).await.unwrap_or_else(|| panic!("{text} is not in {read:?}"));
        read.push(message.unwrap().to_string());
    }
}

/// A string member of a document whose numbers serde_json cannot parse.
fn member(document: &str, name: &str) -> String {
    let rest = document.split_once(&format!("\"{name}\":\"")).unwrap().1;
    rest.split_once('"').unwrap().0.to_owned()
}

/// Creates a stream with this metadata and checks every output that contains it.
async fn assert_unchanged(Pair(one, two): &Pair, text: &str) {
    let created = send(one, Method::POST, "/streams", format!(r#"{{"metadata": {text}}}"#)).await;
    assert_eq!(created.status, StatusCode::CREATED, "{text}: {}", created.text);
    let expected = format!("\"metadata\":{text}");
    let (id, room_name) = (member(&created.text, "id"), member(&created.text, "roomName"));
    let join = send(
        one,
        Method::POST,
        &format!("/streams/{id}/join"),
        format!(r#"{{"identity":"ann","metadata":{text}}}"#),
    )
    .await;
    let claims = TokenVerifier::with_api_key(KEY, SECRET).verify(&member(&join.text, "token")).unwrap();
    assert_eq!(claims.metadata, text);
    for path in [
        format!("/streams/{id}"),
        format!("/streams/{id}/state"),
        format!("/streams/{id}/participants"),
        format!("/events/{id}"),
        "/streams?limit=1000".to_owned(),
    ] {
        let answer = two.get(&path).await;
        assert!(answer.text.contains(&expected), "{path}: {expected} is not in {}", answer.text);
    }
    let client = Client::new();
    for path in [format!("/events?streamId={id}&limit=10"), format!("/sse/{id}/updates")] {
        read_until(&path, client.get(format!("{}{path}", two.base)).send().await.unwrap(), &expected).await;
    }
    let first = member(&two.get(&format!("/events/{id}")).await.text, "cursor");
    read_websocket_until(two, &id, &first, &expected).await;
    assert_grpc_state(two, &id, text).await;
    let rooms = RoomClient::with_api_key(&shared_livekit().replace("ws:", "http:"), KEY, SECRET);
    let room = rooms.list_rooms(vec![room_name]).await.unwrap();
    assert_eq!(room[0].metadata, text);
    // A patch keeps members that it does not name.
    let patched =
        send(one, Method::PATCH, &format!("/streams/{id}"), r#"{"metadata":{"zz":1.0}}"#.to_owned()).await;
    let members = text.strip_suffix('}').unwrap();
    assert!(
        patched.text.contains(&format!("\"metadata\":{members},\"zz\":1.0}}")),
        "{text}: {}",
        patched.text
    );
    assert_eq!(two.delete(&format!("/streams/{id}")).await.status, StatusCode::OK);
}

/// gRPC returns strings unchanged and other values as JSON text.
async fn assert_grpc_state(app: &TestApp, id: &str, text: &str) {
    let state = GrpcClient::of(app).await.state(id).await.unwrap();
    let members: std::collections::BTreeMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(text).unwrap();
    for (key, value) in members {
        let expected = serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned());
        assert_eq!(state.metadata[&key], expected, "{text}");
    }
}

#[tokio::test]
async fn metadata_is_returned_unchanged_on_every_transport() {
    let pair = Pair::start().await;
    let rng = TestRng::from_seed(
        RngAlgorithm::ChaCha,
        unique("seed").as_bytes().repeat(32).first_chunk::<32>().unwrap(),
    );
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    assert_unchanged(&pair, r#"{"n":12345678901234567890123,"m":1.10}"#).await;
    for _ in 0..CASES {
        assert_unchanged(&pair, &object(value()).new_tree(&mut runner).unwrap().current()).await;
    }
}

#[tokio::test]
async fn metadata_that_cannot_be_stored_unchanged_is_refused() {
    let Pair(app, _) = Pair::start().await;
    for (text, code, field) in [
        (r#"{"metadata":{"a":1,"a":2}}"#, "validation_failed", "metadata"),
        (r#"{"metadata":{"a":[{"b":1,"\u0062":2}]}}"#, "validation_failed", "metadata"),
        (r#"{"metadata":{},"metadata":{}}"#, "validation_failed", "metadata"),
        (r#"{"roomName":"a","roomName":"b"}"#, "validation_failed", "roomName"),
        (r#"{"metadata":{"a":"\ud800"}}"#, "malformed_body", ""),
        (r#"{"metadata":{"a":01}}"#, "malformed_body", ""),
    ] {
        let problem = send(&app, Method::POST, "/streams", text.to_owned()).await.expect_problem(400, code);
        assert_eq!(problem["errors"][0]["field"].as_str().unwrap_or_default(), field, "{text}: {problem}");
    }
    let stream = app.create(json!({})).await;
    let path = format!("/streams/{}/join", stream["id"].as_str().unwrap());
    for attributes in ["{\"a\":1}", "[]", "{\"a\":\"1\",\"a\":\"2\"}", "\"text\""] {
        let body = format!(r#"{{"identity":"ann","attributes":{attributes}}}"#);
        let problem = send(&app, Method::POST, &path, body).await.expect_problem(400, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], "attributes", "{problem}");
    }
}
