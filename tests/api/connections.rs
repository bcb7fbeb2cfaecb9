//! Connections: limits of time before the first request, limits of number, and what unsigned bodies cost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{Ipv4Addr, SocketAddr};

use futures_util::future::join_all;
use livestream_orchestrator::admission::raise_open_files;
use reqwest::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Duration, interval},
};

use super::Pair;
use crate::support::{
    app::{TestApp, sign_webhook},
    eventually,
    grpc::Client,
    instance::Instance,
    raw_http::connect,
    servers::{shared_livekit, shared_redis},
    unique, within,
};

/// HTTP/2 preface and empty SETTINGS frame.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const GET_LIVE: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n";

fn address(base: &str) -> SocketAddr {
    base.strip_prefix("http://").unwrap().parse().unwrap()
}

/// Connects from an address of its own, so that other connections of the test do not count.
async fn connect_from(client: Ipv4Addr, base: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((client, 0).into()).unwrap();
    socket.connect(address(base)).await.unwrap()
}

/// Waits until the server has closed the connection.
async fn closed(mut connection: TcpStream) {
    let mut received = Vec::new();
    // A reset is an end too.
    let _ = within("the end of a connection", connection.read_to_end(&mut received)).await;
}

/// Sends bytes one after the other until the server closes the connection.
async fn drip(connection: TcpStream, bytes: &[u8]) {
    let (mut receiver, mut sender) = connection.into_split();
    let dripping = async {
        let mut tick = interval(Duration::from_millis(200));
        for byte in bytes.iter().cycle() {
            tick.tick().await;
            if sender.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    };
    let mut received = Vec::new();
    let end = async { receiver.read_to_end(&mut received).await };
    within("the end of a slow connection", async {
        tokio::select! { () = dripping => {}, _ = end => {} }
    })
    .await;
}

/// Sends GET /health/live on an open connection and reads the response.
async fn request(connection: &mut TcpStream) -> Option<String> {
    connection.write_all(GET_LIVE).await.ok()?;
    let mut received = Vec::new();
    while !received.ends_with(b"}") {
        let read = within("a response", connection.read_buf(&mut received)).await.ok()?;
        if read == 0 {
            return None;
        }
    }
    Some(String::from_utf8(received).unwrap())
}

#[tokio::test]
async fn connection_without_request_is_closed_and_others_stay_open() {
    let Pair(app, _other) = Pair::start().await;
    let (mut idle, mut chunked) = (connect(&app.base).await, connect(&app.base).await);
    assert!(request(&mut idle).await.is_some());
    let body = b"POST /streams HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\
        content-type: application/json\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    chunked.write_all(body).await.unwrap();
    let mut created = [0; 12];
    within("a response", chunked.read_exact(&mut created)).await.unwrap();
    assert_eq!(&created, b"HTTP/1.1 201");
    let mut grpc = Client::of(&app).await;
    let mut feed = grpc.subscribe("", "").await.unwrap();
    let mut events = app.follow("/events").await;
    let url = app.base.replacen("http", "ws", 1);
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("{url}/ws")).await.unwrap();
    let ping = || tokio_tungstenite::tungstenite::Message::text("{\"type\":\"ping\"}");
    futures_util::SinkExt::send(&mut socket, ping()).await.unwrap();

    let http2 = connect(&app.grpc).await;
    let mut preface = connect(&app.grpc).await;
    preface.write_all(HTTP2_PREFACE).await.unwrap();
    let late_head = async {
        let mut connection = connect(&app.base).await;
        assert!(request(&mut connection).await.is_some());
        drip(connection, b"GET /health/live HTTP/1.1\r\nx-slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
            .await;
    };
    let slow_frame = async {
        let mut connection = connect(&app.grpc).await;
        connection.write_all(HTTP2_PREFACE).await.unwrap();
        // A HEADERS frame of 16,000 bytes that never ends.
        drip(connection, &[&[0, 0x3e, 0x80, 1, 4, 0, 0, 0, 1][..], &[0x40; 4_096]].concat()).await;
    };
    tokio::join!(
        closed(connect(&app.base).await),
        drip(
            connect(&app.base).await,
            b"GET / HTTP/1.1\r\nx-slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        ),
        closed(http2),
        closed(preface),
        slow_frame,
        late_head,
    );

    assert!(request(&mut idle).await.is_some(), "a connection between two requests");
    assert!(request(&mut chunked).await.is_some(), "a connection after a chunked body");
    let stream = app.create(json!({})).await;
    let event = within("an event", feed.message()).await.unwrap();
    assert!(event.is_some(), "a gRPC feed stays open");
    events.wait_for("stream_created").await;
    futures_util::SinkExt::send(&mut socket, ping()).await.unwrap();
    for _ in 0..3 {
        let message = within("a message", futures_util::StreamExt::next(&mut socket)).await;
        message.expect("a WebSocket stays open").unwrap();
    }
    assert!(stream["id"].is_string());
}

async fn refused(app: &TestApp, port: &str, reason: &str) -> u64 {
    let line = format!("lso_connections_refused_total{{port=\"{port}\",reason=\"{reason}\"}} ");
    let metrics = app.get("/metrics").await.text;
    metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn connection_over_limit_of_its_address_is_closed_at_once_until_another_ends() {
    let Pair(app, _other) =
        Pair::with(|settings| settings.admission.max_connections_per_address = Some("5".to_owned())).await;
    let client = Ipv4Addr::new(127, 0, 0, 2);
    for (port, base) in [("http", &app.base), ("grpc", &app.grpc)] {
        let open = join_all((0..5).map(|_| connect_from(client, base))).await;
        // Answered on each port only after the server has accepted them.
        eventually("accepted connections", || async {
            closed(connect_from(client, base).await).await;
            (refused(&app, port, "address").await > 0).then_some(())
        })
        .await;
        let other = connect_from(Ipv4Addr::new(127, 0, 0, 3), base).await;
        assert!(port == "grpc" || request(&mut { other }).await.is_some(), "another address");
        drop(open);
        if port == "http" {
            eventually("a free connection", || async {
                request(&mut connect_from(client, base).await).await.map(|_| ())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn trusted_proxy_has_no_limit_of_its_address() {
    let Pair(app, _other) = Pair::with(|settings| {
        settings.admission.max_connections_per_address = Some("5".to_owned());
        settings.admission.trusted_proxies = Some("127.0.0.2".to_owned());
    })
    .await;
    let mut open = join_all((0..20).map(|_| connect_from(Ipv4Addr::new(127, 0, 0, 2), &app.base))).await;
    for connection in &mut open {
        assert!(request(connection).await.is_some());
    }
    assert_eq!(refused(&app, "http", "address").await, 0);
}

#[tokio::test]
async fn http_answers_while_silent_connections_hold_all_files_of_the_process() {
    raise_open_files();
    let mut instance = Instance::new(shared_redis(), shared_livekit(), &unique("files")).with_open_files(400);
    instance.start().await;
    let address = instance.address();
    for base in [&address.grpc, &address.http] {
        let _silent = join_all((0..395).map(|_| connect(base))).await;
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        for path in ["/health/live", "/health/ready", "/streams"] {
            eventually("an answer over HTTP", || async {
                let answer = client.get(format!("{}{path}", address.http)).send().await.ok()?;
                (answer.status() == StatusCode::OK).then_some(())
            })
            .await;
        }
        let created = client.post(format!("{}/streams", address.http)).json(&json!({})).send().await.unwrap();
        assert_eq!(created.status(), StatusCode::CREATED, "LiveKit can be called");
    }
}

#[tokio::test]
async fn unsigned_webhook_is_refused_before_its_body_and_the_connection_is_closed() {
    let Pair(app, _other) = Pair::start().await;
    for length in ["content-length: 2000000", "transfer-encoding: chunked"] {
        let mut connection = connect(&app.base).await;
        let head = format!("POST /webhooks/livekit HTTP/1.1\r\nhost: localhost\r\n{length}\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut received = [0; 12];
        within("a response before the body", connection.read_exact(&mut received)).await.unwrap();
        assert_eq!(&received, b"HTTP/1.1 401");
        closed(connection).await;
    }
}

#[tokio::test]
async fn stalled_unsigned_webhooks_take_little_memory() {
    let mut instance = Instance::new(shared_redis(), shared_livekit(), &unique("stalled"));
    instance.start().await;
    let address = instance.address();
    let before = instance.resident_kib();
    let stalled = join_all((0..400).map(|_| async {
        let mut connection = connect(&address.http).await;
        let head = b"POST /webhooks/livekit HTTP/1.1\r\nhost: localhost\r\nauthorization: forged\r\n\
            content-length: 2000000\r\n\r\n";
        connection.write_all(head).await.unwrap();
        // The server may close the connection meanwhile.
        let _ = connection.write_all(&vec![b' '; 200_000]).await;
        connection
    }))
    .await;
    let used = instance.resident_kib().saturating_sub(before);
    assert!(used < 40 * 1_024, "{used} KiB for {} bodies", stalled.len());
}

#[tokio::test]
async fn signed_webhooks_whose_bodies_stall_are_bounded_and_later_ones_are_accepted() {
    let Pair(app, _other) = Pair::start().await;
    let body = json!({"event": "room_started", "room": {"name": "r", "sid": "RM_1"}}).to_string();
    let authorization = sign_webhook(&body);
    let head = format!(
        "POST /webhooks/livekit HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}\r\n\
         content-length: 2000000\r\n\r\n"
    );
    let part = vec![b' '; 1_900_000];
    let stalled = join_all((0..24).map(|_| async {
        let mut connection = connect(&app.base).await;
        connection.write_all(head.as_bytes()).await.unwrap();
        let _ = connection.write_all(&part).await;
        connection
    }))
    .await;
    let refused = join_all(stalled.into_iter().map(|mut connection| async move {
        let mut status = [0; 12];
        within("a response", connection.read_exact(&mut status)).await.ok()?;
        Some(String::from_utf8(status.to_vec()).unwrap())
    }))
    .await;
    let count = |status: &str| refused.iter().flatten().filter(|found| found.ends_with(status)).count();
    assert!(count("429") > 0, "over the bound: {refused:?}");
    assert!(count("408") > 0, "within the bound, until the limit of time: {refused:?}");
    let accepted =
        app.request(reqwest::Method::POST, "/webhooks/livekit").header("authorization", authorization);
    assert_eq!(accepted.body(body).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn health_pings_redis_at_most_once_a_second_for_any_number_of_callers() {
    let Pair(app, _other) = Pair::start().await;
    let pings = async || {
        let metrics = app.get("/metrics").await.text;
        let line = "lso_redis_call_duration_seconds_count{call=\"ping\"} ";
        metrics.lines().find_map(|found| found.strip_prefix(line)?.parse::<u64>().ok()).unwrap_or_default()
    };
    let (before, started) = (pings().await, std::time::Instant::now());
    for path in ["/health", "/health/ready"] {
        let answers = join_all((0..100).map(|_| app.get(path))).await;
        assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    }
    let bound = started.elapsed().as_secs() + 1;
    let after = pings().await;
    assert!(after - before <= bound, "{before} {after}");
}
