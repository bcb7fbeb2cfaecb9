//! The SSE feeds and the history of events, across instances.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Pair;
use crate::support::{
    app::{TestApp, participant_webhook},
    sse::EventStream,
    within,
};

fn id_of(stream: &Value) -> &str {
    stream["id"].as_str().unwrap()
}

/// Reads messages until the feed ends.
async fn read_to_end(mut events: EventStream) -> Vec<Value> {
    let mut all = Vec::new();
    while let Some(message) = events.message().await {
        let data = message.data.unwrap();
        assert_eq!(
            (message.event.as_deref(), message.id.as_deref()),
            (data["type"].as_str(), data["cursor"].as_str())
        );
        all.push(data);
    }
    all
}

#[tokio::test]
async fn change_on_one_instance_is_delivered_on_feeds_of_another() {
    let Pair(one, two) = Pair::start().await;
    let mut all = two.follow("/events").await;
    let first = all.block().await.unwrap();
    assert!(first.retry.is_some() && first.id.is_some(), "the first block has an id: {first:?}");
    for (name, value) in
        [("content-type", "text/event-stream"), ("cache-control", "no-cache"), ("x-accel-buffering", "no")]
    {
        assert_eq!(all.headers[name], value);
    }
    let stream = one.create(json!({"metadata": {"a": []}})).await;
    let created = all.wait_for("stream_created").await;
    assert_eq!(
        (&created["streamId"], &created["seq"], &created["data"]["stream"]["version"]),
        (&stream["id"], &json!(1), &json!(1))
    );
    assert!(created["data"]["stream"].get("participants").is_none());
    assert_eq!(created["data"]["stream"]["metadata"], json!({"a": []}));
    let mut own = two.follow(&format!("/events?streamId={}", id_of(&stream))).await;
    let mut states = two.follow(&format!("/sse/{}/updates", id_of(&stream))).await;
    let first = states.wait_until("the present state", |_| true).await;
    assert_eq!((&first["status"], &first["participants"]), (&json!("active"), &json!([])));

    one.webhook(&participant_webhook("participant_joined", &stream, "ann", "PA_1"))
        .await
        .expect(StatusCode::OK);
    let joined = own.wait_for("participant_joined").await;
    assert_eq!(
        (&joined["data"]["participant"]["identity"], &joined["data"]["stream"]["participantCount"]),
        (&json!("ann"), &json!(1))
    );
    assert_eq!(all.wait_for("participant_joined").await, joined);
    let state = states.wait_until("ann", |state| state["participantCount"] == 1).await;
    assert_eq!(state["participants"][0]["state"], "active");

    one.delete(&format!("/streams/{}", id_of(&stream))).await.expect(StatusCode::OK);
    let left = own.wait_for("participant_left").await;
    assert_eq!(left["data"]["participant"]["state"], "disconnected");
    let stopped = own.wait_for("stream_stopped").await;
    assert_eq!((&stopped["data"]["reason"], own.message().await), (&json!("requested"), None));
    let last = states.wait_until("the last state", |state| state["status"] == "stopped").await;
    assert_eq!((&last["participantCount"], states.message().await), (&json!(0), None));

    let cursor = stopped["cursor"].as_str().unwrap();
    let again = two.resume(&format!("/events?streamId={}", id_of(&stream)), cursor).await;
    assert_eq!(again.status, StatusCode::NO_CONTENT);
    let again = two.resume(&format!("/sse/{}/updates", id_of(&stream)), cursor).await;
    assert_eq!(again.status, StatusCode::NO_CONTENT);
}

/// Sends raw bytes and reads until the response contains `until`.
async fn send_raw(app: &TestApp, request: &str, until: &str) -> (TcpStream, String) {
    let mut connection = TcpStream::connect(app.base.trim_start_matches("http://")).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let text = read_until(&mut connection, until).await;
    (connection, text)
}

async fn read_until(connection: &mut TcpStream, until: &str) -> String {
    let mut text = String::new();
    while !text.contains(until) {
        let mut buffer = [0; 4096];
        let bytes = within("an answer", connection.read(&mut buffer)).await.unwrap();
        assert!(bytes > 0, "the connection ended after {text}");
        text.push_str(std::str::from_utf8(&buffer[..bytes]).unwrap());
    }
    text
}

#[tokio::test]
async fn feed_is_chunked_for_http_1_1_only() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    let path = format!("/events?streamId={}", id_of(&stream));
    // Bytes after the request have no effect on the feed.
    let new = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\nGET / HTTP/1.1\r\n");
    let (mut new, new_head) = send_raw(&two, &new, "\nid: ").await;
    let (mut old, old_head) = send_raw(&two, &format!("GET {path} HTTP/1.0\r\n\r\n"), "\nid: ").await;
    assert!(new_head.to_lowercase().contains("transfer-encoding: chunked\r\n"), "{new_head}");
    assert!(!old_head.to_lowercase().contains("transfer-encoding"), "{old_head}");
    one.delete(&format!("/streams/{}", id_of(&stream))).await.expect(StatusCode::OK);
    let new = read_until(&mut new, "\r\n0\r\n\r\n").await;
    let mut all = String::new();
    within("the end", old.read_to_string(&mut all)).await.unwrap();
    let event = new.split("\r\n").find(|chunk| chunk.contains("event: stream_stopped")).unwrap();
    assert!(new.contains(&format!("\r\n{:x}\r\n{event}\r\n", event.len())), "{new}");
    assert!(all.contains(event) && !all.contains('\r'), "{all}");
}

