//! Rate limits and limits on open feeds, over two instances.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::future::join_all;
use livekit_api::access_token::{AccessToken, VideoGrants};
use livestream_orchestrator::settings::Arguments;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio_tungstenite::{connect_async, tungstenite::Error};
use tonic::Code;

use super::Pair;
use crate::support::{
    app::{Setup, TestApp, TestResponse},
    eventually,
    grpc::Client,
    servers::{KEY, Redis, SECRET, shared_livekit},
};

/// Two instances with these hourly limits, which do not refill during a test.
async fn start_limited(read: &str, write: &str, change: impl FnOnce(&mut Arguments)) -> Pair {
    Pair::with(|arguments| {
        arguments.admission.rate_limit_read = Some(read.to_owned());
        arguments.admission.rate_limit_write = Some(write.to_owned());
        arguments.admission.rate_limit_join = Some("1/h".to_owned());
        change(arguments);
    })
    .await
}

/// Lists streams with an `X-Forwarded-For` header.
async fn list_forwarded(app: &TestApp, forwarded: &str) -> TestResponse {
    let request = app.request(Method::GET, "/streams").header("x-forwarded-for", forwarded);
    TestResponse::read(request.send().await.unwrap()).await
}

/// Value of a numeric header.
fn number(answer: &TestResponse, name: &str) -> u64 {
    answer.header(name).unwrap_or_else(|| panic!("no header {name}")).parse().unwrap()
}

#[tokio::test]
async fn rate_limit_is_exact_and_shared_and_reported_in_headers() {
    let Pair(one, two) = start_limited("5/h", "3/h", |_| {}).await;
    for (app, left) in [&one, &two, &one, &two, &one].into_iter().zip([4, 3, 2, 1, 0]) {
        let answer = app.get("/streams").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!((number(&answer, "ratelimit-limit"), number(&answer, "ratelimit-remaining")), (5, left));
        // At five an hour, one request is available again after 12 minutes.
        let used = 5 - left;
        assert!((720 * used - 60..=720 * used).contains(&number(&answer, "ratelimit-reset")));
    }
    for app in [&one, &two] {
        let answer = app.get("/streams").await;
        let wait = number(&answer, "retry-after");
        assert!((660..=720).contains(&wait), "one request is available after 12 minutes: {wait}");
        assert_eq!((number(&answer, "ratelimit-limit"), number(&answer, "ratelimit-remaining")), (5, 0));
        answer.expect_problem(429, "rate_limited");
    }
    let metrics = two.get("/metrics").await.text;
    assert!(metrics.contains("lso_rate_limited_total{budget=\"read\"} 1"), "{metrics}");

    // Each class has its own limit.
    let stream = one.create(json!({})).await;
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    two.post(&format!("{path}/join"), json!({"identity": "ann"})).await.expect(StatusCode::OK);
    one.post(&format!("{path}/join"), json!({"identity": "ann"})).await.expect_problem(429, "rate_limited");
    two.patch(&path, json!({"metadata": {}})).await.expect(StatusCode::OK);
    one.delete(&path).await.expect(StatusCode::OK);
    two.delete(&path).await.expect_problem(429, "rate_limited");
    // Requests outside the API are not counted.
    one.get("/health").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn concurrent_requests_pass_exactly_up_to_rate_limit() {
    let Pair(one, two) = start_limited("10/h", "off", |_| {}).await;
    let calls = (0..60).map(|n| if n % 2 == 0 { one.get("/streams") } else { two.get("/streams") });
    let answers = join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == StatusCode::OK).count(), 10);
    assert_eq!(answers.iter().filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS).count(), 50);
}

