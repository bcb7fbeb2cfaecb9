//! Clients that do not read: they are disconnected, delay no other client, and use bounded memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{net::SocketAddr, time::Duration};

use futures_util::SinkExt;
use reqwest::StatusCode;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use tonic::{Response, Streaming};

use crate::support::{
    eventually,
    feed_client::{FeedConnection, Received, ReceivedEvent, Transport},
    grpc::{Client, StreamEvent, subscribe_request},
    instance::Instance,
    recording::{LogAuditor, ReconnectDelay, RecordingClient, compare_with_log, position},
    servers::{shared_livekit, shared_redis},
    unique,
};

const READERS: usize = 100;
/// More events than a client's queue and the buffers of its connection can hold.
const EVENTS: usize = 300;
const EVENT_BYTES: usize = 50_000;
/// Maximum growth of an instance while a client does not read: the queue of 4 MiB, temporary buffers of the log
/// readers, and fragmentation. All events are 15 MB for each client that would keep them.
const GROWTH_KIB: u64 = 100 * 1024;

/// An instance with one stream.
struct Fixture {
    instance: Instance,
    client: reqwest::Client,
    prefix: String,
    stream: String,
}

impl Fixture {
    async fn start() -> Self {
        let prefix = unique("test");
        // The log holds all events, so that a disconnected client can resume.
        let instance = Instance::new(shared_redis(), shared_livekit(), &prefix);
        let mut instance = instance.with("LOG_MAX_BYTES", &(2 * EVENTS * EVENT_BYTES).to_string());
        instance.start().await;
        let client = reqwest::Client::new();
        let created =
            client.post(format!("{}/streams", instance.address().http)).json(&json!({})).send().await;
        let created: Value = created.unwrap().json().await.unwrap();
        Self { instance, client, prefix, stream: created["id"].as_str().unwrap().to_owned() }
    }

    async fn change(&self, number: usize) {
        let url = format!("{}/streams/{}", self.instance.address().http, self.stream);
        let body = json!({"metadata": {"n": number, "filling": "x".repeat(EVENT_BYTES)}});
        let answer = self.client.patch(url).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }

    /// Value of the metric with this name and labels.
    async fn metric(&self, line: &str) -> Option<u64> {
        let text = self.client.get(format!("{}/metrics", self.instance.address().http)).send().await.unwrap();
        let text = text.text().await.unwrap();
        text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
    }

    /// Connects with the smallest possible receive buffer.
    async fn connect_with_small_buffer(&self) -> TcpStream {
        let address = self.instance.address().http.strip_prefix("http://").unwrap().parse().unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&SocketAddr::into(address)).unwrap();
        socket.set_nonblocking(true).unwrap();
        TcpStream::from_std(socket.into()).unwrap()
    }

    /// Starts clients that read: eight of ten over SSE, one over WebSocket, one over gRPC.
    async fn start_readers(&self) -> Vec<RecordingClient> {
        let mut readers = Vec::new();
        for n in 0..READERS {
            let transport = match n % 10 {
                8 => Transport::WebSocket,
                9 => Transport::Grpc,
                _ => Transport::Sse,
            };
            let (addresses, stream) = (vec![self.instance.address()], Some(self.stream.clone()));
            readers.push(RecordingClient::start(addresses, transport, stream, ReconnectDelay::Minimal).await);
        }
        readers
    }

    /// Connects one client of each transport that never reads, and waits until it is subscribed.
    async fn start_silent_clients(&self) -> SilentClients {
        let mut sse = self.connect_with_small_buffer().await;
        let request = format!("GET /events?streamId={} HTTP/1.1\r\nhost: localhost\r\n\r\n", self.stream);
        sse.write_all(request.as_bytes()).await.unwrap();
        let url = self.instance.address().http.replacen("http", "ws", 1) + "/ws";
        let (mut socket, _) = client_async(url, self.connect_with_small_buffer().await).await.unwrap();
        let subscribe = json!({"type": "subscribe", "streamId": self.stream});
        socket.send(Message::text(subscribe.to_string())).await.unwrap();
        let mut client = Client::connect(&self.instance.address().grpc).await.unwrap();
        let call = client.call(subscribe_request(&self.stream, "")).await.unwrap();
        eventually("all subscriptions", || async {
            let websockets = self.metric("lso_subscribers{transport=\"websocket\"}").await;
            let sse = self.metric("lso_subscribers{transport=\"sse\"}").await;
            (websockets == Some(11) && sse == Some(81)).then_some(())
        })
        .await;
        (sse, socket, call)
    }
}

