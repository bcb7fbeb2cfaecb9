//! The client of endpoints with real receivers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use livestream_orchestrator::delivery::{
    AddressPolicy, Answer, EndpointClient, Failure, HttpEndpointClient, Message, Resolve,
};
use tokio::time::Instant;
use url::Url;

use crate::support::{
    endpoint::{Reply, TestEndpoint},
    install_crypto_provider,
};

/// A resolver of literal addresses.
struct Literal;

#[async_trait]
impl Resolve for Literal {
    async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Ok(vec![SocketAddr::new(host.parse::<IpAddr>().unwrap(), port)])
    }
}

async fn post(receiver: &TestEndpoint) -> Answer {
    install_crypto_provider();
    let client = HttpEndpointClient::new(Arc::new(Literal), AddressPolicy { allows_private: true }, 1);
    let message = Message { id: "msg".into(), timestamp: 1, signature: "v1,x".into(), body: Bytes::new() };
    client.post(&Url::parse(&receiver.url).unwrap(), message).await
}

#[tokio::test]
async fn retry_after_of_an_answer_is_returned() {
    for (headers, expected) in [
        ("retry-after: 60\r\n", Some(60)),
        ("Retry-After: 999999\r\n", Some(999_999)),
        ("", None),
        ("retry-after: soon\r\n", None),
    ] {
        let receiver = TestEndpoint::with(move |_| Reply::Status(503, headers)).await;
        let retry_after = expected.map(Duration::from_secs);
        assert_eq!(post(&receiver).await, Answer::Status { status: 503, retry_after }, "{headers}");
    }
}

#[tokio::test]
async fn redirect_is_returned_and_not_followed() {
    let target = TestEndpoint::start().await;
    let location: &'static str = format!("location: {}\r\n", target.url).leak();
    let receiver = TestEndpoint::with(move |_| Reply::Status(307, location)).await;
    assert_eq!(post(&receiver).await.status(), Some(307));
    assert!(target.received().is_empty());
}

#[tokio::test(start_paused = true)]
async fn attempt_without_answer_ends_after_15_seconds() {
    let receiver = TestEndpoint::with(|_| Reply::Hang).await;
    let started = Instant::now();
    assert_eq!(post(&receiver).await, Answer::Failed(Failure::Timeout));
    assert_eq!(started.elapsed().as_secs(), 15, "of the paused clock");
}