#[tokio::test]
async fn forwarded_address_counts_only_from_trusted_proxy() {
    let Pair(app, _other) = start_limited("2/h", "off", |_| {}).await;
    for n in 0..2 {
        list_forwarded(&app, &format!("203.0.113.{n}")).await.expect(StatusCode::OK);
    }
    list_forwarded(&app, "203.0.113.9").await.expect_problem(429, "rate_limited");

    let trusting =
        |arguments: &mut Arguments| arguments.admission.trusted_proxies = Some("127.0.0.1".to_owned());
    let Pair(app, _other) = start_limited("2/h", "off", trusting).await;
    for n in 0..2 {
        // The client sends the first address, the proxy appends the second.
        list_forwarded(&app, &format!("198.51.100.{n}, 203.0.113.1")).await.expect(StatusCode::OK);
    }
    list_forwarded(&app, "198.51.100.9, 203.0.113.1").await.expect_problem(429, "rate_limited");
    list_forwarded(&app, "203.0.113.2").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn rate_limit_is_per_token_identity() {
    let authenticating = |arguments: &mut Arguments| arguments.admission.auth = Some("livekit".to_owned());
    let Pair(app, _other) = start_limited("2/h", "off", authenticating).await;
    let list = |identity: &str| {
        let grants = VideoGrants { room_list: true, ..VideoGrants::default() };
        let token = AccessToken::with_api_key(KEY, SECRET).with_identity(identity).with_grants(grants);
        let bearer = format!("Bearer {}", token.to_jwt().unwrap());
        let request = app.request(Method::GET, "/streams").header("authorization", bearer);
        async move { TestResponse::read(request.send().await.unwrap()).await }
    };
    for _ in 0..2 {
        list("ann").await.expect(StatusCode::OK);
    }
    list("ann").await.expect_problem(429, "rate_limited");
    list("bob").await.expect(StatusCode::OK);
    // Requests without a token are counted by address.
    for _ in 0..2 {
        app.get("/streams").await.expect_problem(401, "unauthenticated");
    }
    app.get("/streams").await.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn rate_limit_without_redis_refuses_no_request() {
    let mut redis = Redis::start();
    let setup = Setup::new(&redis.url(), shared_livekit())
        .with(|arguments| arguments.admission.rate_limit_read = Some("1/h".to_owned()));
    let app = setup.start().await;
    redis.kill();
    for _ in 0..2 {
        app.get("/streams").await.expect_problem(503, "store_unavailable");
    }
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("lso_rate_limit_failures_total 2"), "{metrics}");
}

#[tokio::test]
async fn open_feeds_are_limited_per_caller_and_in_total() {
    let trusting = |arguments: &mut Arguments| {
        arguments.admission.max_feeds = Some("3".to_owned());
        arguments.admission.max_feeds_per_caller = Some("2".to_owned());
        arguments.admission.trusted_proxies = Some("127.0.0.1".to_owned());
    };
    let Pair(app, _other) = Pair::with(trusting).await;
    let first = app.follow("/events").await;
    let ws = format!("{}/ws", app.base.replacen("http", "ws", 1));
    let second = connect_async(&ws).await.unwrap();
    let answer = app.get("/events").await;
    assert_eq!(number(&answer, "retry-after"), 1);
    answer.expect_problem(503, "too_many_feeds");
    let Err(Error::Http(refused)) = connect_async(&ws).await else {
        panic!("the connection exceeds the limit")
    };
    assert_eq!(refused.status(), 503);

    // Another caller gets the last place.
    let follow =
        |address: &'static str| app.request(Method::GET, "/events").header("x-forwarded-for", address).send();
    let third = follow("203.0.113.1").await.unwrap();
    assert_eq!(third.status(), StatusCode::OK);
    assert_eq!(follow("203.0.113.2").await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    // Feeds are accepted again after others have closed.
    drop((first, second));
    eventually("a free place", || async {
        (follow("203.0.113.2").await.ok()?.status() == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn refused_tokens_count_against_rate_limit_on_every_transport() {
    let authenticating = |arguments: &mut Arguments| arguments.admission.auth = Some("livekit".to_owned());
    let Pair(one, two) = start_limited("3/h", "off", authenticating).await;
    for n in 0..2 {
        let mut client = Client::of(&one).await.with_token(&format!("guess-{n}"));
        assert_eq!(client.state("absent").await.unwrap_err().code(), Code::Unauthenticated);
    }
    two.get("/streams").await.expect_problem(401, "unauthenticated");
    let mut client = Client::of(&two).await.with_token("another guess");
    assert_eq!(client.state("absent").await.unwrap_err().code(), Code::ResourceExhausted);
    one.get("/streams").await.expect_problem(429, "rate_limited");
}
