//! The webhook sender on a moved clock, over restarts, and after a loss of events; the client and changing names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use livestream_orchestrator::{
    delivery::{
        AddressPolicy, Answer, EndpointClient, Failure, HttpEndpointClient, Message, Resolve, UrlError,
        signature::generate_secret,
    },
    domain::{
        Change, DisabledReason, Endpoint, EndpointFilter, EndpointSecrets, Metadata, Partition, StreamId,
        StreamRef, Timestamp,
    },
    outbound_webhooks::{Directory, SenderContext, WebhookSender},
    store::{LogBounds, Retention, memory::MemoryStore},
    telemetry::Metrics,
};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::backend::{Backend, RETENTION};
use crate::support::{eventually, install_crypto_provider};

/// Delays of the schedule, in seconds.
const DELAYS: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// A client whose answers a test decides.
struct FakeClient {
    status: AtomicUsize,
    bodies: Mutex<Vec<Value>>,
}

#[async_trait]
impl EndpointClient for FakeClient {
    async fn check(&self, _: &Url) -> Result<(), UrlError> {
        Ok(())
    }

    async fn post(&self, _: &Url, message: Message) -> Answer {
        self.bodies.lock().unwrap().push(serde_json::from_slice(&message.body).unwrap());
        let status = u16::try_from(self.status.load(Ordering::Relaxed)).unwrap();
        Answer::Status { status, retry_after: None }
    }
}

impl FakeClient {
    fn bodies(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().clone()
    }
}

/// A store on a clock that the test moves, with one endpoint.
struct Fixture {
    backend: Backend,
    ahead_ms: Arc<AtomicI64>,
    client: Arc<FakeClient>,
    directory: Directory,
    endpoint: Endpoint,
}

