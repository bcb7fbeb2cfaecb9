//! Clients that mean harm, or are broken: half requests, thousands of them, bodies that never end.
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

const HALF_OPEN: usize = 2_000;

async fn instance() -> (Instance, String) {
    let mut instance = Instance::new(shared_redis(), shared_livekit(), &unique("hostile"));
    instance.start().await;
    let address = instance.address().http;
    (instance, address)
}

async fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap()
}

async fn serves(address: &str) {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
    let created =
        client.post(format!("{address}/streams")).json(&serde_json::json!({})).send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    let listed = client.get(format!("{address}/streams")).send().await.unwrap();
    assert_eq!(listed.status(), StatusCode::OK);
}

#[tokio::test]
async fn incomplete_requests_are_ended_and_block_no_other_request() {
    let (_instance, address) = instance().await;
    let mut half = Vec::new();
    for _ in 0..HALF_OPEN {
        let mut connection = connect(&address).await;
        connection.write_all(b"GET /streams HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
        half.push(connection);
    }
    // One that goes on for as long as it is let.
    let mut dripping = connect(&address).await;
    dripping.write_all(b"POST /streams HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n").await.unwrap();
    let dripping = tokio::spawn(async move {
        let (mut reader, mut writer) = dripping.into_split();
        let mut pace = interval(Duration::from_millis(500));
        let drip = async {
            while writer.write_all(b" ").await.is_ok() {
                pace.tick().await;
            }
        };
        let mut answer = Vec::new();
        tokio::select! {
            () = drip => {}
            _ = reader.read_to_end(&mut answer) => {}
        }
        String::from_utf8_lossy(&answer).into_owned()
    });
    serves(&address).await;
    for mut connection in half {
        let mut rest = Vec::new();
        // An answer or none, but an end.
        let _ = within("the end of a half request", connection.read_to_end(&mut rest)).await;
    }
    let answer = within("the end of a body that drips", dripping).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    serves(&address).await;
}

#[tokio::test]
async fn request_head_above_limit_is_refused() {
    let (_instance, address) = instance().await;
    let long = "a".repeat(300_000);
    for head in [
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n"),
    ] {
        let mut connection = connect(&address).await;
        let mut answer = Vec::new();
        // It may be refused before it has been sent.
        let _ = connection.write_all(head.as_bytes()).await;
        let _ = within("an answer", connection.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    eventually("service", || async {
        serves(&address).await;
        Some(())
    })
    .await;
}

#[tokio::test]
async fn response_headers_do_not_name_server_software() {
    let (_instance, address) = instance().await;
    for path in ["/", "/streams", "/health", "/absent", "/docs", "/openapi.json"] {
        let answer = reqwest::get(format!("{address}{path}")).await.unwrap();
        assert!(
            answer.headers().get("server").is_none() && answer.headers().get("x-powered-by").is_none(),
            "{path}"
        );
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
    }
}
