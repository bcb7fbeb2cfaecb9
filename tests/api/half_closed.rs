//! Half-closed connections: the client sends a request and FIN, then waits for the response.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpStream};

use super::Pair;
use crate::support::{
    app::{TestApp, participant_webhook, sign_webhook},
    eventually,
    raw_http::{connect, post, send_and_half_close, send_half_closed},
    unique, within,
};

/// Sends one request on a half-closed connection; returns the status and body of the response.
async fn request_half_closed(app: &TestApp, request: &str) -> (u16, Value) {
    let answers = send_half_closed(&app.base, &[request.as_bytes()]).await;
    assert_eq!(answers.len(), 1, "{answers:?}");
    (answers[0].status, answers[0].json())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

async fn exists(app: &TestApp, room: &str) -> bool {
    app.get(&format!("/streams/{room}")).await.status == 200
}

#[tokio::test]
async fn get_on_half_closed_connection_is_answered() {
    let Pair(app, _other) = Pair::start().await;
    let stream = app.create(json!({})).await;
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    let (status, found) = request_half_closed(&app, &get(&path)).await;
    assert_eq!((status, &found["id"]), (200, &stream["id"]));
}

#[tokio::test]
async fn post_on_half_closed_connection_is_executed_and_answered() {
    let Pair(app, _other) = Pair::start().await;
    let room = unique("room");
    let body = json!({"roomName": room}).to_string();
    let (status, created) = request_half_closed(&app, &post("/streams", "", &body)).await;
    assert_eq!((status, &created["roomName"]), (201, &json!(room)));
    assert!(exists(&app, &room).await);
    let join = post(&format!("/streams/{room}/join"), "", r#"{"identity": "ann"}"#);
    let (status, joined) = request_half_closed(&app, &join).await;
    assert_eq!((status, joined["token"].is_string()), (200, true));
}

#[tokio::test]
async fn idempotent_post_on_half_closed_connection_is_answered_and_replayed() {
    let Pair(app, other) = Pair::start().await;
    let key = format!("idempotency-key: {}\r\n", unique("key"));
    let request = post("/streams", &key, &json!({"roomName": unique("room")}).to_string());
    let (status, created) = request_half_closed(&app, &request).await;
    assert_eq!(status, 201);
    let replayed = send_half_closed(&other.base, &[request.as_bytes()]).await;
    assert_eq!((replayed[0].status, &replayed[0].json()["id"]), (201, &created["id"]));
    assert_eq!(replayed[0].header("idempotency-replayed").as_deref(), Some("true"));
}

#[tokio::test]
async fn webhook_on_half_closed_connection_is_recorded_and_answered() {
    let Pair(app, _other) = Pair::start().await;
    let stream = app.create(json!({})).await;
    for (path, identity) in [("/webhooks/livekit", "ann"), ("/webhook", "bob")] {
        let event = participant_webhook("participant_joined", &stream, identity, &unique("PA")).to_string();
        let signature = format!("authorization: {}\r\n", sign_webhook(&event));
        let (status, _) = request_half_closed(&app, &post(path, &signature, &event)).await;
        assert_eq!(status, 200, "{path}");
        let participants = format!("/streams/{}/participants", stream["id"].as_str().unwrap());
        let listed = app.get(&participants).await.text;
        assert!(listed.contains(&format!("\"identity\":\"{identity}\"")), "{listed}");
    }
}

/// The handler waits for Redis before it reads the body, so the body and FIN arrive before the read.
#[tokio::test]
async fn large_body_in_parts_before_half_close_is_read_completely() {
    let limited = |arguments: &mut livestream_orchestrator::settings::Arguments| {
        arguments.admission.rate_limit_write = Some("10000/m".to_owned());
    };
    let Pair(app, _other) = Pair::with(limited).await;
    for length in [40_000, 100_000, 200_000, 250_000] {
        let room = unique("room");
        let body = json!({"roomName": room, "ignored": "x".repeat(length)}).to_string();
        let plain = post("/streams", "", &body);
        let chunks: String = body
            .as_bytes()
            .chunks(9_000)
            .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap()))
            .collect();
        let chunked = format!(
            "POST /streams HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        );
        for (request, status) in [(plain, 201), (chunked, 200)] {
            let parts: Vec<_> = request.as_bytes().chunks(35_000).collect();
            let answers = send_half_closed(&app.base, &parts).await;
            assert_eq!((answers[0].status, answers.len()), (status, 1), "{length}: {answers:?}");
        }
    }
}

#[tokio::test]
async fn pipelined_requests_before_half_close_are_all_answered() {
    const ROUNDS: usize = 30;
    let Pair(app, _other) = Pair::start().await;
    let rooms: Vec<_> = (0..ROUNDS).map(|_| unique("room")).collect();
    let round = |room: &String| {
        let body = json!({"roomName": room, "ignored": "x".repeat(2_000)}).to_string();
        get("/health/live") + &post("/streams", "", &body)
    };
    let requests: Vec<_> = rooms.iter().map(round).collect();
    let parts: Vec<_> = requests.iter().map(String::as_bytes).collect();
    let answers = send_half_closed(&app.base, &parts).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 201].repeat(ROUNDS));
}

