//! Instances of the service in the test process, each on its own ports.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use livekit_api::access_token::AccessToken;
use livestream_orchestrator::{
    app::App,
    domain::{Partition, Partitioning},
    orchestrator::EGRESS_END_TIMEOUT,
    settings::{AdmissionArguments, Arguments, Settings},
    store::redis::hash_tag,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    DEADLINE,
    servers::{KEY, SECRET},
    sse::EventStream,
    unique, within,
};

/// Admission without authentication and rate limits, for tests of other subjects.
pub fn unrestricted_admission() -> AdmissionArguments {
    let off = || Some("off".to_owned());
    AdmissionArguments {
        auth: off(),
        rate_limit_read: off(),
        rate_limit_write: off(),
        rate_limit_join: off(),
        ..AdmissionArguments::default()
    }
}

/// The number of partitions in the environment, with which a suite is run again.
pub fn test_partitions() -> Option<String> {
    std::env::var("TEST_REDIS_PARTITIONS").ok()
}

/// The partitions in the environment.
pub fn test_partitioning() -> Partitioning {
    let count = test_partitions().map_or(1, |count| count.parse().unwrap());
    Partitioning::new(count).unwrap()
}

/// Returns what the keys begin with that an instance with a key prefix has in one of its partitions.
pub fn key_prefix(prefix: &str, partition: impl Fn(Partitioning) -> Partition) -> String {
    let partitioning = test_partitioning();
    format!("{{{}}}:", hash_tag(prefix, partition(partitioning), partitioning))
}

/// A running instance.
pub struct TestApp {
    pub base: String,
    pub grpc: String,
    /// Base URL of `/metrics` if `METRICS_ADDR` is set.
    pub metrics: Option<String>,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

/// Settings of an instance.
#[derive(Clone)]
pub struct Setup {
    pub arguments: Arguments,
    /// Repairs gaps of the feed from the log. Control runs disable it to prove that a test detects loss.
    pub repair: bool,
    /// Assumed maximum delay of LiveKit's lists.
    pub listing_grace: Duration,
    /// Time in which a recording that ends must report its end.
    pub egress_end_timeout: Duration,
}

impl Setup {
    /// Uses these servers and a unique key prefix.
    pub fn new(redis: &str, livekit: &str) -> Self {
        Self {
            arguments: Arguments {
                livekit_url: Some(livekit.to_owned()),
                livekit_api_key: Some(KEY.to_owned()),
                livekit_api_secret: Some(SECRET.into()),
                redis_url: Some(redis.into()),
                redis_prefix: Some(unique("test")),
                redis_partitions: test_partitions(),
                host: Some("127.0.0.1".to_owned()),
                port: Some("0".to_owned()),
                grpc_port: Some("0".to_owned()),
                drain_timeout: Some("5s".to_owned()),
                admission: unrestricted_admission(),
                ..Arguments::default()
            },
            repair: true,
            // Most tests post webhooks about participants that LiveKit does not have. No list may correct them.
            listing_grace: Duration::from_secs(3_600),
            egress_end_timeout: EGRESS_END_TIMEOUT,
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Arguments)) -> Self {
        change(&mut self.arguments);
        self
    }

    pub fn settings(&self) -> Settings {
        let mut settings = self.arguments.clone().validate().unwrap();
        settings.relay.repair = self.repair;
        settings.policy.listing_grace = self.listing_grace;
        settings.policy.egress_end_timeout = self.egress_end_timeout;
        settings
    }

