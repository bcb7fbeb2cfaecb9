//! Instances of the service in this process, each on a port of its own.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use livekit_api::access_token::AccessToken;
use livestream_orchestrator::{
    app::App,
    settings::{AdmissionArguments, Arguments, Settings},
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    DEADLINE,
    servers::{KEY, SECRET},
    sse::Events,
    unique, within,
};

/// Everybody may do everything, as often as they like: what most tests are not about.
pub fn open_door() -> AdmissionArguments {
    let off = || Some("off".to_owned());
    AdmissionArguments {
        auth: off(),
        rate_limit_read: off(),
        rate_limit_write: off(),
        rate_limit_join: off(),
        ..AdmissionArguments::default()
    }
}

/// One running instance.
pub struct TestApp {
    pub base: String,
    pub grpc: String,
    /// Where `/metrics` is, if it has an address of its own.
    pub metrics: Option<String>,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

/// What an instance is started with.
#[derive(Clone)]
pub struct Setup {
    pub arguments: Arguments,
    /// Off, what the feed loses stays lost: for showing that a test would see it.
    pub repair: bool,
    /// How late LiveKit's lists are taken to be.
    pub listing_grace: Duration,
}

impl Setup {
    /// On this Redis and LiveKit, with a key prefix of its own.
    pub fn new(redis: &str, livekit: &str) -> Self {
        Self {
            arguments: Arguments {
                livekit_url: Some(livekit.to_owned()),
                livekit_api_key: Some(KEY.to_owned()),
                livekit_api_secret: Some(SECRET.into()),
                redis_url: Some(redis.into()),
                redis_prefix: Some(unique("test")),
                host: Some("127.0.0.1".to_owned()),
                port: Some("0".to_owned()),
                grpc_port: Some("0".to_owned()),
                drain_timeout: Some("5s".to_owned()),
                admission: open_door(),
                ..Arguments::default()
            },
            repair: true,
            // Most tests post webhooks of participants that LiveKit never had: no list of its corrects them.
            listing_grace: Duration::from_secs(3_600),
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Arguments)) -> Self {
        change(&mut self.arguments);
        self
    }

    pub fn settings(&self) -> Settings {
        let mut settings = self.arguments.clone().check().unwrap();
        settings.relay.repair = self.repair;
        settings.policy.listing_grace = self.listing_grace;
        settings
    }

    pub async fn start(&self) -> TestApp {
        TestApp::start(self.settings()).await
    }
}

impl TestApp {
    pub async fn start(settings: Settings) -> Self {
        super::choose_crypto();
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

    /// Waits until it is ready, or until it is not.
    pub async fn until_ready(&self, wanted: bool) {
        super::eventually("readiness to change", || async {
            (self.is_ready().await == wanted).then_some(())
        })
        .await;
    }

    /// Ends it as SIGTERM would.
    pub async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        within("the end of an instance", self.running).await.unwrap();
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, path);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        Answer::of(request.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// Creates a stream and gives its document.
    pub async fn create(&self, body: Value) -> Value {
        self.post("/streams", body).await.expect(StatusCode::CREATED)
    }

    /// Follows an event stream.
    pub async fn follow(&self, path: &str) -> Events {
        Events::open(&self.base, path, None).await
    }

    pub async fn resume(&self, path: &str, last_event_id: &str) -> Events {
        Events::open(&self.base, path, Some(last_event_id)).await
    }

    /// Posts a webhook as LiveKit would, signed.
    pub async fn webhook(&self, event: &Value) -> Answer {
        let body = event.to_string();
        let request =
            self.request(Method::POST, "/webhooks/livekit").header("authorization", sign_webhook(&body));
        let request = request.header("content-type", "application/webhook+json").body(body);
        Answer::of(request.send().await.unwrap()).await
    }
}

/// An answer that has been read.
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        Self { status, headers, body: serde_json::from_str(&text).unwrap_or_default(), text }
    }

    /// The body of an answer that must have this status.
    #[track_caller]
    pub fn expect(self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// Checks that this is a problem document with this status and code.
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

/// What LiveKit says in `Authorization` of a webhook with this body.
pub fn sign_webhook(body: &str) -> String {
    let hash = STANDARD.encode(Sha256::digest(body));
    let token = AccessToken::with_api_key(KEY, SECRET).with_ttl(Duration::from_secs(300));
    token.with_sha256(&hash).to_jwt().unwrap()
}

/// A `participant_joined` or `participant_left` as LiveKit sends it.
pub fn participant_event(event: &str, stream: &Value, identity: &str, sid: &str) -> Value {
    json!({
        "event": event, "id": unique("EV"), "createdAt": "1795000000",
        "room": {"sid": stream["roomSid"], "name": stream["roomName"]},
        "participant": {"sid": sid, "identity": identity, "name": identity, "state": "ACTIVE",
            "permission": {"canSubscribe": true, "canPublish": true}},
    })
}
