//! Replays of large events that the client does not read.

use serde_json::Value;

use super::{Fixture, MAX_MESSAGE_BYTES};
use crate::support::{
    eventually,
    grpc::{Client, subscribe_request},
};

const EVENT_BYTES: usize = 50_000;
/// The replay has ten pages of 1 MiB, and is larger than the window of an HTTP/2 client.
const EVENTS: usize = 200;
/// Bytes of a page, which ends before the event that exceeds 1 MiB.
const PAGE: usize = MAX_MESSAGE_BYTES - 2 * EVENT_BYTES;
/// A page, and messages on their way to the client.
const MAX_WAITING: usize = MAX_MESSAGE_BYTES * 3 / 2;

/// Checks that one page of the replay is charged, whatever its client has taken of the pages before.
async fn check_charge(fixture: &Fixture, transport: &str) {
    let waiting = eventually(&format!("a charged page over {transport}"), || async {
        Some(fixture.metric("lso_waiting_bytes").await as usize).filter(|waiting| *waiting >= PAGE)
    })
    .await;
    assert!(waiting <= MAX_WAITING, "{transport}: {waiting} bytes wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_replay_of_large_events_is_charged_page_by_page_on_every_transport() {
    let fixture = Fixture::start(10, 10).await;
    let url = fixture.url(&format!("/events/{}", fixture.streams[0]));
    let history: Vec<Value> = fixture.client.get(url).send().await.unwrap().json().await.unwrap();
    let after = history[0]["cursor"].as_str().unwrap();
    let filling = "x".repeat(EVENT_BYTES);
    for number in 0..EVENTS {
        fixture.change(number, &filling).await;
    }
    let sse = fixture.open_silent_sse(&format!("lastEventId={after}")).await;
    check_charge(&fixture, "sse").await;
    drop(sse);
    fixture.wait_for_release().await;
    let websocket = fixture.open_silent_websocket(after).await;
    check_charge(&fixture, "websocket").await;
    drop(websocket);
    fixture.wait_for_release().await;
    let mut client = Client::connect(&fixture.instance.address().grpc).await.unwrap();
    let call = client.call(subscribe_request("", after)).await.unwrap();
    check_charge(&fixture, "grpc").await;
    drop(call);
    fixture.wait_for_release().await;
}
