//! Clients that do not read: they are cut off, hold back nobody, and cost no more than their bound.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures_util::SinkExt;
use reqwest::StatusCode;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_tungstenite::{client_async, tungstenite::Message};

use crate::support::{
    eventually,
    feed_client::{FeedConnection, Received, Transport},
    grpc::{Client, subscribe_request},
    instance::Instance,
    recording::{LogAuditor, ReconnectDelay, RecordingClient, compare_with_log, position},
    servers::{shared_livekit, shared_redis},
    unique,
};

const READERS: usize = 100;
/// More than the queue of a client and the buffers of its connection can hold.
const EVENTS: usize = 300;
const EVENT_BYTES: usize = 50_000;
/// What an instance may grow by while a client does not read: its queue of 4 MiB, what the log's readers hold for
/// a moment, and the allocator's slack. All the events together are 15 MB, for each client that would keep them.
const GROWTH_KIB: u64 = 100 * 1024;

struct Scene {
    instance: Instance,
    client: reqwest::Client,
    prefix: String,
    stream: String,
}

impl Scene {
    async fn set() -> Self {
        let prefix = unique("test");
        let mut instance = Instance::new(shared_redis(), shared_livekit(), &prefix);
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

    /// The value of a metric.
    async fn metric(&self, line: &str) -> Option<u64> {
        let text = self.client.get(format!("{}/metrics", self.instance.address().http)).send().await.unwrap();
        let text = text.text().await.unwrap();
        text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
    }

    /// A connection that takes as little as can be.
    async fn narrow(&self) -> TcpStream {
        let address = self.instance.address().http.strip_prefix("http://").unwrap().parse().unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&std::net::SocketAddr::into(address)).unwrap();
        socket.set_nonblocking(true).unwrap();
        TcpStream::from_std(socket.into()).unwrap()
    }
}

#[tokio::test]
async fn one_that_never_reads_holds_back_nobody() {
    let scene = Scene::set().await;
    let auditor = LogAuditor::start(shared_redis(), &scene.prefix, Some(&scene.stream));
    let mut readers = Vec::new();
    for n in 0..READERS {
        // One in ten over each of the other two.
        let transport = match n % 10 {
            8 => Transport::WebSocket,
            9 => Transport::Grpc,
            _ => Transport::Sse,
        };
        let addresses = vec![scene.instance.address()];
        readers.push(
            RecordingClient::start(addresses, transport, Some(scene.stream.clone()), ReconnectDelay::Minimal)
                .await,
        );
    }
    // Three that never read, one over each transport.
    let mut silent_sse = scene.narrow().await;
    let ask = format!("GET /events?streamId={} HTTP/1.1\r\nhost: test\r\n\r\n", scene.stream);
    silent_sse.write_all(ask.as_bytes()).await.unwrap();
    let url = scene.instance.address().http.replacen("http", "ws", 1) + "/ws";
    let (mut silent_socket, _) = client_async(url, scene.narrow().await).await.unwrap();
    let subscribe = json!({"type": "subscribe", "streamId": scene.stream});
    silent_socket.send(Message::text(subscribe.to_string())).await.unwrap();
    let mut client = Client::connect(&scene.instance.address().grpc).await.unwrap();
    let silent_call = client.call(subscribe_request(&scene.stream, "")).await.unwrap();
    eventually("seats", || async {
        let websockets = scene.metric("lso_subscribers{transport=\"websocket\"}").await;
        let sse = scene.metric("lso_subscribers{transport=\"sse\"}").await;
        (websockets == Some(11) && sse == Some(81)).then_some(())
    })
    .await;

    let before = scene.instance.resident_kib();
    let mut most = before;
    for n in 0..EVENTS {
        scene.change(n).await;
        most = most.max(scene.instance.resident_kib());
    }
    let newest = eventually("the auditor", || async {
        let log = auditor.log();
        (log.entries.len() >= EVENTS + 2).then(|| auditor.newest().unwrap())
    })
    .await;
    for reader in &mut readers {
        reader.wait_for("everything", |recording| recording.last_position() >= Some(newest)).await;
        let (recording, log) = (reader.recording(), auditor.log());
        let report = compare_with_log(&recording, &log);
        assert!(report.is_exactly_once() && report.received == EVENTS, "{report:?}");
        assert_eq!(recording.disconnects, 0, "nobody who reads is cut off because somebody else does not");
    }
    assert!(most - before < GROWTH_KIB, "from {before} KiB to {most} KiB");
    for transport in ["sse", "websocket", "grpc"] {
        let cut = format!("lso_queue_overflows_total{{transport=\"{transport}\"}}");
        eventually(&format!("the {transport} client's seat to be taken"), || async {
            (scene.metric(&cut).await == Some(1)).then_some(())
        })
        .await;
    }
    drop((silent_sse, silent_socket, silent_call));
}

/// Who was cut off is told why, and goes on from its cursor.
#[tokio::test]
async fn one_that_was_cut_off_is_told_why_and_resumes() {
    let scene = Scene::set().await;
    let address = scene.instance.address();
    let mut links = Vec::new();
    for transport in Transport::ALL {
        links.push((
            transport,
            FeedConnection::open(&address, transport, Some(&scene.stream), None).await.unwrap(),
        ));
    }
    for n in 0..EVENTS {
        scene.change(n).await;
    }
    for (transport, mut link) in links {
        let mut seen = Vec::new();
        // Reads only now. What was on its way arrives, then the end.
        loop {
            let heard = tokio::time::timeout(Duration::from_secs(30), link.next()).await.unwrap();
            match heard {
                Received::Event(event) => seen.push(event),
                Received::Disconnected(hint) => {
                    assert!(hint.is_some() || transport == Transport::Grpc, "a hint when to come back");
                    assert_eq!(link.end_reason.as_deref(), Some("slow_consumer"), "{transport:?}");
                    break;
                }
                other => panic!("{transport:?}: {other:?}"),
            }
        }
        assert!(seen.len() < EVENTS, "{transport:?} was cut off");
        let cursor = seen.last().map_or(link.from.clone(), |event| event.cursor.clone());
        let mut link =
            FeedConnection::open(&address, transport, Some(&scene.stream), Some(&cursor)).await.unwrap();
        while seen.len() < EVENTS {
            let Received::Event(event) = link.next().await else { panic!("no event") };
            seen.push(event);
        }
        let positions: Vec<_> = seen.iter().map(|event| position(&event.cursor)).collect();
        assert!(positions.is_sorted_by(|one, other| one < other), "in order, and none twice");
        assert!(seen.iter().map(|event| event.seq).eq(3..3 + EVENTS as u64), "and none is missing");
    }
}
