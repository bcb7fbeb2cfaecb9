//! gRPC calls that do not read their messages.

use reqwest::StatusCode;
use serde_json::json;
use tonic::{Code, Request, Status, Streaming};

use super::{BUDGET, Fixture, GROWTH_KIB, METADATA_BYTES, UNKNOWN};
use crate::support::{
    eventually,
    grpc::{Client, SubscribeRequest, subscribe_request},
    within,
};

/// Streams whose reset is larger than the window of an HTTP/2 client, 2 MiB.
const FEW_STREAMS: usize = 60;

/// The calls must have begun before their deadline.
fn with_deadline(mut request: Request<SubscribeRequest>) -> Request<SubscribeRequest> {
    request.metadata_mut().insert("grpc-timeout", "5S".parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_grpc_call_past_its_deadline_keeps_no_message() {
    let fixture = Fixture::start(FEW_STREAMS, METADATA_BYTES).await;
    let mut client = Client::connect(&fixture.instance.address().grpc).await.unwrap();
    let mut reset = client.call(with_deadline(subscribe_request("", UNKNOWN))).await.unwrap().into_inner();
    let mut updates = client.call_updates(with_deadline(subscribe_request("", ""))).await.unwrap();
    fixture.wait_for_release().await;
    assert_eq!(fixture.metric("lso_subscribers{transport=\"grpc\"}").await, 0);
    let ended = loop {
        match within("a message", reset.message()).await {
            Ok(message) => assert!(message.is_some(), "the end has a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::DeadlineExceeded);
    let mut received = 0;
    let ended = loop {
        match within("an update", updates.message()).await {
            Ok(message) => received += usize::from(message.is_some()),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::DeadlineExceeded);
    assert!(received < FEW_STREAMS, "{received} updates");
}

/// Silent feeds of states, of which each has some updates of 60 KB waiting.
const SILENT_FEEDS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_grpc_updates_of_all_streams_take_bounded_memory_and_reads() {
    let fixture = Fixture::start(FEW_STREAMS, METADATA_BYTES).await;
    let before = fixture.instance.resident_kib();
    let mut client = Client::connect(&fixture.instance.address().grpc).await.unwrap();
    let mut calls = Vec::new();
    for _ in 0..SILENT_FEEDS {
        calls.push(client.call_updates(subscribe_request("", "")).await.unwrap());
    }
    // A connection of its own, because the silent feeds use up the window of theirs.
    let mut reader = Client::connect(&fixture.instance.address().grpc).await.unwrap();
    let mut reader = reader.call_updates(subscribe_request("", "")).await.unwrap();
    for _ in 0..FEW_STREAMS {
        within("an update", reader.message()).await.unwrap().unwrap();
    }
    let reads = || fixture.metric("lso_redis_call_duration_seconds_count{call=\"get\"}");
    let reads_before = reads().await;
    for number in 0..FEW_STREAMS * 3 {
        let id = &fixture.streams[number % FEW_STREAMS];
        let body = json!({"identity": format!("p-{number}")});
        let url = fixture.url(&format!("/streams/{id}/join"));
        assert_eq!(fixture.client.post(url).json(&body).send().await.unwrap().status(), StatusCode::OK);
        // The event omits the metadata, and the update has it.
        let update = within("an update", reader.message()).await.unwrap().unwrap();
        assert_eq!((&update.stream_id, update.metadata["filling"].len()), (id, METADATA_BYTES));
    }
    let (reads, waiting) = (reads().await - reads_before, fixture.metric("lso_waiting_bytes").await);
    // The reader reads each stream once. A feed that is not read reads nothing ahead of its client.
    assert!(reads <= (FEW_STREAMS + SILENT_FEEDS) as u64, "{reads} reads");
    assert!(waiting <= BUDGET, "{waiting} bytes wait");
    let after = fixture.instance.resident_kib();
    assert!(after < before + GROWTH_KIB, "from {before} KiB to {after} KiB");
    drop((calls, reader));
    fixture.wait_for_release().await;
}

/// Silent calls, of which each has two parts of 0.5 MiB waiting: together more than the budget.
const SILENT_CALLS: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_grpc_calls_above_the_budget_end() {
    let fixture = Fixture::start(FEW_STREAMS, METADATA_BYTES).await;
    let mut client = Client::connect(&fixture.instance.address().grpc).await.unwrap();
    let mut calls = Vec::new();
    for _ in 0..SILENT_CALLS {
        calls.push(client.call(subscribe_request("", UNKNOWN)).await.unwrap());
    }
    eventually("the end of calls", || async {
        let overflows = fixture.metric("lso_queue_overflows_total{transport=\"grpc\"}").await;
        let waiting = fixture.metric("lso_waiting_bytes").await;
        (overflows > 0 && waiting <= BUDGET).then_some(())
    })
    .await;
    drop(calls);
    fixture.wait_for_release().await;
}

/// Reads until the end of a call; returns the number of messages and the status.
async fn read_to_error<T>(mut messages: Streaming<T>) -> (usize, Status) {
    let mut received = 0;
    loop {
        match within("a message", messages.message()).await {
            Ok(message) => received += usize::from(message.is_some()),
            Err(status) => return (received, status),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_grpc_feeds_above_the_budget_end_with_their_reason_in_place_of_the_rest() {
    let fixture = Fixture::start(FEW_STREAMS, METADATA_BYTES).await;
    // Each feed is larger than the window of its connection.
    let grpc = &fixture.instance.address().grpc;
    let (mut one, mut other) = (Client::connect(grpc).await.unwrap(), Client::connect(grpc).await.unwrap());
    let reset = one.call(subscribe_request("", UNKNOWN)).await.unwrap().into_inner();
    let updates = other.call_updates(subscribe_request("", "")).await.unwrap();
    let evicted = eventually("the end of both feeds", || async {
        (fixture.metric("lso_queue_overflows_total{transport=\"grpc\"}").await == 2).then_some(())
    });
    fixture.while_budget_is_exceeded(evicted).await;
    let (parts, reset_end) = read_to_error(reset).await;
    let (states, updates_end) = read_to_error(updates).await;
    for status in [reset_end, updates_end] {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.metadata().get("code").unwrap(), "slow_consumer");
    }
    assert!(parts > 0 && states > 0 && states < FEW_STREAMS, "{parts} parts, {states} states");
}