#[tokio::test]
async fn feed_resumes_from_every_cursor_on_any_instance() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    for n in 0..4 {
        let event = participant_webhook("participant_joined", &stream, &format!("p{n}"), &format!("PA_{n}"));
        one.webhook(&event).await.expect(StatusCode::OK);
    }
    one.delete(&format!("/streams/{}", id_of(&stream))).await.expect(StatusCode::OK);
    let path = format!("/events/{}", id_of(&stream));
    let history = two.get(&path).await.expect(StatusCode::OK).as_array().unwrap().clone();
    assert_eq!(history.len(), 2 + 4 + 1 + 4 + 1);
    assert!(history.iter().enumerate().all(|(n, event)| event["seq"] == n as u64 + 1));
    for (position, event) in history.iter().enumerate() {
        let cursor = event["cursor"].as_str().unwrap();
        let expected = &history[position + 1..];
        let follow = format!("/events?streamId={}", id_of(&stream));
        if expected.is_empty() {
            assert_eq!(one.resume(&follow, cursor).await.status, StatusCode::NO_CONTENT);
        } else {
            assert_eq!(read_to_end(one.resume(&follow, cursor).await).await, expected);
            let by_query = two.follow(&format!("{follow}&lastEventId={cursor}")).await;
            assert_eq!(read_to_end(by_query).await, expected);
        }
        let page = one.get(&format!("{path}?after={cursor}&limit=3")).await.expect(StatusCode::OK);
        assert_eq!(page.as_array().unwrap()[..], expected[..expected.len().min(3)]);
    }
    let newest = read_to_end(one.follow(&format!("/events?streamId={}&limit=2", id_of(&stream))).await).await;
    assert_eq!(newest, history[history.len() - 2..]);
}

#[tokio::test]
async fn feed_with_unknown_cursor_starts_with_reset() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({"metadata": {"k": 1}})).await;
    let id = id_of(&stream);
    for cursor in ["garbage", "1-1", "99999999999999-0"] {
        for path in [format!("/events?streamId={id}"), format!("/sse/{id}/updates"), "/events".to_owned()] {
            let mut events = two.resume(&path, cursor).await;
            let message = events.message().await.unwrap();
            assert_eq!(message.event.as_deref(), Some("reset"), "{cursor} on {path}");
            let data = message.data.unwrap();
            assert_eq!(data["cursor"].as_str(), message.id.as_deref());
            let state = if path == "/events" { &data["snapshot"][0] } else { &data["snapshot"] };
            assert_eq!((&state["metadata"]["k"], &state["version"]), (&json!(1), &json!(2)));
            assert!(data["reason"].as_str().unwrap().starts_with("cursor_"));
        }
        one.get(&format!("/events/{id}?after={cursor}")).await.expect_problem(400, "invalid_cursor");
    }
}

#[tokio::test]
async fn last_event_id_that_is_not_ascii_returns_reset() {
    let Pair(one, _two) = Pair::start().await;
    one.create(json!({})).await;
    let mut events = one.resume("/events", "\u{e9}").await;
    assert_eq!(events.message().await.unwrap().event.as_deref(), Some("reset"));
}

#[tokio::test]
async fn subscriber_count_drops_after_client_disconnects() {
    let Pair(one, _two) = Pair::start().await;
    let clients = [one.follow("/events").await, one.follow("/events").await];
    let subscribers = async || {
        let text = one.get("/metrics").await.text;
        let line = text
            .lines()
            .find(|line| line.starts_with("lso_subscribers{transport=\"sse\"}"))
            .map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u32>().ok())
    };
    assert_eq!(subscribers().await, Some(2));
    drop(clients);
    crate::support::eventually("no subscribers", || async { (subscribers().await == Some(0)).then_some(()) })
        .await;
}

#[tokio::test]
async fn many_sse_clients_receive_the_same_events() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    let path = format!("/events?streamId={}", id_of(&stream));
    let mut clients = Vec::new();
    for n in 0..40 {
        clients.push(if n % 2 == 0 { &one } else { &two }.follow(&path).await);
    }
    for n in 0..50 {
        two.patch(&format!("/streams/{}", id_of(&stream)), json!({"metadata": {"n": n}}))
            .await
            .expect(StatusCode::OK);
    }
    one.delete(&format!("/streams/{}", id_of(&stream))).await.expect(StatusCode::OK);
    let history = one.get(&format!("/events/{}", id_of(&stream))).await.expect(StatusCode::OK);
    let expected = &history.as_array().unwrap()[2..];
    assert_eq!(expected.len(), 52);
    for client in clients {
        assert_eq!(read_to_end(client).await, expected);
    }
}

#[tokio::test]
async fn feed_ended_by_shutdown_resumes_on_another_instance() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    let mut events = one.follow("/events").await;
    let from = events.block().await.unwrap().id.unwrap();
    one.stop().await;
    let mut last = None;
    while let Some(block) = events.block().await {
        last = block.comment;
    }
    assert_eq!(last.as_deref(), Some("shutting_down"));
    two.delete(&format!("/streams/{}", id_of(&stream))).await.expect(StatusCode::OK);
    let mut resumed = two.resume("/events", &from).await;
    let kinds = [resumed.wait_for("stream_updated").await, resumed.wait_for("stream_stopped").await];
    assert!(kinds.iter().all(|event| event["streamId"] == stream["id"]));
}
