//! Ends of connections without an error: at their maximum age, and at the shutdown of their instance.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Pair;
use crate::support::{
    eventually,
    fault_proxy::FaultProxy,
    feed_client::{FeedConnection, Received, Transport},
    instance::{Instance, signal},
    servers::{Redis, shared_livekit, shared_redis},
    unique, within,
};

/// Reads until the disconnect; returns the reason and the reconnect delay in milliseconds.
async fn read_to_end(connection: &mut FeedConnection) -> (Option<String>, Option<u128>) {
    loop {
        match within("the end of a connection", connection.next()).await {
            Received::Event(_) => {}
            Received::Disconnected(delay) => {
                return (connection.end_reason.clone(), delay.map(|delay| delay.as_millis()));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn connection_at_maximum_age_ends_and_resumes_on_another_instance() {
    let Pair(one, two) =
        Pair::with(|arguments| arguments.connection_max_age = Some("400ms".to_owned())).await;
    let stream = one.create(json!({})).await;
    let id = stream["id"].as_str().unwrap();
    for transport in Transport::ALL {
        let mut connection = FeedConnection::open(&(&one).into(), transport, Some(id), None).await.unwrap();
        let (reason, delay) = read_to_end(&mut connection).await;
        assert_eq!(reason.as_deref(), Some("connection_expired"), "{transport:?}");
        assert!(transport == Transport::Grpc || delay.is_some_and(|delay| (1_000..3_000).contains(&delay)));
        let path = format!("/streams/{id}");
        one.patch(&path, json!({"metadata": {"n": unique("n")}})).await.expect(StatusCode::OK);
        let mut connection =
            FeedConnection::open(&(&two).into(), transport, Some(id), Some(&connection.from)).await.unwrap();
        assert!(matches!(within("the change", connection.next()).await, Received::Event(_)));
    }
    let mut states = one.follow(&format!("/sse/{id}/updates")).await;
    let mut last = None;
    while let Some(block) = states.block().await {
        last = Some(block);
    }
    let last = last.unwrap();
    assert_eq!(last.comment.as_deref(), Some("connection_expired"));
    assert!(last.retry.is_some());
}

/// Twenty clients over each transport.
#[tokio::test]
async fn shutdown_spreads_reconnect_delays_of_clients() {
    let mut instance = Instance::new(shared_redis(), shared_livekit(), &unique("test"));
    instance.start().await;
    let mut connections = Vec::new();
    for n in 0..60 {
        let transport = Transport::ALL[n % 3];
        connections.push((
            transport,
            FeedConnection::open(&instance.address(), transport, None, None).await.unwrap(),
        ));
    }
    signal(instance.pid(), "TERM");
    let mut delays = Vec::new();
    for (transport, connection) in &mut connections {
        let (reason, delay) = read_to_end(connection).await;
        assert_eq!(reason.as_deref(), Some("shutting_down"), "{transport:?}");
        delays.extend(delay);
    }
    assert_eq!(delays.len(), 40, "over SSE and WebSocket");
    let quarter = |n: u128| delays.iter().filter(|delay| **delay / 500 == n + 2).count();
    assert_eq!((0..4).map(quarter).sum::<usize>(), 40, "between one and three seconds: {delays:?}");
    assert!((0..4).all(|n| quarter(n) > 0), "spread over this time: {delays:?}");
    instance.wait_for_exit().await;
}

/// The request is answered, new connections are refused, and the process exits in time.
#[tokio::test]
async fn request_received_before_sigterm_is_answered() {
    let mut instance = Instance::new(shared_redis(), shared_livekit(), &unique("test"));
    instance.start().await;
    let address = instance.address().http.strip_prefix("http://").unwrap().to_owned();
    let mut connection = TcpStream::connect(&address).await.unwrap();
    // The body is incomplete when SIGTERM arrives.
    let body = json!({"metadata": {"late": true}}).to_string();
    let (first, rest) = body.split_at(5);
    let head = format!(
        "POST /streams HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    // An interim response proves that the server has read the head (RFC 9110, section 10.1.1).
    let mut interim = vec![0; 25];
    within("an interim answer", connection.read_exact(&mut interim)).await.unwrap();
    assert_eq!(interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.write_all(first.as_bytes()).await.unwrap();
    signal(instance.pid(), "TERM");
    eventually("new connections to be refused", || async {
        TcpStream::connect(&address).await.is_err().then_some(())
    })
    .await;
    connection.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let count = within("the answer", connection.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    drop(connection);
    instance.wait_for_exit().await;
}

/// The request is answered whichever thread has opened the Redis connection that it waits for. Several rounds make all
/// cases likely.
#[tokio::test]
async fn request_waiting_for_redis_at_sigterm_is_answered() {
    let redis = Redis::start();
    for _ in 0..6 {
        let proxy = FaultProxy::start(redis.port).await;
        let mut instance = Instance::new(&proxy.url(), shared_livekit(), &unique("test"));
        instance.start().await;
        let url = format!("{}/streams", instance.address().http);
        let client = reqwest::Client::new();
        let created = client.post(&url).json(&json!({})).send().await.unwrap();
        let created: serde_json::Value = created.json().await.unwrap();
        let url = format!("{url}/{}", created["id"].as_str().unwrap());
        // Concurrent requests make every thread of the instance open its connections.
        let read = async || assert!(client.get(&url).send().await.unwrap().status().is_success());
        join_all((0..64).map(|_| read())).await;
        drop(client);
        proxy.hold("held back");
        let patch = reqwest::Client::new().patch(&url).json(&json!({"metadata": {"text": "held back"}}));
        let answer = tokio::spawn(patch.send());
        eventually("the held request", || async { (proxy.held_count() > 0).then_some(()) }).await;
        signal(instance.pid(), "TERM");
        let address = instance.address().http.strip_prefix("http://").unwrap().to_owned();
        eventually("new connections to be refused", || async {
            TcpStream::connect(&address).await.is_err().then_some(())
        })
        .await;
        proxy.release();
        let answer = within("the answer", answer).await.unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.text().await);
        instance.wait_for_exit().await;
    }
}
