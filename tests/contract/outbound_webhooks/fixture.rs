//! A store on a clock that the test moves, a webhook sender, and a client whose answers the test decides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use livestream_orchestrator::{
    delivery::{Answer, EndpointClient, Message, UrlError, signature::generate_secret},
    domain::{
        Change, Endpoint, EndpointFilter, EndpointSecrets, Metadata, Partition, Partitioning, StreamId,
        StreamRef, Timestamp,
    },
    followers::PastEvents,
    outbound_webhooks::{AllPermits, Directory, SenderContext, WebhookSender},
    store::{FollowerRecord, LogBounds, Retention, memory::MemoryStore},
    telemetry::Metrics,
};
use serde_json::Value;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::super::backend::{Backend, RETENTION};
use crate::support::{endpoint::Received, eventually};

/// Retention of streams: longer than the schedule of attempts.
const LIVE: Duration = Duration::from_secs(100 * 3_600);

/// Decides which deliveries never end.
type Hangs = dyn Fn(&Value) -> bool + Send + Sync;

/// A client whose answers a test decides.
pub struct FakeClient {
    pub status: AtomicUsize,
    /// Deliveries that never end.
    hangs: Mutex<Arc<Hangs>>,
    received: Mutex<Vec<Received>>,
}

#[async_trait]
impl EndpointClient for FakeClient {
    async fn check(&self, _: &Url) -> Result<(), UrlError> {
        Ok(())
    }

    async fn post(&self, _: &Url, message: Message) -> Answer {
        let Message { id, timestamp, signature, body } = message;
        let body = String::from_utf8(body.to_vec()).unwrap();
        let received = Received { id, timestamp, signature, body, at: Instant::now() };
        self.received.lock().unwrap().push(received.clone());
        let hangs = self.hangs.lock().unwrap().clone();
        if hangs(&received.json()) {
            std::future::pending::<()>().await;
        }
        let status = u16::try_from(self.status.load(Ordering::Relaxed)).unwrap();
        Answer::Status { status, retry_after: None }
    }
}

impl FakeClient {
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub fn bodies(&self) -> Vec<Value> {
        self.received().iter().map(Received::json).collect()
    }

    /// Lets deliveries hang from now on.
    pub fn hang(&self, hangs: impl Fn(&Value) -> bool + Send + Sync + 'static) {
        *self.hangs.lock().unwrap() = Arc::new(hangs);
    }

    /// Returns the rooms of the delivered streams.
    pub fn rooms(&self) -> Vec<String> {
        let room = |body: &Value| Some(body["data"]["stream"]["roomName"].as_str()?.to_owned());
        self.bodies().iter().filter_map(room).collect()
    }
}

/// A sender that runs in the background.
pub struct RunningSender {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl RunningSender {
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

/// A store on a clock that the test moves, with one endpoint.
pub struct Fixture {
    pub backend: Backend,
    /// The stores of all partitions, of which `backend` is the first.
    pub backends: Vec<Backend>,
    ahead_ms: Arc<AtomicI64>,
    pub client: Arc<FakeClient>,
    pub directory: Directory,
    pub endpoint: Endpoint,
    /// The history of the deployment.
    pub past: Option<Arc<dyn PastEvents>>,
}

/// An endpoint of all streams, enabled at this time.
pub fn new_endpoint(now: Timestamp) -> Endpoint {
    Endpoint {
        id: StreamId::generate().into(),
        url: "https://example.com/".to_owned(),
        filter: EndpointFilter::default(),
        metadata: Metadata::default(),
        secrets: EndpointSecrets::new(generate_secret().unwrap()),
        created_at: Some(now),
        enabled_at: now,
        disabled: None,
        rotated_by: None,
    }
}

impl Fixture {
    pub async fn start(log: LogBounds, status: usize) -> Self {
        Self::start_partitioned(log, status, Partitioning::SINGLE).await
    }

