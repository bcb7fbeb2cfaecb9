//! The service under test, with a Redis server of its own.

use std::{net::SocketAddr, ops::Range, sync::Arc, time::Duration};

use livestream_orchestrator::{
    domain::{
        Attributes, Audience, Change, Identity, InitialAudience, Metadata, ParticipantKind, Partitioning,
        Role, RoomName, Session, StreamId, StreamRef, Tracks, stream::NewStream,
    },
    store::{
        COUNT_INTERVAL, CreateOutcome, Guard, LogBounds, PartitionedStore, Retention, Store,
        redis::{Address, RedisStore},
    },
    telemetry::Metrics,
};
use tokio::runtime::Runtime;

use super::{
    deployment::Deployment,
    process::ProcessGroup,
    support::{instance::Instance, servers::Redis, unique},
};

const DAY: Duration = Duration::from_secs(86_400);
/// Bounds that a measurement does not reach, so that the log keeps what is not archived.
const UNBOUNDED: LogBounds =
    LogBounds { retention: DAY, max_events: 1_000_000, max_bytes: 1_000_000_000, ..LogBounds::DEFAULT };
/// Sid of the room of each stream.
pub const ROOM_SID: &str = "RM_bench";

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

/// One instance with its Redis servers. It has no LiveKit, because no measured request calls LiveKit.
pub struct Service {
    instance: Instance,
    /// One for each partition.
    redis: Vec<Redis>,
    store: Arc<dyn Store>,
    pub address: SocketAddr,
}

impl Service {
    /// Starts an instance without rate limits and without reconciliations.
    pub async fn start(deployment: Deployment) -> Self {
        Self::start_with(deployment, &[]).await
    }

    /// As [`Self::start`], with further settings.
    pub async fn start_with(deployment: Deployment, settings: &[(&str, &str)]) -> Self {
        let servers = (0..deployment.partitions).map(|_| Redis::start_with(deployment.redis));
        let (redis, prefix): (Vec<_>, _) = (servers.collect(), unique("speed"));
        let url = redis.iter().map(Redis::url).collect::<Vec<_>>().join(",");
        let instance = Instance::new(&url, "ws://127.0.0.1:9", &prefix);
        let mut instance = instance.with_log_output(Deployment::log_reader());
        for (name, value) in [
            ("MAX_CONNECTIONS", "1000000"),
            ("MAX_CONNECTIONS_PER_ADDRESS", "1000000"),
            ("MAX_FEEDS", "1000000"),
            ("MAX_FEEDS_PER_CALLER", "1000000"),
            ("RECONCILE_INTERVAL", "1h"),
            ("IDLE_TIMEOUT", "0"),
            ("JOINING_TTL", "1h"),
            ("REDIS_PARTITIONS", &deployment.partitions.to_string()),
            ("WEBHOOK_ALLOW_PRIVATE", "true"),
            ("RUST_LOG", deployment.log),
        ] {
            instance = instance.with(name, value);
        }
        for (name, value) in settings {
            instance = instance.with(name, value);
        }
        instance.start().await;
        // Without a retention time the logs stay at their minimum numbers, so that the measured memory is not theirs.
        let log = LogBounds { retention: Duration::from_millis(1), ..LogBounds::DEFAULT };
        let has_history = settings.iter().any(|(name, _)| *name == "DATABASE_URL");
        let log = if has_history { UNBOUNDED } else { log };
        let retention = Retention {
            live: DAY,
            stopped: DAY,
            tokens: DAY,
            log,
            count_interval: COUNT_INTERVAL,
            keeps_visits: has_history,
        };
        let store = store(&url, &prefix, deployment.partitions, retention);
        let address = instance.address().http.trim_start_matches("http://").parse().expect("an address");
        Self { instance, redis, store, address }
    }

    /// Starts a service with one active stream.
    pub fn with_stream(deployment: Deployment, runtime: &Runtime) -> (Self, StreamRef) {
        let service = runtime.block_on(Self::start(deployment));
        let stream = runtime.block_on(service.stream("bench"));
        (service, stream)
    }

    /// Creates an active listed stream in the store, without a room in LiveKit.
    pub async fn stream(&self, room: &str) -> StreamRef {
        self.stream_of(room, Mode::Listed).await
    }

    /// Creates an active stream in the store, without a room in LiveKit.
    pub async fn stream_of(&self, room: &str, mode: Mode) -> StreamRef {
        let room_name = RoomName::parse(room).expect("a name");
        let new = NewStream {
            id: self.store.place(StreamId::generate(), &room_name),
            room_name,
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

    /// Returns the index of the partition of a stream.
    pub fn partition(&self, stream: &StreamRef) -> usize {
        let count = u16::try_from(self.redis.len()).expect("a number");
        Partitioning::new(count).expect("a number of partitions").of_stream(stream.id).index()
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

    /// Issues a join token, which is one event.
    pub async fn issue(&self, stream: &StreamRef, number: usize) {
        self.change(stream, issue(&format!("person-{}", number % 10), Role::Host)).await;
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
        self.redis[0].info("used_memory").await.and_then(|bytes| bytes.parse().ok()).expect("a number")
    }

    /// Resets the statistics of [`Self::command_stats`].
    pub async fn reset_command_stats(&self) {
        self.redis[0].execute(&["CONFIG", "RESETSTAT"]).await.expect("an answer");
    }

    /// Returns each command with its number of calls and its total microseconds.
    pub async fn command_stats(&self) -> Vec<(String, f64, f64)> {
        let info = self.redis[0].execute(&["INFO", "commandstats"]).await.expect("an answer");
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
        let client = redis::Client::open(self.redis[0].url()).expect("an address");
        let mut subscription = client.get_async_pubsub().await.expect("a connection");
        subscription.psubscribe("*:events").await.expect("a subscription");
        subscription
    }

    /// Returns the processes of Redis.
    pub fn redis(&self) -> ProcessGroup {
        ProcessGroup::without_children(self.redis_pids())
    }

    /// Returns the process ids of Redis, one for each partition.
    pub fn redis_pids(&self) -> Vec<u32> {
        self.redis.iter().map(Redis::pid).collect()
    }
}

/// Opens the store of the service's streams.
fn store(url: &str, prefix: &str, partitions: u16, retention: Retention) -> Arc<dyn Store> {
    let address = Address { url: url.into(), ca: None, identity: None };
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    if partitions == 1 {
        return Arc::new(RedisStore::new(&address, prefix, retention, &metrics).expect("an address"));
    }
    let partitioning = Partitioning::new(partitions).expect("a number of partitions");
    let stores = RedisStore::partitions(&address, prefix, partitioning, retention, &metrics);
    Arc::new(PartitionedStore::new(partitioning, stores.expect("addresses")))
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

/// Returns the sid of a viewer's session.
pub fn viewer_sid(number: usize) -> String {
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
