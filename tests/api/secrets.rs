//! No output of an instance contains a token or a secret: neither the log at trace level nor metrics, errors, responses
//! and command output.
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
    livekit_workers::LiveKitWorkers,
    servers::{KEY, LiveKit, Redis, free_port, run},
    sse::EventStream,
    tokens::jwt,
    unique,
};

/// Long enough that no output contains it by chance.
const SECOND_SECRET: &str = "a-unique-secret-of-this-test";
const URL_PASSWORD: &str = "a-unique-password-in-a-url";
/// Stream keys in addresses of broadcasts.
const STREAM_KEYS: [&str; 3] = [
    "a-unique-first-stream-key-of-a-test",
    "a-unique-second-stream-key-of-a-test",
    "a-unique-password-of-an-rtmp-server",
];
const STORAGE_SECRET: &str = "a-unique-storage-secret-of-this-test";
const REDIS_PASSWORD: &str = "a-unique-password-of-this-test";

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

/// Sends tokens to an instance on every route and collects its responses.
struct Session {
    address: Address,
    client: reqwest::Client,
    output: String,
}

impl Session {
    /// Posts a webhook about an ingress, which has its key.
    async fn post_ingress_webhook(&mut self, ingress: &Value) {
        let started = json!({"event": "ingress_started", "id": "EV_1", "ingressInfo": {
            "ingressId": ingress["ingressId"], "streamKey": ingress["streamKey"], "roomName": "room",
            "participantIdentity": "obs",
            "state": {"status": "ENDPOINT_PUBLISHING", "updatedAt": "1795000001000000000"}}})
        .to_string();
        self.post_webhook(&sign_webhook(&started), started).await;
    }

    /// Creates an ingress of each kind. No worker pulls the second.
    async fn create_ingresses(&mut self, valid: &str) -> Value {
        let ingress = json!({"type": "rtmp", "identity": "obs"});
        let ingress = self.call(Method::POST, "/streams/room/ingresses", valid, ingress).await;
        let source = format!("https://bob:{URL_PASSWORD}@a.example/x?key={URL_PASSWORD}");
        let pull = json!({"type": "url", "identity": "pull", "url": source});
        assert_eq!(self.call(Method::POST, "/streams/room/ingresses", valid, pull).await["status"], 503);
        ingress
    }

    /// Starts a broadcast and changes its addresses, also with bodies that are refused.
    async fn broadcast(&mut self, valid: &str) {
        let [first, second, password] = STREAM_KEYS;
        let first = format!("rtmp://a.example.com/live/{first}");
        let second = format!("rtmps://bob:{password}@b.example.com/app/{second}?token={second}");
        let addresses = json!({"rtmp": [first, second]});
        let made = self.call(Method::POST, "/streams/room/broadcasts", valid, addresses).await;
        let id = made["broadcastId"].as_str().unwrap();
        let path = format!("/streams/room/broadcasts/{id}");
        for body in [
            json!({"remove": [second]}),
            json!({"add": [second]}),
            json!({"add": [second], "remove": [second]}),
            json!({"add": [format!("http:{second}")], "remove": [format!("x{first}")]}),
        ] {
            self.call(Method::PATCH, &path, valid, body).await;
        }
        let results = json!([
            {"url": first, "status": "FAILED", "error": format!("no connection to {first}")},
            {"url": second, "status": "ACTIVE"}]);
        let ended = json!({"event": "egress_ended", "id": "EV_2", "egressInfo": {
            "egressId": id, "roomName": "room", "status": "EGRESS_FAILED", "error": format!("no {first} and {second}"),
            "updatedAt": "1795000001000000000", "streamResults": results,
            "roomComposite": {"roomName": "room", "streamOutputs": [{"urls": [first, second]}]}}})
        .to_string();
        self.post_webhook(&sign_webhook(&ended), ended).await;
        for (method, path) in [
            (Method::GET, path.as_str()),
            (Method::GET, "/streams/room/broadcasts"),
            (Method::DELETE, path.as_str()),
        ] {
            self.call(method, path, valid, json!({})).await;
        }
        let recorded = self.call(Method::POST, "/streams/room/recordings", valid, json!({})).await;
        assert!(recorded["recordingId"].is_string(), "{recorded}");
    }

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
        self.output += &headers;
        // The responses of `join` and to the creation of an ingress contain a secret by design.
        if json["token"].is_null() && json["streamKey"].is_null() {
            self.output += &text;
        }
        json
    }

    async fn get(&mut self, path: &str) {
        let answer = self.client.get(self.url(path)).send().await.unwrap();
        self.output += &format!("{:?}", answer.headers());
        self.output += &answer.text().await.unwrap();
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
            self.output += &format!("{:?}", events.headers);
        }
        // Accepted and refused connections are both logged.
        let _ = connect_async(format!(
            "{}/ws?access_token={bearer}",
            self.address.http.replacen("http", "ws", 1)
        ))
        .await;
        let mut grpc = Client::connect(&self.address.grpc).await.unwrap().with_token(bearer);
        self.output += &format!("{:?}", grpc.call(subscribe_request("absent", "")).await.err());
        for path in ["/streams", "/health", "/absent", "/", "/docs"] {
            // These routes do not accept a token in the query.
            self.get(&format!("{path}?access_token={bearer}")).await;
        }
    }

    async fn post_webhook(&mut self, signature: &str, body: String) {
        let request = self.client.post(self.url("/webhook")).header("authorization", signature).body(body);
        self.output += &request.send().await.unwrap().text().await.unwrap();
    }
}