    pub async fn start_partitioned(log: LogBounds, status: usize, partitioning: Partitioning) -> Self {
        let ahead_ms = Arc::new(AtomicI64::new(0));
        let ahead = ahead_ms.clone();
        let clock = Arc::new(move || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap() + ahead.load(Ordering::Relaxed))
        });
        let retention = Retention { log, live: LIVE, ..RETENTION };
        let store = |_| Backend::of(Arc::new(MemoryStore::new(retention, clock.clone())));
        let backends: Vec<_> = partitioning.all().map(store).collect();
        let backend = backends[0].clone();
        let directory = Directory::new(backend.webhook_endpoints.clone(), Vec::new());
        let now = backend.followed[0].now().await.unwrap();
        let endpoint = new_endpoint(now);
        directory.add(&endpoint).await.unwrap();
        let hangs = Mutex::new(Arc::new(|_: &Value| false) as Arc<Hangs>);
        let client = FakeClient { status: AtomicUsize::new(status), hangs, received: Mutex::default() };
        let client = Arc::new(client);
        Self { backend, backends, ahead_ms, client, directory, endpoint, past: None }
    }

    /// Starts the sender of one of the partitions.
    pub fn start_sender(&self, partitioning: Partitioning, number: Partition) -> RunningSender {
        self.start_sender_with(self.client.clone(), partitioning, number)
    }

    /// Starts a sender with another client.
    pub fn start_sender_with(
        &self,
        client: Arc<dyn EndpointClient>,
        partitioning: Partitioning,
        number: Partition,
    ) -> RunningSender {
        let metrics = Arc::new(Metrics::new().unwrap());
        let permits = Arc::new(AllPermits::new(usize::MAX));
        let directory = self.directory.clone();
        let shared = SenderContext::new(directory, client, permits, partitioning, self.past.clone(), metrics);
        let backend = self.backends.get(number.index()).unwrap_or(&self.backend);
        let sender = WebhookSender::new(shared, backend.followed[0].clone(), number);
        let shutdown = CancellationToken::new();
        let ended = shutdown.clone();
        let task = tokio::spawn(async move { sender.run(ended).await });
        RunningSender { shutdown, task }
    }

    /// Runs a sender until a condition is met, and shuts it down.
    pub async fn run_until<F: Future<Output = Option<()>>>(&self, what: &str, is_met: impl FnMut() -> F) {
        let sender = self.start_sender(Partitioning::SINGLE, Partition::FIRST);
        eventually(what, is_met).await;
        sender.stop().await;
    }

    /// Returns the record of an endpoint's position.
    pub async fn record(&self, endpoint: &Endpoint) -> Option<FollowerRecord> {
        self.backend.followed[0].follower(endpoint.id.as_str()).await.unwrap()
    }

    /// Waits until the sender has begun to follow for an endpoint.
    pub async fn wait_for_position(&self, endpoint: &Endpoint) {
        eventually("a position", || async { self.record(endpoint).await.map(drop) }).await;
    }

    /// Records the position of the endpoint.
    pub async fn begin(&self) {
        self.run_until("the position", || async {
            self.backend.followed[0].follower(self.endpoint.id.as_str()).await.unwrap().map(drop)
        })
        .await;
    }

    pub async fn run_until_received(&self, count: usize) {
        let is_received = || async move { (self.client.bodies().len() >= count).then_some(()) };
        self.run_until("the attempts", is_received).await;
    }

    /// Returns the failed attempts of the only stream that is behind, and the seconds until the next one.
    pub async fn waiting(&self) -> (i64, i64) {
        let record = self.backend.followed[0].follower(self.endpoint.id.as_str()).await.unwrap().unwrap();
        let (_, text) = record.fields.iter().find(|(name, _)| name.starts_with("stream:")).unwrap();
        let numbers: Vec<i64> = text.split(' ').skip(1).take(2).map(|text| text.parse().unwrap()).collect();
        let now = self.backend.followed[0].now().await.unwrap();
        (numbers[0], (numbers[1] - now.as_millis()) / 1_000)
    }

    pub fn advance(&self, seconds: i64) {
        self.ahead_ms.fetch_add(seconds * 1_000, Ordering::Relaxed);
    }

    /// Changes the metadata for the `n`th time, from 1.
    pub async fn change(&self, stream: &StreamRef, n: usize) {
        Self::change_in(&self.backend, stream, n).await;
    }

    /// As [`Self::change`], in another partition.
    pub async fn change_in(backend: &Backend, stream: &StreamRef, n: usize) {
        let numbered = |n| Metadata::parse(&format!(r#"{{"n":{n}}}"#)).unwrap();
        let expected = if n == 1 { Metadata::default() } else { numbered(n - 1) };
        backend.change(stream, Change::SetMetadata { metadata: numbered(n), expected }).await;
    }
}