impl Fixture {
    async fn start(log: LogBounds, status: usize) -> Self {
        let ahead_ms = Arc::new(AtomicI64::new(0));
        let ahead = ahead_ms.clone();
        let clock = move || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap() + ahead.load(Ordering::Relaxed))
        };
        let store = Arc::new(MemoryStore::new(Retention { log, ..RETENTION }, Arc::new(clock)));
        let backend = Backend::of(store);
        let directory = Directory::new(backend.webhook_endpoints.clone(), Vec::new());
        let now = backend.followed[0].now().await.unwrap();
        let endpoint = Endpoint {
            id: StreamId::generate().into(),
            url: "https://example.com/".to_owned(),
            filter: EndpointFilter::default(),
            metadata: Metadata::default(),
            secrets: EndpointSecrets { current: generate_secret().unwrap(), previous: None },
            created_at: Some(now),
            enabled_at: now,
            disabled: None,
            rotated_by: None,
        };
        directory.add(&endpoint).await.unwrap();
        let client = Arc::new(FakeClient { status: AtomicUsize::new(status), bodies: Mutex::default() });
        Self { backend, ahead_ms, client, directory, endpoint }
    }

    /// Runs a sender until a condition is met, and shuts it down.
    async fn run_until<F: Future<Output = Option<()>>>(&self, what: &str, is_met: impl FnMut() -> F) {
        let metrics = Arc::new(Metrics::new().unwrap());
        let shared = SenderContext::new(self.directory.clone(), self.client.clone(), metrics);
        let sender = WebhookSender::new(shared, self.backend.followed[0].clone(), Partition::FIRST);
        let shutdown = CancellationToken::new();
        let ended = shutdown.clone();
        let running = tokio::spawn(async move { sender.run(ended).await });
        eventually(what, is_met).await;
        shutdown.cancel();
        running.await.unwrap();
    }

    /// Records the position of the endpoint.
    async fn begin(&self) {
        self.run_until("the position", || async {
            self.backend.followed[0].follower(self.endpoint.id.as_str()).await.unwrap().map(drop)
        })
        .await;
    }

    async fn run_until_received(&self, count: usize) {
        let is_received = || async move { (self.client.bodies().len() >= count).then_some(()) };
        self.run_until("the attempts", is_received).await;
    }

    /// Returns the failed attempts of the only stream that is behind, and the seconds until the next one.
    async fn waiting(&self) -> (i64, i64) {
        let record = self.backend.followed[0].follower(self.endpoint.id.as_str()).await.unwrap().unwrap();
        let (_, text) = record.fields.iter().find(|(name, _)| name.starts_with("stream:")).unwrap();
        let numbers: Vec<i64> = text.split(' ').skip(1).take(2).map(|text| text.parse().unwrap()).collect();
        let now = self.backend.followed[0].now().await.unwrap();
        (numbers[0], (numbers[1] - now.as_millis()) / 1_000)
    }

    fn advance(&self, seconds: i64) {
        self.ahead_ms.fetch_add(seconds * 1_000, Ordering::Relaxed);
    }

    /// Changes the metadata for the `n`th time, from 1.
    async fn change(&self, stream: &StreamRef, n: usize) {
        let numbered = |n| Metadata::parse(&format!(r#"{{"n":{n}}}"#)).unwrap();
        let expected = if n == 1 { Metadata::default() } else { numbered(n - 1) };
        self.backend.change(stream, Change::SetMetadata { metadata: numbered(n), expected }).await;
    }
}

#[tokio::test]
async fn schedule_survives_restarts_and_ends_with_the_endpoint_disabled() {
    let fixture = Fixture::start(LogBounds::DEFAULT, 500).await;
    fixture.begin().await;
    fixture.backend.create("waits").await;
    for (failed, delay) in DELAYS.into_iter().enumerate() {
        fixture.run_until_received(failed + 1).await;
        let (attempts, seconds) = fixture.waiting().await;
        assert_eq!(attempts, i64::try_from(failed).unwrap() + 1);
        assert!((delay - 5..=delay * 6 / 5).contains(&seconds), "{seconds} s instead of {delay}");
        fixture.advance(delay * 6 / 5 + 1);
    }
    fixture.run_until_received(10).await;
    let disabled = fixture.directory.find(&fixture.endpoint.id).await.unwrap().endpoint.disabled;
    assert_eq!(disabled.unwrap().0, DisabledReason::Exhausted);
    assert!(fixture.client.bodies().iter().all(|body| body["type"] == "stream_created"));
    // The position is kept: everything follows once the endpoint is enabled.
    fixture.client.status.store(200, Ordering::Relaxed);
    fixture.backend.create("later").await;
    let enable = |endpoint: &mut Endpoint| {
        (endpoint.disabled, endpoint.enabled_at) = (None, Timestamp::from_millis(i64::MAX));
        Ok(true)
    };
    fixture.directory.change(&fixture.endpoint.id, enable).await.unwrap();
    fixture.run_until_received(12).await;
    let rooms = fixture.client.bodies();
    let rooms: Vec<_> = rooms[10..].iter().map(|body| body["data"]["stream"]["roomName"].clone()).collect();
    assert!(rooms.contains(&"waits".into()) && rooms.contains(&"later".into()), "{rooms:?}");
}

#[tokio::test]
async fn endpoint_that_was_away_for_longer_than_the_log_gets_a_reset_first() {
    let bounds =
        LogBounds { retention: Duration::from_millis(1), min_events: 2, max_events: 20, max_bytes: 40_000 };
    let fixture = Fixture::start(bounds, 200).await;
    fixture.begin().await;
    let stream = fixture.backend.create("busy").await.reference();
    for n in 1..=600 {
        fixture.change(&stream, n).await;
    }
    fixture.run_until_received(1).await;
    let reset = fixture.client.bodies()[0].clone();
    assert_eq!((&reset["type"], &reset["reason"]), (&"reset".into(), &"cursor_expired".into()));
    assert!(reset["cursor"].is_string() && reset.get("snapshot").is_none(), "{reset}");
    fixture.change(&stream, 601).await;
    fixture.run_until_received(2).await;
    let bodies = fixture.client.bodies();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[1]["data"]["stream"]["metadata"]["n"], 601);
}

/// A name that leads elsewhere from the second lookup on.
struct ChangingName {
    lookups: AtomicUsize,
    addresses: [SocketAddr; 2],
}

#[async_trait]
impl Resolve for ChangingName {
    async fn resolve(&self, _: &str, _: u16) -> std::io::Result<Vec<SocketAddr>> {
        let lookup = self.lookups.fetch_add(1, Ordering::Relaxed);
        Ok(vec![self.addresses[lookup.min(1)]])
    }
}

#[tokio::test]
async fn name_that_changes_to_a_forbidden_address_after_the_check_is_not_connected_to() {
    install_crypto_provider();
    let local = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = ["93.184.216.34:80".parse().unwrap(), local.local_addr().unwrap()];
    let resolver = Arc::new(ChangingName { lookups: AtomicUsize::new(0), addresses });
    let client = HttpEndpointClient::new(resolver, AddressPolicy { allows_private: false });
    let url = Url::parse("http://rebinding.example.com/hook").unwrap();
    assert_eq!(client.check(&url).await, Ok(()));
    let message = Message { id: "msg".into(), timestamp: 1, signature: "v1,x".into(), body: Bytes::new() };
    assert_eq!(client.post(&url, message).await, Answer::Failed(Failure::ForbiddenAddress));
    let accepted = tokio::time::timeout(Duration::ZERO, local.accept()).await;
    assert!(accepted.is_err(), "no connection was made");
}
