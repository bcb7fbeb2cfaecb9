//! Resets that are larger than a message, and clients that do not read them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod one_stream;
mod replays;
mod responses;
mod silent_calls;
mod silent_websockets;
mod slow_readers;
mod stalled_clients;

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt, future::join_all, stream};
use prost::Message as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::interval};
use tokio_tungstenite::{WebSocketStream, client_async, connect_async, tungstenite::Message};

use crate::support::{
    eventually,
    grpc::{Client, subscribe_request},
    instance::Instance,
    servers::{shared_livekit, shared_redis},
    sse::EventStream,
    unique, within,
};

const STREAMS: usize = 400;
const METADATA_BYTES: usize = 59_900;
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// A well-formed cursor that was never issued.
const UNKNOWN: &str = "1-0";
/// Limit of what waits in an instance for clients.
const BUDGET: u64 = 64 * 1024 * 1024;
/// Silent SSE clients that exceed the budget: each keeps a part of 0.5 MiB.
const SILENT: usize = 150;
const REFILL_INTERVAL: Duration = Duration::from_millis(50);

/// An instance with streams.
struct Fixture {
    instance: Instance,
    client: reqwest::Client,
    streams: Vec<String>,
}

impl Fixture {
    async fn start(streams: usize, metadata_bytes: usize) -> Self {
        let mut instance = Instance::new(shared_redis(), shared_livekit(), &unique("test"));
        instance.start().await;
        let mut fixture = Self { instance, client: reqwest::Client::new(), streams: Vec::new() };
        let filling = "x".repeat(metadata_bytes);
        let created = stream::iter(0..streams).map(|_| fixture.create(&filling)).buffer_unordered(8);
        fixture.streams = created.collect().await;
        fixture
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.instance.address().http)
    }

    async fn create(&self, filling: &str) -> String {
        let body = json!({"metadata": {"filling": filling}});
        let answer = self.client.post(self.url("/streams")).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        let created: Value = answer.json().await.unwrap();
        created["id"].as_str().unwrap().to_owned()
    }

    async fn change(&self, number: usize, filling: &str) {
        let url = self.url(&format!("/streams/{}", self.streams[number % self.streams.len()]));
        let body = json!({"metadata": {"n": number, "filling": filling}});
        assert_eq!(self.client.patch(url).json(&body).send().await.unwrap().status(), StatusCode::OK);
    }

    /// The documents of all streams, newest first.
    async fn documents(&self) -> Vec<Value> {
        let (mut all, mut next) = (Vec::new(), Some("/streams?limit=10".to_owned()));
        while let Some(path) = next {
            let answer = self.client.get(self.url(&path)).send().await.unwrap();
            let link = answer.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
            next = link.map(|link| {
                let target = &link[link.find('<').unwrap() + 1..link.find('>').unwrap()];
                target[target.find("/streams").unwrap()..].to_owned()
            });
            all.extend(answer.json::<Vec<Value>>().await.unwrap());
        }
        all
    }

    /// Sum of the metrics whose lines begin so.
    async fn metric(&self, line: &str) -> u64 {
        let text = self.client.get(self.url("/metrics")).send().await.unwrap().text().await.unwrap();
        let values = text.lines().filter(|found| found.starts_with(line));
        values.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    }

    async fn wait_for_release(&self) {
        eventually("the release of what waited", || async {
            (self.metric("lso_waiting_bytes").await == 0).then_some(())
        })
        .await;
    }

    /// Connects with the smallest possible receive buffer.
    fn connect_with_small_buffer(&self) -> TcpStream {
        let address = self.instance.address().http.strip_prefix("http://").unwrap().parse().unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&SocketAddr::into(address)).unwrap();
        socket.set_nonblocking(true).unwrap();
        TcpStream::from_std(socket.into()).unwrap()
    }

    async fn open_silent_sse(&self, query: &str) -> TcpStream {
        self.open_silent_get(&format!("/events?{query}")).await
    }

    async fn open_silent_get(&self, path: &str) -> TcpStream {
        let mut socket = self.connect_with_small_buffer();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        socket
    }

    /// Opens a WebSocket that follows all streams from a cursor and is not read.
    async fn open_silent_websocket(&self, after: &str) -> WebSocketStream<TcpStream> {
        let url = self.url("/ws").replacen("http", "ws", 1);
        let (mut socket, _) = client_async(url, self.connect_with_small_buffer()).await.unwrap();
        let subscribe = json!({"type": "subscribe", "streamId": "*", "after": after});
        socket.send(Message::text(subscribe.to_string())).await.unwrap();
        socket
    }

    /// Awaits a future while silent SSE clients exceed the budget. Each that is disconnected is replaced.
    async fn while_budget_is_exceeded<T>(&self, future: impl Future<Output = T>) -> T {
        let query = format!("lastEventId={UNKNOWN}");
        let refill = async {
            let (mut tick, mut silent) = (interval(REFILL_INTERVAL), Vec::new());
            loop {
                tick.tick().await;
                let evicted = self.metric("lso_queue_overflows_total{transport=\"sse\"}").await;
                let missing = evicted as usize + SILENT - silent.len();
                silent.extend(join_all((0..missing).map(|_| self.open_silent_sse(&query))).await);
            }
        };
        tokio::select! { done = future => done, never = refill => never }
    }
}

