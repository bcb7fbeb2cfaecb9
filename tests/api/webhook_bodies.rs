//! Bodies of webhooks: what unsigned and stalled ones cost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Pair, connections::closed};
use crate::support::{
    app::sign_webhook,
    instance::Instance,
    raw_http::connect,
    servers::{shared_livekit, shared_redis},
    unique, within,
};

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
    assert!(count("503") > 0, "within the bound, until the limit of time: {refused:?}");
    let accepted =
        app.request(reqwest::Method::POST, "/webhooks/livekit").header("authorization", authorization);
    assert_eq!(accepted.body(body).send().await.unwrap().status(), StatusCode::OK);
}
