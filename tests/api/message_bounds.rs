//! No document and no page is above 1 MiB: documents say that they are truncated, and pages name the next one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use prost::Message;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Pair;
use crate::support::{app::TestApp, grpc::Client};

const MAX_BYTES: usize = 1024 * 1024;
/// Number of large things in each test, which are larger than a message together.
const COUNT: usize = 30;

/// Metadata of nearly the largest size, with many members, which are larger in gRPC than in JSON.
fn large_metadata() -> Value {
    (0..5_000).map(|n| (format!("k{n:04}"), Value::from(n % 10))).collect()
}

/// Reads all pages from `path` on by their `Link` headers.
async fn pages(app: &TestApp, path: &str) -> Vec<Vec<Value>> {
    let (mut pages, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let page = app.get(&path).await;
        assert!(page.text.len() <= MAX_BYTES, "{path} has {} bytes", page.text.len());
        let link = page.header("link").map(str::to_owned);
        next = link.map(|link| link.split_once('>').unwrap().0.trim_start_matches('<').to_owned());
        pages.push(page.expect(StatusCode::OK).as_array().unwrap().clone());
    }
    assert!(pages.iter().all(|page| !page.is_empty()));
    pages
}

/// Creates a stream with `count` large participants; returns its id.
async fn create_with_participants(app: &TestApp, count: usize) -> String {
    let id = app.create(json!({})).await["id"].as_str().unwrap().to_owned();
    for n in 0..count {
        let body = json!({"identity": format!("p-{n:02}"), "role": "viewer", "metadata": large_metadata()});
        app.post(&format!("/streams/{id}/join"), body).await.expect(StatusCode::OK);
    }
    id
}

#[tokio::test]
async fn documents_of_large_participants_are_truncated_at_1_mib() {
    let Pair(app, other) = Pair::start().await;
    let id = create_with_participants(&app, COUNT).await;
    for path in [format!("/streams/{id}"), format!("/streams/{id}/state")] {
        let document = other.get(&path).await;
        assert!(document.text.len() <= MAX_BYTES && document.text.len() > MAX_BYTES * 3 / 4);
        let document = document.expect(StatusCode::OK);
        assert_eq!(document["participantsTruncated"], true);
        assert!(document["participants"].as_array().unwrap().len() < COUNT);
    }
    let mut updates = app.follow(&format!("/sse/{id}/updates")).await;
    let state = updates.message().await.unwrap().data.unwrap();
    assert_eq!(state["participantsTruncated"], true);
    assert!(state.to_string().len() <= MAX_BYTES);

    let mut grpc = Client::of(&app).await;
    let state = grpc.state(&id).await.unwrap();
    assert!(state.participants_truncated && state.participants.len() < COUNT);
    assert!(state.encoded_len() <= MAX_BYTES && state.encoded_len() > MAX_BYTES * 3 / 4);
    let update = grpc.updates(&id).await.unwrap().message().await.unwrap().unwrap();
    assert!(update.participants_truncated && update.encoded_len() <= MAX_BYTES);
    assert_eq!(update.participants.len(), state.participants.len());
}

#[tokio::test]
async fn document_with_all_participants_has_no_truncation_field() {
    let Pair(app, _other) = Pair::start().await;
    let id = create_with_participants(&app, 2).await;
    for path in [format!("/streams/{id}"), format!("/streams/{id}/state")] {
        let document = app.get(&path).await.expect(StatusCode::OK);
        assert_eq!(document["participants"].as_array().unwrap().len(), 2);
        assert!(document.get("participantsTruncated").is_none());
    }
    assert!(!Client::of(&app).await.state(&id).await.unwrap().participants_truncated);
}

#[tokio::test]
async fn pages_of_large_participants_end_at_1_mib() {
    let Pair(app, _other) = Pair::start().await;
    let id = create_with_participants(&app, COUNT).await;
    for filter in ["", "&state=joining", "&kind=standard"] {
        let pages = pages(&app, &format!("/streams/{id}/participants?limit=1000{filter}")).await;
        assert!(pages.len() > 1);
        let mut listed: Vec<_> = pages.concat().iter().map(|one| one["identity"].to_string()).collect();
        listed.sort();
        let expected: Vec<_> = (0..COUNT).map(|n| format!("\"p-{n:02}\"")).collect();
        assert_eq!(listed, expected);
    }
}

#[tokio::test]
async fn pages_of_large_streams_end_at_1_mib() {
    let Pair(app, _other) = Pair::start().await;
    let mut created = Vec::new();
    for _ in 0..COUNT {
        created.push(app.create(json!({"metadata": large_metadata()})).await["id"].clone());
    }
    let pages = pages(&app, "/streams?limit=1000").await;
    assert!(pages.len() > 1);
    let listed: Vec<_> = pages.concat().iter().map(|stream| stream["id"].clone()).collect();
    assert!(listed.iter().eq(created.iter().rev()));
}

#[tokio::test]
async fn pages_of_large_history_end_at_1_mib_and_link_forward() {
    let Pair(app, _other) = Pair::start().await;
    let id = app.create(json!({})).await["id"].as_str().unwrap().to_owned();
    for n in 0..COUNT {
        let mut metadata = large_metadata();
        metadata["n"] = n.into();
        app.patch(&format!("/streams/{id}"), json!({ "metadata": metadata })).await.expect(StatusCode::OK);
    }
    // The newest events begin with the oldest of them, and the pages end with the log.
    let newest = pages(&app, &format!("/events/{id}?limit={COUNT}")).await;
    let all = pages(&app, &format!("/events/{id}?after=0-0&limit=1000")).await;
    assert!(newest.len() > 1 && all.len() > 1);
    let (newest, all) = (newest.concat(), all.concat());
    assert_eq!(all.len(), COUNT + 2, "created, activated and changed");
    assert_eq!(newest[..], all[2..]);
    assert!(all.iter().enumerate().all(|(n, event)| event["seq"] == n + 1));
    let by_count = pages(&app, &format!("/events/{id}?after=0-0&limit=7")).await;
    assert!(by_count.iter().all(|page| page.len() <= 7));
    assert_eq!(by_count.concat(), all);
}
