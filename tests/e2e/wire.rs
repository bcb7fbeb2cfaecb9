//! Bytes as they are, through the shipped nginx: half-closed connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use crate::support::{
    app::{participant_event, sign_webhook},
    instance::Instance,
    nginx::Nginx,
    raw::{half_closed, post},
    servers::{shared_livekit, shared_redis},
    unique,
};

/// An instance behind nginx.
struct Front {
    _nginx: Nginx,
    base: String,
    _instance: Instance,
}

impl Front {
    async fn set() -> Self {
        let mut instance = Instance::new(shared_redis(), shared_livekit(), &unique("wire"));
        instance.start().await;
        let mut nginx = Nginx::prepare();
        nginx.start(std::slice::from_ref(&instance));
        Self { base: nginx.address().http, _nginx: nginx, _instance: instance }
    }

    /// What one half-closed connection with one request is answered.
    async fn answer(&self, request: &str) -> (u16, Value) {
        let answers = half_closed(&self.base, &[request.as_bytes()]).await;
        assert_eq!(answers.len(), 1, "{answers:?}");
        (answers[0].status, answers[0].json())
    }
}

#[tokio::test]
async fn half_closed_connection_to_nginx_is_answered() {
    let front = Front::set().await;
    let room = unique("room");
    let body = json!({"roomName": room}).to_string();
    let (status, stream) = front.answer(&post("/streams", "", &body)).await;
    assert_eq!((status, &stream["roomName"]), (201, &json!(room)));
    let event = participant_event("participant_joined", &stream, "ann", &unique("PA")).to_string();
    let signature = format!("authorization: {}\r\n", sign_webhook(&event));
    let (status, _) = front.answer(&post("/webhooks/livekit", &signature, &event)).await;
    assert_eq!(status, 200);
    let (status, found) =
        front.answer(&format!("GET /streams/{room} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    assert_eq!((status, &found["participants"][0]["identity"]), (200, &json!("ann")));
}
