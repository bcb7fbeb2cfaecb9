//! A feed that continues from a state: no change in between is lost or delivered twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Pair;
use crate::support::{
    app::TestApp,
    feed_client::{FeedConnection, Received, Transport},
    grpc::Client,
    within,
};

const ROUNDS: usize = 25;

/// Runs `read` while two writers change the stream continuously.
async fn while_writing(app: &Arc<TestApp>, path: &str, read: impl Future<Output = ()>) {
    let stopped = Arc::<AtomicBool>::default();
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let (app, path, stopped) = (app.clone(), path.to_owned(), stopped.clone());
            tokio::spawn(async move {
                let mut number = 0;
                while !stopped.load(Ordering::Relaxed) {
                    let patch = json!({"metadata": {format!("writer{writer}"): number}});
                    app.patch(&path, patch).await.expect(StatusCode::OK);
                    number += 1;
                }
            })
        })
        .collect();
    read.await;
    stopped.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Checks that the next events have the versions after `version`.
async fn assert_continues_after(feed: &mut FeedConnection, version: u64) {
    for expected in version + 1..version + 6 {
        let Received::Event(event) = within("an event", feed.next()).await else { panic!("no event") };
        assert_eq!(event.seq, expected, "versions after the state, without a gap");
    }
}

#[tokio::test]
async fn feed_after_read_state_continues_without_gap() {
    let Pair(one, two) = Pair::start().await;
    let one = Arc::new(one);
    let stream = one.create(json!({})).await;
    let id = stream["id"].as_str().unwrap();
    let path = format!("/streams/{id}");
    while_writing(&one, &path, async {
        for round in 0..ROUNDS {
            let path = if round.is_multiple_of(2) { path.clone() } else { format!("{path}/state") };
            let state = two.get(&path).await;
            let cursor = state.header("last-event-id").expect("a cursor to resume from").to_owned();
            let version = state.expect(StatusCode::OK)["version"].as_u64().unwrap();
            let transport = Transport::ALL[round % 3];
            let mut feed =
                FeedConnection::open(&(&two).into(), transport, Some(id), Some(&cursor)).await.unwrap();
            assert_continues_after(&mut feed, version).await;
        }
    })
    .await;
}

#[tokio::test]
async fn stream_updates_after_initial_state_have_no_gap() {
    let Pair(one, two) = Pair::start().await;
    let one = Arc::new(one);
    let stream = one.create(json!({})).await;
    let id = stream["id"].as_str().unwrap();
    while_writing(&one, &format!("/streams/{id}"), async {
        for topic in [id, ""].repeat(ROUNDS) {
            let mut updates = Client::of(&two).await.updates(topic).await.unwrap();
            let mut version = 0;
            for n in 0..6 {
                let update = within("an update", updates.message()).await.unwrap().unwrap();
                assert_eq!(update.update_type, if n == 0 { 1 } else { 2 });
                assert!(n == 0 || update.seq == version + 1, "{} after {version}", update.seq);
                version = update.seq;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn feed_after_reset_continues_from_snapshot() {
    let Pair(one, two) = Pair::start().await;
    let one = Arc::new(one);
    let stream = one.create(json!({})).await;
    let id = stream["id"].as_str().unwrap();
    while_writing(&one, &format!("/streams/{id}"), async {
        for round in 0..2 * ROUNDS {
            let query = if round.is_multiple_of(2) { format!("?streamId={id}") } else { String::new() };
            let mut events = two.resume(&format!("/events{query}"), "garbage").await;
            let reset = events.wait_for("reset").await;
            let state = if query.is_empty() { &reset["snapshot"][0] } else { &reset["snapshot"] };
            let mut version = state["version"].as_u64().unwrap();
            let metadata_of = |state: &Value| state["metadata"].clone();
            let mut metadata = metadata_of(state);
            for _ in 0..5 {
                let event = events.wait_for("stream_updated").await;
                assert_eq!(event["seq"], version + 1, "versions after the snapshot, without a gap");
                assert_ne!(
                    metadata_of(&event["data"]["stream"]),
                    metadata,
                    "the event is not in the snapshot"
                );
                (version, metadata) = (version + 1, metadata_of(&event["data"]["stream"]));
            }
        }
    })
    .await;
}

/// Versions of states increase, and the newest state always arrives.
#[tokio::test]
async fn state_feed_ends_with_newest_state() {
    let Pair(one, two) = Pair::start().await;
    let one = Arc::new(one);
    let stream = one.create(json!({})).await;
    let id = stream["id"].as_str().unwrap();
    let path = format!("/streams/{id}");
    for _ in 0..ROUNDS {
        let mut states = two.follow(&format!("/sse/{id}/updates")).await;
        let (mut version, mut seen) = (0, 0);
        while_writing(&one, &path, async {
            while seen < 3 {
                let state = states.wait_until("a state", |_| true).await;
                assert!(state["version"].as_u64().unwrap() > version, "versions increase");
                (version, seen) = (state["version"].as_u64().unwrap(), seen + 1);
            }
        })
        .await;
        let newest = one.get(&path).await.expect(StatusCode::OK)["version"].clone();
        if newest.as_u64() > Some(version) {
            states.wait_until("the newest state", |state| state["version"] == newest).await;
        }
    }
}
