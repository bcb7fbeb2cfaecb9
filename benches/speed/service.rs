//! The service under test, with a Redis server of its own.

use std::{io::PipeWriter, net::SocketAddr, ops::Range, sync::Arc, time::Duration};

use livestream_orchestrator::{
    domain::{
        Attributes, Audience, Change, Identity, InitialAudience, Metadata, ParticipantKind, Role, RoomName,
        Session, StreamId, StreamRef, Tracks, stream::NewStream,
    },
    store::{
        COUNT_INTERVAL, CreateOutcome, Guard, LogBounds, Retention, Store,
        redis::{Address, RedisStore},
    },
    telemetry::Metrics,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{
    http::post,
    process::ProcessGroup,
    sse_clients::MARKER,
    statistics::now,
    support::{app::sign_webhook, instance::Instance, servers::Redis, unique},
};

const DAY: Duration = Duration::from_secs(86_400);
const ROOM_SID: &str = "RM_bench";

/// Settings on which the measurements depend.
#[derive(Clone, Copy)]
pub struct Deployment {
    /// Persistence arguments of Redis.
    redis: &'static [&'static str],
    /// `RUST_LOG`; empty for the default filter.
    log: &'static str,
}

const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "everysec"];

impl Deployment {
    /// As in docker-compose.yml: Redis persists changes, and the service logs at its default level.
    pub const DEPLOYED: Self = Self { redis: DURABLE, log: "" };
    /// Without persistence and almost without a log.
    pub const BARE: Self = Self { redis: &[], log: "error" };
    /// As deployed, without a log.
    pub const SILENT: Self = Self { redis: DURABLE, log: "off" };
    /// As deployed, with a log line for each read too.
    pub const VERBOSE: Self = Self { redis: DURABLE, log: "warn,livestream_orchestrator=debug" };

    /// Returns a pipe for the log; a thread reads it to its end.
    fn log_reader() -> PipeWriter {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        writer
    }
}

/// Kind of a stream's audience.
#[derive(Clone, Copy)]
pub enum Mode {
    Listed,
    Counted,
}

impl Mode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Counted => "counted",
        }
    }

    const fn audience(self) -> InitialAudience {
        match self {
            Self::Listed => InitialAudience::LISTED,
            Self::Counted => InitialAudience { audience: Audience::Counted, listed_max: None },
        }
    }
}

/// One instance with its Redis. It has no LiveKit, because no measured request calls LiveKit.
pub struct Service {
    instance: Instance,
    redis: Redis,
    store: Arc<dyn Store>,
    pub address: SocketAddr,
}

impl Service {
    /// Starts an instance without rate limits and without reconciliations.
    pub async fn start(deployment: Deployment) -> Self {
        let (redis, prefix) = (Redis::start_with(deployment.redis), unique("speed"));
        let instance = Instance::new(&redis.url(), "ws://127.0.0.1:9", &prefix);
        let mut instance = instance.with_log_output(Deployment::log_reader());
        for (name, value) in [
            ("MAX_CONNECTIONS", "1000000"),
            ("MAX_CONNECTIONS_PER_ADDRESS", "1000000"),
            ("MAX_FEEDS", "1000000"),
            ("MAX_FEEDS_PER_CALLER", "1000000"),
            ("RECONCILE_INTERVAL", "1h"),
            ("IDLE_TIMEOUT", "0"),
            ("JOINING_TTL", "1h"),
            ("RUST_LOG", deployment.log),
        ] {
            instance = instance.with(name, value);
        }
        instance.start().await;
        // Without a retention time the logs stay at their minimum numbers, so that the measured memory is not theirs.
        let log = LogBounds { retention: Duration::from_millis(1), ..LogBounds::DEFAULT };
        let retention =
            Retention { live: DAY, stopped: DAY, tokens: DAY, log, count_interval: COUNT_INTERVAL };
        let address = Address { url: redis.url().into(), ca: None, identity: None };
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let store = Arc::new(RedisStore::new(&address, &prefix, retention, &metrics).expect("an address"));
        let address = instance.address().http.trim_start_matches("http://").parse().expect("an address");
        Self { instance, redis, store, address }
    }

    /// Starts a service with one active stream.
    pub fn with_stream(deployment: Deployment, runtime: &Runtime) -> (Self, StreamRef) {
        runtime.block_on(async {
            let service = Self::start(deployment).await;
            let stream = service.stream("bench").await;
            (service, stream)
        })
    }

    /// Creates an active listed stream in the store, without a room in LiveKit.
    pub async fn stream(&self, room: &str) -> StreamRef {
        self.stream_of(room, Mode::Listed).await
    }

