//! Resets of one stream whose participants are larger than a message.

use std::collections::HashSet;

use futures_util::{SinkExt, StreamExt};
use prost::Message as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use super::{MAX_MESSAGE_BYTES, UNKNOWN};
use crate::support::{
    app::TestApp,
    feed_client::Address,
    grpc::{Client, subscribe_request},
    sse::EventStream,
    within,
};

use crate::Pair;

const PARTICIPANTS: usize = 40;
const METADATA_BYTES: usize = 50_000;

/// Creates a stream; returns its id and its state with all participants, which are read in pages.
async fn create(app: &TestApp) -> (String, Value) {
    let id = app.create(json!({})).await["id"].as_str().unwrap().to_owned();
    let filling = "x".repeat(METADATA_BYTES);
    for n in 0..PARTICIPANTS {
        let body = json!({"identity": format!("p-{n:02}"), "metadata": {"filling": filling}});
        app.post(&format!("/streams/{id}/join"), body).await.expect(StatusCode::OK);
    }
    let mut state = app.get(&format!("/streams/{id}/state")).await.expect(StatusCode::OK);
    assert_eq!(state["participantsTruncated"], true);
    let mut participants = Vec::new();
    let mut next = Some(format!("/streams/{id}/participants?limit=1000"));
    while let Some(path) = next {
        let page = app.get(&path).await;
        let link = page.header("link").map(str::to_owned);
        next = link.map(|link| link.split_once('>').unwrap().0.trim_start_matches('<').to_owned());
        participants.extend(page.expect(StatusCode::OK).as_array().unwrap().clone());
    }
    let fields = state.as_object_mut().unwrap();
    fields.remove("participantsTruncated");
    fields.insert("participants".to_owned(), participants.into());
    (id, state)
}

/// Joins the parts of a reset in JSON.
fn join_parts(parts: &[Value]) -> Value {
    assert!(parts.len() > 2, "several parts");
    let mut state = parts[0]["snapshot"].clone();
    for (index, part) in parts.iter().enumerate() {
        assert!(part.to_string().len() <= MAX_MESSAGE_BYTES);
        assert_eq!((&part["part"], &part["parts"]), (&json!(index + 1), &json!(parts.len())));
        assert_eq!(part.get("cursor").is_some(), index + 1 == parts.len());
        if index > 0 {
            let further = part["snapshot"].as_array().unwrap().iter().cloned();
            state["participants"].as_array_mut().unwrap().extend(further);
        }
    }
    state
}

/// Reads the parts of a reset over SSE, at most `limit`.
async fn read_sse(events: &mut EventStream, limit: usize) -> Vec<Value> {
    let mut parts = Vec::new();
    while parts.len() < limit {
        let block = events.message().await.unwrap();
        assert_eq!(block.event.as_deref(), Some("reset"));
        let is_last = block.id.is_some();
        parts.push(block.data.unwrap());
        if is_last {
            break;
        }
    }
    parts
}

async fn read_websocket(app: &TestApp, id: &str) -> Vec<Value> {
    let (mut socket, _) = connect_async(format!("{}/ws", app.base).replacen("http", "ws", 1)).await.unwrap();
    let subscribe = json!({"type": "subscribe", "streamId": id, "after": UNKNOWN});
    socket.send(Message::text(subscribe.to_string())).await.unwrap();
    let mut parts = Vec::new();
    loop {
        let message = within("a message", socket.next()).await.unwrap().unwrap();
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        if message["type"] == "reset" {
            let is_last = message.get("cursor").is_some();
            parts.push(message);
            if is_last {
                return parts;
            }
        }
    }
}

/// Returns the identities of the participants, and the sizes of their metadata.
async fn read_grpc(app: &TestApp, id: &str) -> Vec<(String, usize)> {
    let mut client = Client::connect(&Address::from(app).grpc).await.unwrap();
    let mut messages = client.call(subscribe_request(id, UNKNOWN)).await.unwrap().into_inner();
    let mut participants = Vec::new();
    loop {
        let event = within("a message", messages.message()).await.unwrap().unwrap();
        assert!(event.encoded_len() <= MAX_MESSAGE_BYTES);
        let reset = event.reset.unwrap();
        let state = &reset.snapshot[0];
        assert!(reset.parts > 2 && state.stream_id == id && !state.participants_truncated);
        let entries = state.participants.iter();
        participants.extend(entries.map(|entry| (entry.identity.clone(), entry.metadata["filling"].len())));
        if reset.part == reset.parts {
            return participants;
        }
    }
}

#[tokio::test]
async fn large_reset_of_one_stream_has_all_participants_on_every_transport() {
    let Pair(app, other) = Pair::start().await;
    let (id, state) = create(&app).await;
    let mut events = EventStream::open(&other.base, &format!("/events?streamId={id}"), Some(UNKNOWN)).await;
    assert!(join_parts(&read_sse(&mut events, usize::MAX).await) == state, "the parts over SSE");
    let mut updates = EventStream::open(&other.base, &format!("/sse/{id}/updates"), Some(UNKNOWN)).await;
    assert!(join_parts(&read_sse(&mut updates, usize::MAX).await) == state, "the parts of the state feed");
    assert!(join_parts(&read_websocket(&other, &id).await) == state, "the parts over WebSocket");
    let expected = state["participants"].as_array().unwrap().iter();
    let expected = expected.map(|entry| (entry["identity"].as_str().unwrap().to_owned(), METADATA_BYTES));
    assert!(expected.eq(read_grpc(&other, &id).await), "the parts over gRPC");
}

#[tokio::test]
async fn client_cut_off_between_parts_of_one_stream_gets_the_reset_again_and_then_every_event() {
    let Pair(app, other) = Pair::start().await;
    let (id, _) = create(&app).await;
    let path = format!("/events?streamId={id}");
    let mut cut = EventStream::open(&app.base, &path, Some(UNKNOWN)).await;
    let first = cut.block().await.unwrap().id.unwrap();
    assert_eq!(first, UNKNOWN, "the client keeps its cursor");
    assert!(read_sse(&mut cut, 2).await.iter().all(|part| part.get("cursor").is_none()));
    drop(cut);
    app.post(&format!("/streams/{id}/join"), json!({"identity": "later"})).await.expect(StatusCode::OK);
    let mut events = EventStream::open(&other.base, &path, Some(&first)).await;
    let parts = read_sse(&mut events, usize::MAX).await;
    let state = join_parts(&parts);
    let known: HashSet<_> =
        state["participants"].as_array().unwrap().iter().map(|one| &one["identity"]).collect();
    assert!(known.contains(&json!("later")) && known.len() == PARTICIPANTS + 1);
    let cursor = parts.last().unwrap()["cursor"].as_str().unwrap().to_owned();
    drop(events);
    let mut resumed = EventStream::open(&app.base, &path, Some(&cursor)).await;
    for n in 0..3 {
        let body = json!({"identity": format!("newest-{n}")});
        other.post(&format!("/streams/{id}/join"), body).await.expect(StatusCode::OK);
        let next = resumed.message().await.unwrap();
        let data = next.data.unwrap();
        assert_eq!(data["data"]["participant"]["identity"], format!("newest-{n}"));
        assert_eq!(data["seq"], state["version"].as_u64().unwrap() + n + 1);
    }
}
