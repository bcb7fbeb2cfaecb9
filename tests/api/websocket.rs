//! WebSocket: several feeds on one connection, with the events and cursors of the other transports.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, protocol::CloseFrame},
};

use super::Pair;
use crate::support::{
    app::{TestApp, participant_webhook},
    within,
};

/// Returns the next message of any kind.
pub async fn message(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> Message {
    within("a message", socket.next()).await.expect("an open connection").unwrap()
}

/// A WebSocket client.
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub async fn open(app: &TestApp, path: &str) -> Self {
        let url = format!("{}{path}", app.base.replacen("http", "ws", 1));
        let mut socket = Self(within("a handshake", connect_async(url)).await.unwrap().0);
        assert_eq!(socket.next().await["type"], "connected");
        socket
    }

    pub async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    pub async fn subscribe(&mut self, stream_id: &str, after: Option<&str>) -> Value {
        self.send(json!({"type": "subscribe", "streamId": stream_id, "after": after})).await;
        let subscribed = self.next().await;
        assert_eq!(
            (&subscribed["type"], &subscribed["streamId"]),
            (&json!("subscribed"), &json!(stream_id)),
            "{subscribed}"
        );
        subscribed
    }

    pub async fn next(&mut self) -> Value {
        loop {
            match within("a message", self.0.next()).await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no message: {other:?}"),
            }
        }
    }

    async fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    async fn closed(&mut self) -> CloseFrame {
        loop {
            match within("a close frame", self.0.next()).await {
                Some(Ok(Message::Close(frame))) => return frame.unwrap(),
                Some(Ok(_)) => {}
                other => panic!("no close frame: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn websocket_feeds_share_connection_and_cursors() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({"roomName": crate::support::unique("ws room")})).await;
    let (id, room) = (stream["id"].as_str().unwrap(), stream["roomName"].as_str().unwrap());
    for path in ["/ws", "/"] {
        let mut socket = Socket::open(&two, path).await;
        socket.send(json!({"type": "ping"})).await;
        assert_eq!(socket.next().await["type"], "pong");
    }
    let mut all = Socket::open(&two, "/ws").await;
    assert!(all.subscribe("*", None).await["cursor"].is_string());
    let mut own = Socket::open(&two, "/").await;
    own.subscribe(id, None).await;

    one.webhook(&participant_webhook("participant_joined", &stream, "ann", "PA_1"))
        .await
        .expect(StatusCode::OK);
    let joined = own.wait_for("participant_joined").await;
    assert_eq!(all.wait_for("participant_joined").await, joined);
    one.delete(&format!("/streams/{id}")).await.expect(StatusCode::OK);
    own.wait_for("stream_stopped").await;
    let ended = own.next().await;
    assert_eq!((&ended["type"], &ended["reason"]), (&json!("unsubscribed"), &json!("stream_stopped")));

    // Every cursor of history is valid over WebSocket, for the stream's id and its room name.
    let history = two.get(&format!("/events/{id}")).await.expect(StatusCode::OK).as_array().unwrap().clone();
    for (position, event) in history.iter().enumerate() {
        for name in [id, room] {
            own.subscribe(name, event["cursor"].as_str()).await;
            for expected in &history[position + 1..] {
                assert_eq!(own.next().await, *expected);
            }
            assert_eq!(own.next().await["type"], "unsubscribed");
        }
    }
    // A cursor of WebSocket is valid over SSE.
    let mut resumed = one.resume(&format!("/events?streamId={id}"), joined["cursor"].as_str().unwrap()).await;
    assert_eq!(resumed.message().await.unwrap().data.unwrap(), history[3]);
}

#[tokio::test]
async fn websocket_errors_are_reported_and_connection_stays_open() {
    let Pair(app, _other) = Pair::start().await;
    let stream = app.create(json!({})).await;
    let id = stream["id"].as_str().unwrap();
    let mut socket = Socket::open(&app, "/ws").await;
    for (message, code) in [
        (json!({"type": "subscribe", "streamId": "absent"}), "stream_not_found"),
        (json!({"type": "subscribe"}), "validation_failed"),
        (json!({"type": "unknown"}), "validation_failed"),
        (json!([]), "validation_failed"),
    ] {
        socket.send(message).await;
        let error = socket.next().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{error}");
        assert!(error["status"].is_u64() && error["detail"].is_string());
    }
    socket.subscribe(id, Some("garbage")).await;
    let reset = socket.next().await;
    assert_eq!(
        (&reset["type"], &reset["streamId"], &reset["snapshot"]["version"]),
        (&json!("reset"), &json!(id), &json!(2))
    );
    socket.send(json!({"type": "unsubscribe", "streamId": id})).await;
    assert_eq!(socket.wait_for("unsubscribed").await["reason"], "requested");
    app.patch(&format!("/streams/{id}"), json!({"metadata": {"a": 1}})).await.expect(StatusCode::OK);
    socket.send(json!({"type": "ping"})).await;
    assert_eq!(socket.next().await["type"], "pong", "no event after unsubscribe");
    app.get("/ws").await.expect_problem(400, "validation_failed");
}

#[tokio::test]
async fn websocket_close_codes_match_reason() {
    let Pair(one, two) = Pair::start().await;
    let mut large = Socket::open(&two, "/ws").await;
    large.0.send(Message::text("x".repeat(20_000))).await.unwrap();
    assert_eq!(u16::from(large.closed().await.code), 1009);
    let mut binary = Socket::open(&two, "/ws").await;
    binary.0.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(u16::from(binary.closed().await.code), 1003);

    let mut socket = Socket::open(&one, "/ws").await;
    socket.subscribe("*", None).await;
    one.stop().await;
    let frame = socket.closed().await;
    assert_eq!(u16::from(frame.code), 1012);
    assert!(serde_json::from_str::<Value>(&frame.reason).unwrap()["retry"].is_u64());
}