    /// Creates an active stream in the store, without a room in LiveKit.
    pub async fn stream_of(&self, room: &str, mode: Mode) -> StreamRef {
        let new = NewStream {
            id: StreamId::generate(),
            room_name: RoomName::parse(room).expect("a name"),
            metadata: Metadata::parse(r#"{"title":"A stream"}"#).expect("metadata"),
            max_participants: None,
            idle_after: None,
            audience: mode.audience(),
            backstage: false,
        };
        let Ok(CreateOutcome::Created(stream)) = self.store.create(new).await else {
            panic!("{room} was not created")
        };
        let (stream, room_sid) = (stream.reference(), ROOM_SID.into());
        self.change(&stream, Change::Activate { room_sid }).await;
        stream
    }

    /// Creates a stream for each number, 100 at a time.
    pub async fn streams(&self, numbers: Range<usize>) {
        for start in numbers.clone().step_by(100) {
            let some = (start..numbers.end.min(start + 100)).map(|n| async move {
                self.stream(&format!("many-{n}")).await;
            });
            futures_util::future::join_all(some).await;
        }
    }

    /// Issues a join token for each number.
    pub async fn participants(&self, stream: &StreamRef, numbers: Range<usize>) {
        for n in numbers {
            self.change(stream, issue(&format!("person-{n}"), Role::Host)).await;
        }
    }

    /// Connects a viewer for each number, 100 at a time.
    pub async fn viewers(&self, stream: &StreamRef, numbers: Range<usize>) {
        for start in numbers.clone().step_by(100) {
            let connect = |n| self.change(stream, Change::Connect(session(n)));
            futures_util::future::join_all((start..numbers.end.min(start + 100)).map(connect)).await;
        }
    }

    /// Makes a visit for each number, `at_once` of them at the same time: a token, a connection and a departure.
    pub async fn visits(&self, stream: &StreamRef, numbers: Range<usize>, at_once: usize) {
        for start in numbers.clone().step_by(at_once) {
            let some = (start..numbers.end.min(start + at_once)).map(|n| self.visit(stream, n));
            futures_util::future::join_all(some).await;
        }
    }

    async fn visit(&self, stream: &StreamRef, number: usize) {
        let session = session(number);
        let (identity, sid) = (session.identity.clone(), Some(session.sid.clone()));
        self.change(stream, issue(identity.as_str(), Role::Viewer)).await;
        self.change(stream, Change::Connect(session)).await;
        self.change(stream, Change::Disconnect { identity, sid, at: None, reason: None }).await;
    }

    async fn change(&self, stream: &StreamRef, change: Change) {
        self.store.apply(stream, change, Guard::default()).await.expect("a change");
    }

    /// Returns the process of the instance.
    pub fn process(&self) -> ProcessGroup {
        ProcessGroup::of(self.instance.pid())
    }

    /// Returns the bytes that Redis uses (`used_memory`).
    pub async fn redis_memory(&self) -> u64 {
        self.redis.info("used_memory").await.and_then(|bytes| bytes.parse().ok()).expect("a number")
    }

    /// Resets the statistics of [`Self::command_stats`].
    pub async fn reset_command_stats(&self) {
        self.redis.execute(&["CONFIG", "RESETSTAT"]).await.expect("an answer");
    }

    /// Returns each command with its number of calls and its total microseconds.
    pub async fn command_stats(&self) -> Vec<(String, f64, f64)> {
        let info = self.redis.execute(&["INFO", "commandstats"]).await.expect("an answer");
        let info: String = redis::from_redis_value(info).expect("a text");
        let stat = |line: &str| {
            let (command, numbers) = line.strip_prefix("cmdstat_")?.split_once(':')?;
            let number = |name: &str| {
                numbers.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
            };
            Some((command.to_owned(), number("calls")?, number("usec")?))
        };
        info.lines().filter_map(stat).collect()
    }

    /// Returns a subscription to the events of all streams, as an instance with a client of all streams has.
    pub async fn subscription(&self) -> redis::aio::PubSub {
        let client = redis::Client::open(self.redis.url()).expect("an address");
        let mut subscription = client.get_async_pubsub().await.expect("a connection");
        subscription.psubscribe("*:events").await.expect("a subscription");
        subscription
    }

    /// Returns the process of Redis.
    pub fn redis(&self) -> ProcessGroup {
        ProcessGroup::without_children(self.redis.pid())
    }
}

fn issue(identity: &str, role: Role) -> Change {
    Change::IssueToken {
        identity: Identity::parse(identity).expect("an identity"),
        name: None,
        role: Some(role),
        metadata: None,
        attributes: None,
        joining_ttl: DAY,
    }
}

fn viewer_sid(number: usize) -> String {
    format!("PA_viewer_{number}")
}

/// Returns the session of a viewer.
fn session(number: usize) -> Session {
    Session {
        room_sid: ROOM_SID.into(),
        sid: viewer_sid(number).into(),
        identity: Identity::parse(format!("viewer-{number}")).expect("an identity"),
        name: None,
        role: Some(Role::Viewer),
        metadata: None,
        attributes: Attributes::default(),
        mark: None,
        kind: ParticipantKind::Standard,
        hidden: false,
        joined_at: None,
        tracks: Tracks::default(),
    }
}

/// Returns the request of a signed `participant_joined` webhook, whose event carries the marker with `due`.
pub fn webhook(stream: &StreamRef, due: u64) -> String {
    let name = format!("{}{due:016}", MARKER.trim_start_matches('"'));
    let permission = json!({"canSubscribe": true, "canPublish": true});
    let participant = json!({"sid": unique("PA"), "identity": format!("person-{due}"), "name": name,
        "state": "ACTIVE", "permission": permission});
    signed("participant_joined", stream, due / 1_000_000, &participant)
}

/// Returns the request of a signed webhook about the session of a viewer.
pub fn viewer_webhook(event: &str, stream: &StreamRef, number: usize) -> String {
    let participant = json!({"sid": viewer_sid(number), "identity": format!("viewer-{number}"), "state": "ACTIVE",
        "permission": {"canSubscribe": true}});
    signed(event, stream, now() / 1_000_000, &participant)
}

/// Returns the request of a signed webhook that was created at a time, in seconds since 1970.
fn signed(event: &str, stream: &StreamRef, created_at: u64, participant: &Value) -> String {
    let body = json!({
        "event": event, "id": unique("EV"), "createdAt": created_at.to_string(),
        "room": {"sid": ROOM_SID, "name": stream.room_name.as_str()}, "participant": participant,
    });
    let body = body.to_string();
    let headers =
        format!("content-type: application/webhook+json\r\nauthorization: {}\r\n", sign_webhook(&body));
    post("/webhooks/livekit", &headers, &body)
}
