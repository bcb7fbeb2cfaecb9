//! Incomplete, endless and oversized requests, in large numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use reqwest::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::interval,
};

use crate::support::{
    eventually,
    instance::Instance,
    servers::{shared_livekit, shared_redis},
    unique, within,
};

const INCOMPLETE_REQUESTS: usize = 2_000;

async fn start_instance() -> (Instance, String) {
    let mut instance = Instance::new(shared_redis(), shared_livekit(), &unique("malformed"));
    instance.start().await;
    let address = instance.address().http;
    (instance, address)
}

async fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap()
}

/// Checks that the instance creates and lists streams within 20 s.
async fn assert_serves(address: &str) {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
    let created =
        client.post(format!("{address}/streams")).json(&serde_json::json!({})).send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    let listed = client.get(format!("{address}/streams")).send().await.unwrap();
    assert_eq!(listed.status(), StatusCode::OK);
}

#[tokio::test]
async fn incomplete_requests_are_ended_and_block_no_other_request() {
    let (_instance, address) = start_instance().await;
    let mut incomplete = Vec::new();
    for _ in 0..INCOMPLETE_REQUESTS {
        let mut connection = connect(&address).await;
        connection.write_all(b"GET /streams HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.unwrap();
        incomplete.push(connection);
    }
    // A body that is sent one byte at a time until the server ends the connection.
    let mut slow_body = connect(&address).await;
    let head = b"POST /streams HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: 1000\r\n\r\n";
    slow_body.write_all(head).await.unwrap();
    let slow_body = tokio::spawn(async move {
        let (mut reader, mut writer) = slow_body.into_split();
        let mut pace = interval(Duration::from_millis(500));
        let send = async {
            while writer.write_all(b" ").await.is_ok() {
                pace.tick().await;
            }
        };
        let mut answer = Vec::new();
        tokio::select! {
            () = send => {}
            _ = reader.read_to_end(&mut answer) => {}
        }
        String::from_utf8_lossy(&answer).into_owned()
    });
    assert_serves(&address).await;
    for mut connection in incomplete {
        let mut response = Vec::new();
        // The server may send a response before it closes the connection.
        let _ = within("the end of an incomplete request", connection.read_to_end(&mut response)).await;
    }
    let answer = within("the end of the slow body", slow_body).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_serves(&address).await;
}

#[tokio::test]
async fn request_head_above_limit_is_refused() {
    let (_instance, address) = start_instance().await;
    let long = "a".repeat(300_000);
    for head in [
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n"),
    ] {
        let mut connection = connect(&address).await;
        let mut answer = Vec::new();
        // The server may close the connection before all bytes are sent.
        let _ = connection.write_all(head.as_bytes()).await;
        let _ = within("an answer", connection.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    eventually("service", || async {
        assert_serves(&address).await;
        Some(())
    })
    .await;
}

#[tokio::test]
async fn response_headers_do_not_name_server_software() {
    let (_instance, address) = start_instance().await;
    for path in ["/", "/streams", "/health", "/absent", "/docs", "/openapi.json"] {
        let answer = reqwest::get(format!("{address}{path}")).await.unwrap();
        assert!(
            answer.headers().get("server").is_none() && answer.headers().get("x-powered-by").is_none(),
            "{path}"
        );
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
    }
}
