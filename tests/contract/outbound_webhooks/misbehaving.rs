//! Endpoints that hang, fail, redirect, or change their addresses, beside one that does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use livestream_orchestrator::{
    delivery::{AddressPolicy, EndpointClient, HttpEndpointClient, Resolve},
    domain::{Endpoint, Partition, Partitioning},
    store::LogBounds,
};
use serde_json::Value;
use url::Url;

use super::fixture::{Fixture, new_endpoint};
use crate::support::{
    endpoint::{Reply, TestEndpoint},
    eventually, install_crypto_provider,
};

/// Address of cloud providers' metadata services.
const METADATA_SERVICE: &str = "169.254.169.254:80";
/// Streams that are created while the other endpoints misbehave.
const STREAMS: usize = 40;

/// A resolver of names and of literal addresses, which keeps what it was asked for.
#[derive(Default)]
struct Names {
    addresses: Mutex<BTreeMap<String, SocketAddr>>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        let literal = host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port));
        let address = self.addresses.lock().unwrap().get(host).copied().or(literal);
        Ok(address.into_iter().collect())
    }
}

impl Names {
    fn set(&self, host: &str, address: &str) {
        self.addresses.lock().unwrap().insert(host.to_owned(), address.parse().unwrap());
    }

    fn was_asked_for(&self, host: &str) -> bool {
        self.asked.lock().unwrap().iter().any(|asked| asked == host)
    }
}

/// An endpoint at a name that leads to a receiver.
async fn add(fixture: &Fixture, names: &Names, name: &str, receiver: &TestEndpoint) -> Endpoint {
    let address = receiver.url.strip_prefix("http://").unwrap().strip_suffix("/hook").unwrap();
    names.set(name, address);
    let endpoint =
        Endpoint { url: format!("http://{name}/hook"), ..new_endpoint(fixture.endpoint.enabled_at) };
    fixture.directory.add(&endpoint).await.unwrap();
    endpoint
}

async fn last_failure(fixture: &Fixture, endpoint: &Endpoint) -> Option<String> {
    let record = fixture.record(endpoint).await?;
    let position: Value = serde_json::from_str(&record.fields["position"]).unwrap();
    Some(position["lastFailure"].as_str()?.to_owned())
}

#[tokio::test]
async fn misbehaving_endpoints_hold_up_no_other_and_lead_to_no_forbidden_address() {
    install_crypto_provider();
    let (names, fixture) = (Arc::new(Names::default()), Fixture::start(LogBounds::DEFAULT, 200).await);
    fixture.directory.remove(&fixture.endpoint.id).await.unwrap();
    let client = HttpEndpointClient::new(names.clone(), AddressPolicy { allows_private: true }, 1);
    let client = Arc::new(client);
    let [up, rebound] = [TestEndpoint::start().await, TestEndpoint::start().await];
    let hanging = TestEndpoint::with(|_| Reply::Hang).await;
    let failing = TestEndpoint::with(|_| Reply::Status(500, "")).await;
    let location = "location: http://169.254.169.254/latest\r\n";
    let redirecting = TestEndpoint::with(move |_| Reply::Status(307, location)).await;
    let mut endpoints = Vec::new();
    for (name, receiver) in [
        ("up.example", &up),
        ("hangs.example", &hanging),
        ("fails.example", &failing),
        ("redirects.example", &redirecting),
        ("changes.example", &rebound),
    ] {
        endpoints.push(add(&fixture, &names, name, receiver).await);
        assert_eq!(client.check(&Url::parse(&endpoints.last().unwrap().url).unwrap()).await, Ok(()));
    }
    let rebinding = endpoints.pop().unwrap();
    names.set("changes.example", METADATA_SERVICE);
    let sender = fixture.start_sender_with(client, Partitioning::SINGLE, Partition::FIRST);
    for endpoint in endpoints.iter().chain([&rebinding]) {
        fixture.wait_for_position(endpoint).await;
    }
    for n in 0..STREAMS {
        fixture.backend.create(&format!("room-{n}")).await;
    }
    up.wait_for("all events", |received| received.len() == STREAMS).await;
    for receiver in [&hanging, &failing, &redirecting] {
        receiver.wait_for("an attempt", |received| !received.is_empty()).await;
    }
    eventually("the refusal of the changed address", || async {
        let failure = last_failure(&fixture, &rebinding).await?;
        (failure == "forbidden_address").then_some(())
    })
    .await;
    assert!(rebound.received().is_empty(), "the name leads elsewhere now");
    assert!(!names.was_asked_for("169.254.169.254"), "no redirect is followed");
    sender.stop().await;
}