/// Joins the parts of a reset. Checks their numbers, and that the cursor stands in the last part alone.
fn join_parts(parts: &[Value]) -> Vec<Value> {
    assert!(parts.len() > 1, "several parts");
    let mut joined = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        assert!(part.to_string().len() <= MAX_MESSAGE_BYTES);
        assert_eq!((&part["part"], &part["parts"]), (&json!(index + 1), &json!(parts.len())));
        assert_eq!(part["reason"], "cursor_unknown");
        assert_eq!(part.get("cursor").is_some(), index + 1 == parts.len());
        joined.extend(part["snapshot"].as_array().unwrap().iter().cloned());
    }
    joined
}

async fn read_sse(base: &str) -> Vec<Value> {
    let mut events = EventStream::open(base, "/events", Some(UNKNOWN)).await;
    let first = events.block().await.unwrap();
    assert_eq!(first.id.as_deref(), Some(UNKNOWN), "a client that is cut off gets the reset again");
    let mut parts = Vec::new();
    loop {
        let block = events.message().await.unwrap();
        assert_eq!(block.event.as_deref(), Some("reset"));
        let data = block.data.unwrap();
        assert_eq!(block.id.as_deref(), data.get("cursor").and_then(Value::as_str));
        parts.push(data);
        if block.id.is_some() {
            return join_parts(&parts);
        }
    }
}

async fn read_websocket(base: &str) -> Vec<Value> {
    let url = format!("{base}/ws").replacen("http", "ws", 1);
    let (mut socket, _) = connect_async(url).await.unwrap();
    let subscribe = json!({"type": "subscribe", "streamId": "*", "after": UNKNOWN});
    socket.send(Message::text(subscribe.to_string())).await.unwrap();
    let mut parts = Vec::new();
    loop {
        let Message::Text(text) = within("a message", socket.next()).await.unwrap().unwrap() else {
            continue;
        };
        assert!(text.len() <= MAX_MESSAGE_BYTES);
        let message: Value = serde_json::from_str(&text).unwrap();
        match message["type"].as_str().unwrap() {
            "connected" => {}
            "subscribed" => assert_eq!(message["cursor"], UNKNOWN),
            "reset" => {
                assert_eq!(message["streamId"], "*");
                let is_last = message.get("cursor").is_some();
                parts.push(message);
                if is_last {
                    return join_parts(&parts);
                }
            }
            other => panic!("{other}"),
        }
    }
}

/// Returns the ids of the streams, which the client receives with tonic's default limits.
async fn read_grpc(base: &str) -> Vec<String> {
    let mut client = Client::connect(base).await.unwrap();
    let mut messages = client.call(subscribe_request("", UNKNOWN)).await.unwrap().into_inner();
    let (mut ids, mut part) = (Vec::new(), 0);
    loop {
        let event = within("a message", messages.message()).await.unwrap().unwrap();
        assert!(event.event_type == 20 && event.encoded_len() <= MAX_MESSAGE_BYTES);
        let reset = event.reset.unwrap();
        part += 1;
        assert!(reset.part == part && reset.parts > 1);
        assert_eq!(
            (event.cursor.is_empty(), reset.cursor.is_empty()),
            (part < reset.parts, part < reset.parts)
        );
        ids.extend(reset.snapshot.into_iter().map(|state| state.stream_id));
        if part == reset.parts {
            return ids;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_reset_comes_in_parts_on_every_transport() {
    let fixture = Fixture::start(STREAMS, METADATA_BYTES).await;
    let documents = fixture.documents().await;
    assert_eq!(documents.len(), STREAMS);
    let address = fixture.instance.address();
    let (sse, websocket) = (read_sse(&address.http), read_websocket(&address.http));
    let (sse, websocket, grpc) = tokio::join!(sse, websocket, read_grpc(&address.grpc));
    assert!(sse == documents, "the parts over SSE are the documents of all streams");
    assert!(websocket == documents, "the parts over WebSocket are the documents of all streams");
    assert!(documents.iter().map(|document| document["id"].as_str().unwrap()).eq(grpc.iter()));
}

/// Maximum growth of an instance in KiB.
const GROWTH_KIB: u64 = 200 * 1000;
const UNREAD: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_large_resets_take_bounded_memory() {
    let fixture = Fixture::start(STREAMS, METADATA_BYTES).await;
    let before = fixture.instance.resident_kib();
    let query = format!("lastEventId={UNKNOWN}");
    let sse = join_all((0..UNREAD).map(|_| fixture.open_silent_sse(&query))).await;
    let (mut sockets, mut calls) = (Vec::new(), Vec::new());
    for _ in 0..UNREAD {
        sockets.push(fixture.open_silent_websocket(UNKNOWN).await);
        let mut client = Client::connect(&fixture.instance.address().grpc).await.unwrap();
        calls.push(client.call(subscribe_request("", UNKNOWN)).await.unwrap());
    }
    eventually("the resets of all clients", || async {
        let mut waiting = true;
        for transport in ["sse", "websocket", "grpc"] {
            let delivered = format!("lso_events_delivered_total{{transport=\"{transport}\"}}");
            waiting &= fixture.metric(&delivered).await >= UNREAD;
        }
        waiting.then_some(())
    })
    .await;
    let after = fixture.instance.resident_kib();
    assert!(after < before + GROWTH_KIB, "from {before} KiB to {after} KiB");
    drop((sse, sockets, calls));
    fixture.wait_for_release().await;
}