    pub async fn start(&self) -> TestApp {
        TestApp::start(self.settings()).await
    }
}

impl TestApp {
    pub async fn start(settings: Settings) -> Self {
        super::install_crypto_provider();
        let app = App::build(settings).await.unwrap();
        let base = format!("http://{}", app.address().unwrap());
        let grpc = format!("http://{}", app.grpc_address().unwrap());
        let metrics = app.metrics_address().map(|address| format!("http://{address}"));
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            app.run_until(async {
                let _ = stopped.await;
            })
            .await
            .unwrap();
        });
        let client = Client::builder().timeout(DEADLINE).build().unwrap();
        let app = Self { base, grpc, metrics, client, stop: Some(stop), running };
        super::eventually("readiness", || async {
            let answer = app.request(Method::GET, "/health/ready").send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        app
    }

    pub async fn is_ready(&self) -> bool {
        self.get("/health/ready").await.status == StatusCode::OK
    }

    /// Waits until readiness has this value. An instance that waits for partitions is ready, but not for this method.
    pub async fn wait_until_ready(&self, wanted: bool) {
        super::eventually("readiness to change", || async {
            let waiting = self.get("/health").await.body["waitingPartitions"].clone();
            let is_waiting = waiting.as_array().is_some_and(|partitions| !partitions.is_empty());
            (self.is_ready().await == wanted && !(wanted && is_waiting)).then_some(())
        })
        .await;
    }

    /// Shuts the instance down as SIGTERM does.
    pub async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        within("the end of an instance", self.running).await.unwrap();
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> TestResponse {
        let request = self.request(method, path);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        TestResponse::read(request.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> TestResponse {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> TestResponse {
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> TestResponse {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> TestResponse {
        self.send(Method::DELETE, path, None).await
    }

    /// Creates a stream and returns its document.
    pub async fn create(&self, body: Value) -> Value {
        self.post("/streams", body).await.expect(StatusCode::CREATED)
    }

    /// Repeats a request until the store is available.
    ///
    /// [`Self::wait_until_ready`] can return before an outage of a moment ago was noticed.
    pub async fn send_when_available(&self, method: Method, path: &str, body: Value) -> TestResponse {
        super::eventually("the store", || async {
            let response = self.send(method.clone(), path, Some(body.clone())).await;
            (response.status != StatusCode::SERVICE_UNAVAILABLE).then_some(response)
        })
        .await
    }

    /// Opens an SSE feed.
    pub async fn follow(&self, path: &str) -> EventStream {
        EventStream::open(&self.base, path, None).await
    }

    /// Opens an SSE feed with `Last-Event-ID`.
    pub async fn resume(&self, path: &str, last_event_id: &str) -> EventStream {
        EventStream::open(&self.base, path, Some(last_event_id)).await
    }

    /// Posts a webhook with LiveKit's signature and content type.
    pub async fn webhook(&self, event: &Value) -> TestResponse {
        let body = event.to_string();
        let request =
            self.request(Method::POST, "/webhooks/livekit").header("authorization", sign_webhook(&body));
        let request = request.header("content-type", "application/webhook+json").body(body);
        TestResponse::read(request.send().await.unwrap()).await
    }
}

/// A response whose body has been read. `body` is null if the text is not JSON.
pub struct TestResponse {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl TestResponse {
    pub async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        Self { status, headers, body: serde_json::from_str(&text).unwrap_or_default(), text }
    }

    /// Checks the status and returns the body.
    #[track_caller]
    pub fn expect(self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// Checks that the response is a problem document with this status and code, and returns it.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status.as_u16(), self.body["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.body["status"], status);
        assert!(
            self.body["title"].is_string()
                && self.body["detail"].is_string()
                && self.body["type"].is_string()
        );
        assert!(self.header("x-request-id").is_some());
        self.body
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Returns LiveKit's `Authorization` header for a webhook with this body.
pub fn sign_webhook(body: &str) -> String {
    let hash = STANDARD.encode(Sha256::digest(body));
    let token = AccessToken::with_api_key(KEY, SECRET).with_ttl(Duration::from_secs(300));
    token.with_sha256(&hash).to_jwt().unwrap()
}

/// A `participant_joined` or `participant_left` webhook as LiveKit sends it.
pub fn participant_webhook(event: &str, stream: &Value, identity: &str, sid: &str) -> Value {
    json!({
        "event": event, "id": unique("EV"), "createdAt": "1795000000",
        "room": {"sid": stream["roomSid"], "name": stream["roomName"]},
        "participant": {"sid": sid, "identity": identity, "name": identity, "state": "ACTIVE",
            "permission": {"canSubscribe": true, "canPublish": true}},
    })
}
