//! WebSockets that do not read, and whose channel is full of messages before it is full of bytes.

use std::time::Duration;

use futures_util::{SinkExt, future::join_all};
use serde_json::Value;
use tokio::{net::TcpStream, time::interval};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use super::{BUDGET, Fixture};
use crate::support::{
    eventually,
    feed_client::Transport,
    recording::{ReconnectDelay, RecordingClient},
};

/// Metadata with which 32 events are below 64 KiB, and a page of 250 events is about 400 KB.
const SMALL_BYTES: usize = 800;
/// The log has several pages.
const SMALL_EVENTS: usize = 700;
/// Clients that each keep a page of small events. They stall first, and so are disconnected first.
const SILENT_WITH_SMALL_EVENTS: usize = 80;
/// Clients that each keep a page of large events, which are sent sooner: together with the others more than the budget.
const SILENT_BESIDE_SMALL_EVENTS: usize = 60;
/// Bytes that wait once most of these clients have stalled.
const MIN_SMALL_BYTES: u64 = 24 * 1024 * 1024;

const LARGE_BYTES: usize = 50_000;
const LARGE_EVENTS: usize = 60;
/// A page of large events ends after 1 MiB.
const SILENT_WITH_LARGE_EVENTS: usize = 100;

/// Changes all streams in turn, the last one last; returns the cursor of its newest event before the changes.
async fn fill(fixture: &Fixture, events: usize, bytes: usize) -> String {
    let url = fixture.url(&format!("/events/{}", fixture.streams.last().unwrap()));
    let history: Vec<Value> = fixture.client.get(url).send().await.unwrap().json().await.unwrap();
    let filling = "x".repeat(bytes);
    for number in 0..events {
        fixture.change(number, &filling).await;
    }
    history.last().unwrap()["cursor"].as_str().unwrap().to_owned()
}

async fn evicted(fixture: &Fixture) -> usize {
    fixture.metric("lso_queue_overflows_total{transport=\"websocket\"}").await as usize
}

/// Waits until the rest of the clients fits the budget, and checks that several have been disconnected, one after the
/// other, and no more than necessary.
async fn wait_for_evictions(fixture: &Fixture, clients: usize) {
    let subscribers = || fixture.metric("lso_subscribers{transport=\"websocket\"}");
    eventually("a sum below the budget after disconnects", || async {
        let fits = fixture.metric("lso_waiting_bytes").await <= BUDGET;
        (fits && evicted(fixture).await > 1).then_some(())
    })
    .await;
    eventually("the end of the evicted feeds", || async {
        // Clients that are not evicted end too, after the time limit of a write.
        (subscribers().await as usize + evicted(fixture).await <= clients).then_some(())
    })
    .await;
    let evicted = evicted(fixture).await;
    assert!(evicted < clients * 3 / 4, "{evicted} of {clients} clients are disconnected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_websockets_with_small_events_are_disconnected_and_readers_are_not() {
    let fixture = Fixture::start(10, 10).await;
    let before_large = fill(&fixture, LARGE_EVENTS, LARGE_BYTES).await;
    let after = fill(&fixture, SMALL_EVENTS, SMALL_BYTES).await;
    let address = vec![fixture.instance.address()];
    let mut reader =
        RecordingClient::start(address, Transport::WebSocket, None, ReconnectDelay::Minimal).await;
    let open = (0..SILENT_WITH_SMALL_EVENTS).map(|_| fixture.open_silent_websocket(&after));
    let silent = join_all(open).await;
    eventually("the pages of small events", || async {
        (fixture.metric("lso_waiting_bytes").await >= MIN_SMALL_BYTES).then_some(())
    })
    .await;
    let open = (0..SILENT_BESIDE_SMALL_EVENTS).map(|_| fixture.open_silent_websocket(&before_large));
    let beside = join_all(open).await;
    wait_for_evictions(&fixture, SILENT_WITH_SMALL_EVENTS + SILENT_BESIDE_SMALL_EVENTS + 1).await;
    for number in 0..5 {
        fixture.change(number, "small").await;
    }
    reader.wait_for("the changes", |recording| recording.messages.len() >= 5).await;
    assert_eq!(reader.recording().disconnects, 0, "a client that reads is not disconnected");
    drop((silent, beside));
    fixture.wait_for_release().await;
}

/// Interval at which a connection is full of pongs before it counts as stalled.
const PING_INTERVAL: Duration = Duration::from_millis(50);

/// Sends pings until the connection ends.
async fn ping(mut socket: WebSocketStream<TcpStream>) {
    let mut tick = interval(PING_INTERVAL);
    while socket.send(Message::Ping("p".repeat(100).into())).await.is_ok() {
        tick.tick().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_websockets_whose_pongs_wait_are_disconnected_one_after_the_other() {
    let fixture = Fixture::start(10, 10).await;
    let after = fill(&fixture, LARGE_EVENTS, LARGE_BYTES).await;
    let open = (0..SILENT_WITH_LARGE_EVENTS).map(|_| fixture.open_silent_websocket(&after));
    let silent = join_all(open).await.into_iter().map(|socket| tokio::spawn(ping(socket)));
    let silent: Vec<_> = silent.collect();
    wait_for_evictions(&fixture, SILENT_WITH_LARGE_EVENTS).await;
    silent.iter().for_each(tokio::task::JoinHandle::abort);
    fixture.wait_for_release().await;
}