async fn start_instance(redis_url: &str, livekit: &LiveKit) -> Instance {
    let mut instance = Instance::new(redis_url, &livekit.url(), &unique("secrets"))
        .with("AUTH", "livekit")
        .with("LIVEKIT_API_KEYS", &format!("second: {SECOND_SECRET}"))
        .with("EGRESS_STORAGE_URL", "s3://bucket/prefix")
        .with("EGRESS_STORAGE_ACCESS_KEY", "store-key")
        .with("EGRESS_STORAGE_SECRET", STORAGE_SECRET)
        .with("RUST_LOG", "trace")
        .with_log();
    instance.start().await;
    instance
}

#[tokio::test]
async fn outputs_contain_no_token_or_secret() {
    let mut redis = Redis::start();
    run("redis-cli", &["-p", &redis.port.to_string(), "config", "set", "requirepass", REDIS_PASSWORD], "");
    let redis_url = format!("redis://:{REDIS_PASSWORD}@127.0.0.1:{}/0", redis.port);
    let own_redis = Redis::start();
    let livekit = LiveKit::start_with_redis(None, &own_redis, free_port());
    let _workers = LiveKitWorkers::start_with(&livekit, &own_redis, &["--ingress=false"]);
    let mut instance = start_instance(&redis_url, &livekit).await;
    let valid = token("room", "second", SECOND_SECRET, Duration::from_secs(60));
    let forged = token("room", KEY, "not the secret at all", Duration::from_secs(60));
    let expired = jwt(&json!({"iss": "second", "exp": 1_000_000_000}), "HS256", SECOND_SECRET);
    let mut session =
        Session { address: instance.address(), client: reqwest::Client::new(), output: String::new() };

    let made = session.call(Method::POST, "/streams", &valid, json!({"roomName": "room"})).await;
    assert_eq!(made["status"], "active");
    let joined = session.call(Method::POST, "/streams/room/join", &valid, json!({"identity": "ann"})).await;
    for bearer in [&forged, &expired, "nonsense"] {
        session.call(Method::GET, "/streams", bearer, json!({})).await;
    }
    let ingress = session.create_ingresses(&valid).await;
    let stream_key = ingress["streamKey"].as_str().unwrap();
    session.call(Method::GET, "/streams/room/ingresses", &valid, json!({})).await;
    session.broadcast(&valid).await;
    session.call(Method::GET, "/events/room?limit=1000", &valid, json!({})).await;
    session.follow(&valid).await;
    session.follow(&forged).await;
    let webhook = json!({"event": "room_started", "room": {"sid": "RM_1", "name": "room"}}).to_string();
    let signature = sign_webhook(&webhook);
    session.post_webhook(&signature, webhook).await;
    session.post_ingress_webhook(&ingress).await;
    session.get("/metrics").await;
    for command in [&["--help"][..], &["check"], &["--version"]] {
        session.output += &instance.run_command(command).await.1;
    }
    let wrong = ["--redis-url", "redis://", "--livekit-api-keys", SECOND_SECRET];
    let (_, refused) = instance.run_command(&wrong).await;
    assert!(refused.contains("LIVEKIT_API_KEYS"), "{refused}");
    session.output += &refused;
    redis.kill();
    session.call(Method::POST, "/streams", &valid, json!({})).await;
    session.get("/health").await;
    instance.terminate().await;
    let output = session.output + &instance.log();

    assert!(output.contains("shutting down") && output.contains("TRACE"), "the log is complete");
    assert!(output.contains("/events"), "the log contains the routes");
    let join_token = joined["token"].as_str().unwrap();
    let given =
        [SECOND_SECRET, REDIS_PASSWORD, URL_PASSWORD, &valid, &forged, &expired, join_token, &signature];
    for secret in given.into_iter().chain(STREAM_KEYS).chain([STORAGE_SECRET]) {
        // The parts of a token count as well, for example its signature.
        for part in secret.split('.').filter(|part| part.len() > 20) {
            let at = output.find(part).unwrap_or_default();
            assert_eq!(at, 0, "a secret follows: {}", &output[at.saturating_sub(300)..at]);
        }
    }
    // A key has fewer characters.
    assert!(stream_key.len() >= 8 && !output.contains(stream_key), "the stream key is in the output");
}
