//! Proxies in the environment of the service.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};

use crate::support::{
    endpoint::TestEndpoint,
    instance::Instance,
    servers::{shared_livekit, shared_redis},
    unique, within,
};

/// Variables that HTTP clients read.
const VARIABLES: [&str; 6] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Starts an instance with a proxy for everything but LiveKit, whose address has no name.
async fn start_with_proxy(address: &str) -> Instance {
    let mut instance = Instance::new(shared_redis(), shared_livekit(), &unique("proxies"))
        .with("WEBHOOK_ALLOW_PRIVATE", "true")
        .with("NO_PROXY", "127.0.0.1");
    for variable in VARIABLES {
        instance = instance.with(variable, address);
    }
    instance.start().await;
    instance
}

#[tokio::test]
async fn proxies_of_the_environment_get_no_delivery() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut instance = start_with_proxy(&format!("http://{}", proxy.local_addr().unwrap())).await;
    let (receiver, tls) = (TestEndpoint::start().await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (client, service) = (Client::new(), instance.address().http);
    let create = async |path: &str, body: Value| {
        let response = client.post(format!("{service}{path}")).json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
    };
    let url = receiver.url.replace("127.0.0.1", "localhost");
    create("/webhook-endpoints", json!({"url": url})).await;
    let url = format!("https://localhost:{}/", tls.local_addr().unwrap().port());
    create("/webhook-endpoints", json!({"url": url})).await;
    create("/streams", json!({})).await;
    receiver.wait_for_kind("stream_created").await;
    within("a connection to the https endpoint", tls.accept()).await.unwrap();
    let accepted = timeout(Duration::ZERO, proxy.accept()).await;
    assert!(accepted.is_err(), "a connection to the proxy: {accepted:?}");
    instance.terminate().await;
}
