//! Nothing that an instance prints holds a token or a secret: not its log at its most talkative, not its metrics, not an
//! error, not its help.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livekit_api::access_token::{AccessToken, VideoGrants};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;

use crate::support::{
    app::sign_webhook,
    feed_client::Address,
    grpc::{Client, subscribe_request},
    instance::Instance,
    servers::{KEY, Redis, run, shared_livekit},
    sse::EventStream,
    tokens::jwt,
    unique,
};

/// As long as it is, nothing else holds it by chance.
const SECOND_SECRET: &str = "a-secret-that-nobody-else-has";
const REDIS_PASSWORD: &str = "a-password-that-nobody-else-has";

fn token(room: &str, key: &str, secret: &str, ttl: Duration) -> String {
    let grants = VideoGrants {
        room_create: true,
        room_list: true,
        room_admin: true,
        room: room.to_owned(),
        ..VideoGrants::default()
    };
    let token = AccessToken::with_api_key(key, secret).with_identity("backend").with_ttl(ttl);
    token.with_grants(grants).to_jwt().unwrap()
}

/// An instance that is used in every way that shows it a token, and all that it answers.
struct Talk {
    address: Address,
    client: reqwest::Client,
    printed: String,
}

impl Talk {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address.http)
    }

    async fn call(&mut self, method: Method, path: &str, bearer: &str, body: Value) -> Value {
        let request = self.client.request(method, self.url(path)).header("idempotency-key", unique("key"));
        let answer =
            request.header("authorization", format!("Bearer {bearer}")).json(&body).send().await.unwrap();
        let headers = format!("{:?}", answer.headers());
        let text = answer.text().await.unwrap();
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        self.printed += &headers;
        // A join token is what a caller of `join` has asked for.
        if json["token"].is_null() {
            self.printed += &text;
        }
        json
    }

    async fn get(&mut self, path: &str) {
        let answer = self.client.get(self.url(path)).send().await.unwrap();
        self.printed += &format!("{:?}", answer.headers());
        self.printed += &answer.text().await.unwrap();
    }

    async fn follow(&mut self, bearer: &str) {
        for path in [
            "/events?streamId=room",
            "/events?limit=nonsense",
            "/sse/room/updates?x=1",
            "/events?streamId=absent",
        ] {
            let events =
                EventStream::open(&self.address.http, &format!("{path}&access_token={bearer}"), None).await;
            self.printed += &format!("{:?}", events.headers);
        }
        // Refused or not: both are to be logged.
        let _ = connect_async(format!(
            "{}/ws?access_token={bearer}",
            self.address.http.replacen("http", "ws", 1)
        ))
        .await;
        let mut grpc = Client::connect(&self.address.grpc).await.unwrap().with_token(bearer);
        self.printed += &format!("{:?}", grpc.call(subscribe_request("absent", "")).await.err());
        for path in ["/streams", "/health", "/absent", "/", "/docs"] {
            // Where a token does not belong.
            self.get(&format!("{path}?access_token={bearer}")).await;
        }
    }

    async fn post_webhook(&mut self, signature: &str, body: String) {
        let request = self.client.post(self.url("/webhook")).header("authorization", signature).body(body);
        self.printed += &request.send().await.unwrap().text().await.unwrap();
    }
}

#[tokio::test]
async fn outputs_contain_no_token_or_secret() {
    let mut redis = Redis::start();
    run("redis-cli", &["-p", &redis.port.to_string(), "config", "set", "requirepass", REDIS_PASSWORD], "");
    let redis_url = format!("redis://:{REDIS_PASSWORD}@127.0.0.1:{}/0", redis.port);
    let mut instance = Instance::new(&redis_url, shared_livekit(), &unique("secrets"))
        .with("AUTH", "livekit")
        .with("LIVEKIT_API_KEYS", &format!("second: {SECOND_SECRET}"))
        .with("RUST_LOG", "trace")
        .with_log();
    instance.start().await;
    let good = token("room", "second", SECOND_SECRET, Duration::from_secs(60));
    let forged = token("room", KEY, "not the secret at all", Duration::from_secs(60));
    let late = jwt(&json!({"iss": "second", "exp": 1_000_000_000}), "HS256", SECOND_SECRET);
    let mut talk =
        Talk { address: instance.address(), client: reqwest::Client::new(), printed: String::new() };

    let made = talk.call(Method::POST, "/streams", &good, json!({"roomName": "room"})).await;
    assert_eq!(made["status"], "active");
    let joined = talk.call(Method::POST, "/streams/room/join", &good, json!({"identity": "ann"})).await;
    for bearer in [&forged, &late, "nonsense"] {
        talk.call(Method::GET, "/streams", bearer, json!({})).await;
    }
    talk.follow(&good).await;
    talk.follow(&forged).await;
    let webhook = json!({"event": "room_started", "room": {"sid": "RM_1", "name": "room"}}).to_string();
    let signature = sign_webhook(&webhook);
    talk.post_webhook(&signature, webhook).await;
    talk.get("/metrics").await;
    for command in [&["--help"][..], &["check"], &["--version"]] {
        talk.printed += &instance.run_command(command).await.1;
    }
    let wrong = ["--redis-url", "redis://", "--livekit-api-keys", SECOND_SECRET];
    let (_, refused) = instance.run_command(&wrong).await;
    assert!(refused.contains("LIVEKIT_API_KEYS"), "{refused}");
    talk.printed += &refused;
    redis.kill();
    talk.call(Method::POST, "/streams", &good, json!({})).await;
    talk.get("/health").await;
    instance.terminate().await;
    let printed = talk.printed + &instance.log();

    assert!(printed.contains("shutting down") && printed.contains("TRACE"), "the log is there");
    assert!(printed.contains("/events"), "and says which routes were asked for");
    let join_token = joined["token"].as_str().unwrap();
    for secret in [SECOND_SECRET, REDIS_PASSWORD, &good, &forged, &late, join_token, &signature] {
        // Also in parts: the signature of a token is enough of it.
        for part in secret.split('.').filter(|part| part.len() > 20) {
            let at = printed.find(part).unwrap_or_default();
            assert_eq!(at, 0, "a secret was printed after: {}", &printed[at.saturating_sub(300)..at]);
        }
    }
}