type SilentClients = (TcpStream, WebSocketStream<TcpStream>, Response<Streaming<StreamEvent>>);

#[tokio::test]
async fn client_that_never_reads_delays_no_other_client() {
    let fixture = Fixture::start().await;
    let auditor = LogAuditor::start(shared_redis(), &fixture.prefix, Some(&fixture.stream));
    let mut readers = fixture.start_readers().await;
    let silent = fixture.start_silent_clients().await;

    let before = fixture.instance.resident_kib();
    let mut most = before;
    for n in 0..EVENTS {
        fixture.change(n).await;
        most = most.max(fixture.instance.resident_kib());
    }
    let newest = eventually("the log copy", || async {
        let log = auditor.log();
        (log.entries.len() >= EVENTS + 2).then(|| auditor.newest().unwrap())
    })
    .await;
    for reader in &mut readers {
        reader.wait_for("all events", |recording| recording.last_position() >= Some(newest)).await;
        let (recording, log) = (reader.recording(), auditor.log());
        let report = compare_with_log(&recording, &log);
        assert!(report.is_exactly_once() && report.received == EVENTS, "{report:?}");
        assert_eq!(recording.disconnects, 0, "a client that reads is not disconnected");
    }
    assert!(most - before < GROWTH_KIB, "from {before} KiB to {most} KiB");
    // A full queue ends a feed. On a slow machine the time limit of a write ends the feed of a WebSocket before.
    for (transport, readers) in [("sse", 80), ("websocket", 10), ("grpc", 10)] {
        let overflows = format!("lso_queue_overflows_total{{transport=\"{transport}\"}}");
        let subscribers = format!("lso_subscribers{{transport=\"{transport}\"}}");
        eventually(&format!("the disconnect of the {transport} client"), || async {
            let has_overflowed = fixture.metric(&overflows).await == Some(1);
            (has_overflowed || fixture.metric(&subscribers).await == Some(readers)).then_some(())
        })
        .await;
    }
    drop(silent);
}

/// Reads until the disconnect and returns the events; checks the reason and the reconnect delay.
async fn read_until_disconnect(connection: &mut FeedConnection, transport: Transport) -> Vec<ReceivedEvent> {
    let mut events = Vec::new();
    loop {
        match timeout(Duration::from_secs(30), connection.next()).await.unwrap() {
            Received::Event(event) => events.push(event),
            Received::Disconnected(hint) => {
                assert!(hint.is_some() || transport == Transport::Grpc, "a reconnect delay");
                assert_eq!(connection.end_reason.as_deref(), Some("slow_consumer"), "{transport:?}");
                return events;
            }
            other => panic!("{transport:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn disconnected_slow_client_gets_reason_and_resumes() {
    let fixture = Fixture::start().await;
    let (address, stream) = (fixture.instance.address(), Some(fixture.stream.as_str()));
    let mut connections = Vec::new();
    for transport in Transport::ALL {
        connections.push((transport, FeedConnection::open(&address, transport, stream, None).await.unwrap()));
    }
    for n in 0..EVENTS {
        fixture.change(n).await;
    }
    for (transport, mut connection) in connections {
        let mut events = read_until_disconnect(&mut connection, transport).await;
        assert!(events.len() < EVENTS, "{transport:?} was disconnected");
        let cursor = events.last().map_or(connection.from.clone(), |event| event.cursor.clone());
        let mut resumed = FeedConnection::open(&address, transport, stream, Some(&cursor)).await.unwrap();
        while events.len() < EVENTS {
            let Received::Event(event) = resumed.next().await else { panic!("no event") };
            events.push(event);
        }
        let positions: Vec<_> = events.iter().map(|event| position(&event.cursor)).collect();
        assert!(positions.is_sorted_by(|one, other| one < other), "in order, without duplicates");
        assert!(events.iter().map(|event| event.seq).eq(3..3 + EVENTS as u64), "without a gap");
    }
}
