//! Connections: limits of time before the first request, and limits of number.
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
    app::TestApp,
    eventually,
    grpc::Client,
    instance::Instance,
    raw_http::{connect, send_raw},
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
pub(super) async fn closed(mut connection: TcpStream) {
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

/// Value of a metric; `None` if it is absent.
fn value(metrics: &str, name: &str) -> Option<u64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn refused_in(metrics: &str, port: &str, reason: &str) -> u64 {
    let name = format!("lso_connections_refused_total{{port=\"{port}\",reason=\"{reason}\"}}");
    // Absent until a connection is refused.
    value(metrics, &name).unwrap_or_default()
}

async fn refused(app: &TestApp, port: &str, reason: &str) -> u64 {
    refused_in(&app.get("/metrics").await.text, port, reason)
}

/// Reports whether the server serves a connection: answers a request, or sends the settings of HTTP/2.
async fn is_served(port: &str, connection: &mut TcpStream) -> bool {
    if port == "http" {
        return request(connection).await.is_some();
    }
    let sent = connection.write_all(HTTP2_PREFACE).await;
    sent.is_ok() && within("settings", connection.read_exact(&mut [0; 9])).await.is_ok()
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
        let mut other = connect_from(Ipv4Addr::new(127, 0, 0, 3), base).await;
        assert!(is_served(port, &mut other).await, "another address at {port}");
        drop(open);
        eventually("a free connection", || async {
            is_served(port, &mut connect_from(client, base).await).await.then_some(())
        })
        .await;
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

/// Opens silent connections from many addresses, so that the limit of an address is not reached.
async fn connect_silently(base: &str, count: u8) -> Vec<TcpStream> {
    join_all(
        (0..count).flat_map(|client| (0..40).map(move |_| connect_from([127, 0, 1, client].into(), base))),
    )
    .await
}

/// Waits for an answer over HTTP and returns its body.
async fn answer(base: &str, path: &str) -> String {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    eventually("an answer over HTTP", || async {
        let answer = client.get(format!("{base}{path}")).send().await.ok()?;
        if answer.status() == StatusCode::OK { answer.text().await.ok() } else { None }
    })
    .await
}

#[tokio::test]
async fn http_answers_while_silent_connections_fill_the_grpc_port() {
    raise_open_files();
    let mut instance = Instance::new(shared_redis(), shared_livekit(), &unique("files")).with_open_files(400);
    instance.start().await;
    let address = instance.address();
    let _silent = connect_silently(&address.grpc, 10).await;
    for path in ["/health/live", "/health/ready", "/streams"] {
        answer(&address.http, path).await;
    }
    let streams = format!("{}/streams", address.http);
    let created = reqwest::Client::new().post(streams).json(&json!({})).send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED, "LiveKit can be called");
    let metrics = answer(&address.http, "/metrics").await;
    assert!(refused_in(&metrics, "grpc", "port") > 0, "the port is full: {metrics}");
    assert_eq!(refused_in(&metrics, "grpc", "address"), 0, "no address is full");
    assert!(value(&metrics, "lso_connections{port=\"grpc\"}") > Some(0), "connections are still open");
}

#[tokio::test]
async fn burst_of_connections_to_http_port_leaves_files_to_the_process() {
    raise_open_files();
    let instance = Instance::new(shared_redis(), shared_livekit(), &unique("burst"));
    let mut instance = instance.with_open_files(400).with_log();
    instance.start().await;
    let address = instance.address();
    let silent = connect_silently(&address.http, 50).await;
    let mut grpc = Client::connect(&address.grpc).await.unwrap();
    let _feed = grpc.subscribe("", "").await.unwrap();
    drop(silent);
    let metrics = answer(&address.http, "/metrics").await;
    assert!(refused_in(&metrics, "http", "port") > 0, "the port is full: {metrics}");
    assert_eq!(refused_in(&metrics, "http", "address"), 0, "no address is full");
    let log = instance.log();
    assert!(log.contains("limits") && !log.contains("Error accepting"), "{log}");
}

#[tokio::test]
async fn response_before_the_end_of_a_chunked_body_closes_the_connection() {
    let Pair(app, _other) = Pair::start().await;
    let body =
        b"POST /absent HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let answers = send_raw(&app.base, body).await;
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers[0].expect_problem(404, "route_not_found");
    assert_eq!(
        answers[0].header("connection").as_deref(),
        Some("close"),
        "the client sends no other request"
    );
}

#[tokio::test]
async fn health_pings_redis_at_most_once_a_second_for_any_number_of_callers() {
    let Pair(app, _other) = Pair::start().await;
    let pings = async || {
        let metrics = app.get("/metrics").await.text;
        value(&metrics, "lso_redis_call_duration_seconds_count{call=\"ping\"}").expect("a ping")
    };
    app.get("/health").await.expect(StatusCode::OK);
    let (before, started) = (pings().await, std::time::Instant::now());
    for path in ["/health", "/health/ready"] {
        let answers = join_all((0..100).map(|_| app.get(path))).await;
        assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    }
    let bound = started.elapsed().as_secs() + 1;
    let after = pings().await;
    assert!(after - before <= bound, "{before} {after}");
}
