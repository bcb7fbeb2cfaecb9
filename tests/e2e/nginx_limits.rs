//! The limit of the shipped nginx configuration on the requests and feeds of one address.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr};

use futures_util::future::join_all;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tonic::{Code, transport::Channel};

use crate::support::{
    eventually, grpc,
    instance::Instance,
    nginx::Nginx,
    servers::{shared_livekit, shared_redis},
    unique, within,
};

const LIMIT: usize = 10;
/// A load balancer in front of nginx, which names its client.
const BALANCER: [u8; 4] = [127, 0, 0, 9];

struct Fixture {
    nginx: Nginx,
    _instance: Instance,
}

impl Fixture {
    async fn start() -> Self {
        let mut instance = Instance::new(shared_redis(), shared_livekit(), &unique("nginx"));
        instance.start().await;
        let nginx = Nginx::prepare().with_limit_of_address(LIMIT);
        let mut nginx = nginx.with_http_options("set_real_ip_from 127.0.0.9;\nreal_ip_header X-Real-IP;");
        nginx.start(std::slice::from_ref(&instance));
        Self { nginx, _instance: instance }
    }

    /// Opens a feed from this address, on a connection of its own.
    async fn feed(&self, from: [u8; 4], real_ip: &str) -> Response {
        let client = Client::builder().local_address(Some(from.into())).build().unwrap();
        let request = client.get(format!("http://127.0.0.1:{}/events", self.nginx.http));
        within("a response", request.header("x-real-ip", real_ip).send()).await.unwrap()
    }

    async fn fill(&self, from: [u8; 4], real_ip: impl Fn(usize) -> String) -> Vec<Response> {
        let feeds = join_all((1..=LIMIT).map(|n| {
            let real_ip = real_ip(n);
            async move { self.feed(from, &real_ip).await }
        }));
        let feeds = feeds.await;
        assert!(feeds.iter().all(|feed| feed.status() == StatusCode::OK));
        feeds
    }
}

#[tokio::test]
async fn address_over_its_limit_at_nginx_is_refused_until_a_feed_ends() {
    let fixture = Fixture::start().await;
    let feeds = fixture.fill([127, 0, 0, 1], |_| String::new()).await;
    let refused = fixture.feed([127, 0, 0, 1], "192.0.2.1").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.headers().get_all("x-request-id").iter().count(), 1);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&json!("too_many_connections"), &json!(429)));
    assert_eq!(fixture.feed([127, 0, 0, 2], "").await.status(), StatusCode::OK, "another address");
    drop(feeds);
    eventually("a free place", || async {
        (fixture.feed([127, 0, 0, 1], "").await.status() == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn limit_of_address_at_nginx_counts_networks_of_ipv6_and_mapped_addresses_of_ipv4() {
    let fixture = Fixture::start().await;
    let _network = fixture.fill(BALANCER, |n| format!("2001:db8:1:2::{n}")).await;
    let _mapped = fixture.fill(BALANCER, |_| "::ffff:192.0.2.1".to_owned()).await;
    for (real_ip, expected) in [
        ("2001:db8:1:2:ffff::1", StatusCode::TOO_MANY_REQUESTS),
        ("2001:db8:1:3::1", StatusCode::OK),
        ("192.0.2.1", StatusCode::TOO_MANY_REQUESTS),
        ("::ffff:192.0.2.2", StatusCode::OK),
    ] {
        assert_eq!(fixture.feed(BALANCER, real_ip).await.status(), expected, "{real_ip}");
    }
}

#[tokio::test]
async fn limit_of_address_at_nginx_counts_calls_of_one_grpc_connection() {
    let fixture = Fixture::start().await;
    let connect = async |client: [u8; 4]| {
        let channel = Channel::from_shared(fixture.nginx.address().grpc).unwrap();
        let channel = channel.local_address(Some(IpAddr::from(Ipv4Addr::from(client))));
        grpc::Client::on(channel.connect().await.unwrap())
    };
    let mut client = connect([127, 0, 0, 3]).await;
    let mut feeds = Vec::new();
    for _ in 0..LIMIT {
        feeds.push(client.subscribe("", "").await.unwrap());
    }
    assert_eq!(client.subscribe("", "").await.unwrap_err().code(), Code::ResourceExhausted);
    connect([127, 0, 0, 4]).await.subscribe("", "").await.unwrap();
}
