//! Raw connections to the shipped nginx: half-closed connections, large webhooks, and requests that nginx refuses
//! itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use crate::support::{
    app::{participant_webhook, sign_webhook},
    eventually,
    instance::Instance,
    nginx::Nginx,
    raw_http::{post, send_half_closed, send_raw},
    servers::{shared_livekit, shared_redis},
    unique,
};

/// An instance behind nginx.
struct NginxFixture {
    nginx: Nginx,
    base: String,
    _instance: Instance,
}

impl NginxFixture {
    async fn start() -> Self {
        let mut instance = Instance::new(shared_redis(), shared_livekit(), &unique("raw"));
        instance.start().await;
        let mut nginx = Nginx::prepare();
        nginx.start(std::slice::from_ref(&instance));
        Self { base: nginx.address().http, nginx, _instance: instance }
    }

    /// Sends one request on a half-closed connection; returns the status and body of the response.
    async fn request(&self, request: &str) -> (u16, Value) {
        let answers = send_half_closed(&self.base, &[request.as_bytes()]).await;
        assert_eq!(answers.len(), 1, "{answers:?}");
        (answers[0].status, answers[0].json())
    }
}

#[tokio::test]
async fn half_closed_connection_to_nginx_is_answered() {
    let fixture = NginxFixture::start().await;
    let room = unique("room");
    let body = json!({"roomName": room}).to_string();
    let (status, stream) = fixture.request(&post("/streams", "", &body)).await;
    assert_eq!((status, &stream["roomName"]), (201, &json!(room)));
    let event = participant_webhook("participant_joined", &stream, "ann", &unique("PA")).to_string();
    let signature = format!("authorization: {}\r\n", sign_webhook(&event));
    let (status, _) = fixture.request(&post("/webhooks/livekit", &signature, &event)).await;
    assert_eq!(status, 200);
    let (status, found) =
        fixture.request(&format!("GET /streams/{room} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    assert_eq!((status, &found["participants"][0]["identity"]), (200, &json!("ann")));
}

#[tokio::test]
async fn largest_webhook_of_livekit_passes_nginx() {
    let fixture = NginxFixture::start().await;
    let (_, stream) = fixture.request(&post("/streams", "", "{}")).await;
    let mut event = participant_webhook("participant_joined", &stream, "ann", &unique("PA"));
    for field in ["metadata", "name"] {
        event["participant"][field] = json!("\u{1}".repeat(64_000));
    }
    event["room"]["metadata"] = json!("\u{1}".repeat(64_000));
    let event = event.to_string();
    assert!(event.len() > 1_000_000);
    let signature = format!("authorization: {}\r\n", sign_webhook(&event));
    assert_eq!(fixture.request(&post("/webhooks/livekit", &signature, &event)).await.0, 200);
    let (status, problem) = fixture.request(&post("/webhooks/livekit", "", &event)).await;
    assert_eq!((status, &problem["code"]), (401, &json!("invalid_signature")));
}

#[tokio::test]
async fn malformed_request_to_nginx_returns_problem_document() {
    let fixture = NginxFixture::start().await;
    let long = "a".repeat(200_000);
    for (request, status, code) in [
        ("NONSENSE\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "bad_request"),
        (post("/streams", "content-length: 1\r\n", "{}"), 400, "bad_request"),
        ("GET / HTTP/9.9\r\nhost: localhost\r\n\r\n".to_owned(), 505, "http_version_not_supported"),
        (
            "POST /streams HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip\r\n\r\n".to_owned(),
            501,
            "not_implemented",
        ),
        (format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-large: {long}\r\n\r\n"), 431, "headers_too_large"),
        (format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"), 414, "uri_too_long"),
        (post("/streams", "", &"x".repeat(3_000_000)), 413, "payload_too_large"),
        ("TRACE / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), 405, "method_not_allowed"),
    ] {
        let answers = send_raw(&fixture.base, request.as_bytes()).await;
        assert_eq!(answers.len(), 1, "{request:.60}: {answers:?}");
        answers[0].expect_problem(status, code);
        let id = answers[0].header("x-request-id").unwrap();
        eventually("the log", || async { fixture.nginx.access_log().contains(&id).then_some(()) }).await;
    }
}