#[tokio::test]
async fn incomplete_body_before_half_close_is_refused_and_not_executed() {
    let Pair(app, _other) = Pair::start().await;
    let room = unique("room");
    // The JSON is complete, but shorter than the declared length.
    let request = post("/streams", "", &(json!({"roomName": room}).to_string() + "    "));
    let cut = &request.as_bytes()[..request.len() - 1];
    let answers = send_half_closed(&app.base, &[cut]).await;
    assert_eq!(answers.len(), 1);
    answers[0].expect_problem(400, "malformed_body");
    assert_eq!(answers[0].json()["detail"], "the body ended early");
    assert!(!exists(&app, &room).await);
}

/// An SSE feed on a half-closed connection.
struct Feed {
    connection: TcpStream,
    received: String,
}

impl Feed {
    async fn open(app: &TestApp, path: &str, version: &str) -> Self {
        let mut connection = connect(&app.base).await;
        let request = format!("GET {path} HTTP/{version}\r\nhost: localhost\r\n\r\n");
        send_and_half_close(&mut connection, &[request.as_bytes()]).await;
        let mut feed = Self { connection, received: String::new() };
        feed.read_until("retry: ").await;
        assert!(feed.received.starts_with(&format!("HTTP/{version} 200 OK")), "{}", feed.received);
        feed
    }

    async fn read_until(&mut self, text: &str) {
        while !self.received.contains(text) {
            let mut buffer = [0; 4096];
            let read = within(text, self.connection.read(&mut buffer)).await.unwrap();
            assert_ne!(read, 0, "the feed ended before {text:?}: {}", self.received);
            self.received.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    }

    async fn read_to_end(mut self) -> String {
        let read = self.connection.read_to_string(&mut self.received);
        within("the end of the feed", read).await.unwrap();
        self.received
    }
}

#[tokio::test]
async fn feed_on_half_closed_connection_is_served_until_complete() {
    let Pair(app, other) = Pair::start().await;
    for version in ["1.1", "1.0"] {
        let stream = app.create(json!({})).await;
        let id = stream["id"].as_str().unwrap();
        let mut events = Feed::open(&app, &format!("/events?streamId={id}"), version).await;
        let mut states = Feed::open(&app, &format!("/sse/{id}/updates"), version).await;
        states.read_until("\"status\":\"active\"").await;
        other.patch(&format!("/streams/{id}"), json!({"metadata": {"for": "both"}})).await;
        events.read_until("event: stream_updated").await;
        states.read_until("\"for\":\"both\"").await;
        other.send(Method::DELETE, &format!("/streams/{id}"), None).await;
        assert!(events.read_to_end().await.contains("event: stream_stopped"), "HTTP/{version}");
        assert!(states.read_to_end().await.contains("\"status\":\"stopped\""), "HTTP/{version}");
    }
}

async fn subscriber_count(app: &TestApp) -> String {
    let metrics = app.get("/metrics").await.text;
    let line = metrics.lines().find_map(|line| line.strip_prefix("lso_subscribers{transport=\"sse\"} "));
    line.unwrap_or("0").to_owned()
}

/// One client closes its socket directly, the other has sent FIN before.
#[tokio::test]
async fn feed_ends_after_client_closes_socket() {
    let Pair(app, _other) = Pair::start().await;
    let stream = app.create(json!({})).await;
    let id = stream["id"].as_str().unwrap();
    let half_closed = Feed::open(&app, "/events", "1.1").await;
    let closed = app.follow(&format!("/events?streamId={id}")).await;
    assert_eq!(subscriber_count(&app).await, "2");
    drop(closed);
    eventually("the end of the closed feed", || async {
        (subscriber_count(&app).await == "1").then_some(())
    })
    .await;
    drop(half_closed);
    eventually("the end of the half-closed feed", || async {
        (subscriber_count(&app).await == "0").then_some(())
    })
    .await;
}
