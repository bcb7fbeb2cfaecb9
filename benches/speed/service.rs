//! The service, on a Redis of its own.

use std::{io::PipeWriter, net::SocketAddr, ops::Range, sync::Arc, time::Duration};

use livestream_orchestrator::{
    domain::{Change, Identity, Metadata, Role, RoomName, StreamId, StreamRef, stream::NewStream},
    store::{
        Created, Guard, Retention, StreamStore,
        redis::{Address, RedisStore},
    },
    telemetry::Metrics,
};
use serde_json::json;

use super::{
    audience::MARK,
    process::Family,
    support::{app::sign_webhook, instance::Instance, servers::Redis, unique},
    wire::post,
};

const DAY: Duration = Duration::from_secs(86_400);
const ROOM_SID: &str = "RM_bench";

/// The settings that a measurement depends on.
#[derive(Clone, Copy)]
pub struct Deployment {
    /// What Redis keeps, as arguments of its own.
    redis: &'static [&'static str],
    /// `RUST_LOG`; empty for the default filter.
    log: &'static str,
}

const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "everysec"];

impl Deployment {
    /// As docker-compose.yml has it: Redis keeps changes, and the service logs at its default level.
    pub const DEPLOYED: Self = Self { redis: DURABLE, log: "" };
    /// What the service and Redis spend on requests alone.
    pub const BARE: Self = Self { redis: &[], log: "error" };
    /// As deployed, without a log: what the log costs is the difference.
    pub const SILENT: Self = Self { redis: DURABLE, log: "off" };
    /// As deployed, with a line for each read too.
    pub const VERBOSE: Self = Self { redis: DURABLE, log: "warn,livestream_orchestrator=debug" };

    /// The log as lines of JSON in a pipe, which is read to its end.
    fn log_reader() -> PipeWriter {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        writer
    }
}

/// One instance with its Redis. There is no LiveKit: nothing that is measured calls it.
pub struct Service {
    instance: Instance,
    redis: Redis,
    store: Arc<dyn StreamStore>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Service {
    /// Starts one that limits nobody, and never looks for rooms.
    pub async fn start(deployment: Deployment) -> Self {
        let (redis, prefix) = (Redis::start_with(deployment.redis), unique("speed"));
        let instance = Instance::new(&redis.url(), "ws://127.0.0.1:9", &prefix);
        let mut instance = instance.with_log_output(Deployment::log_reader());
        for (name, value) in [
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
        let retention = Retention { live: DAY, stopped: DAY, tokens: DAY };
        let address = Address { url: redis.url().into(), ca: None, identity: None };
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let store = Arc::new(RedisStore::new(&address, &prefix, retention, metrics).expect("an address"));
        let address = instance.address().http.trim_start_matches("http://").parse().expect("an address");
        Self { instance, redis, store, address }
    }

    /// An active stream, recorded as if LiveKit had made its room.
    pub async fn stream(&self, room: &str) -> StreamRef {
        let new = NewStream {
            id: StreamId::generate(),
            room_name: RoomName::parse(room).expect("a name"),
            metadata: Metadata::parse(r#"{"title":"A stream"}"#).expect("metadata"),
            max_participants: None,
            idle_after: None,
        };
        let Ok(Created::New(stream)) = self.store.create(new).await else { panic!("{room} was not created") };
        let (stream, room_sid) = (stream.reference(), ROOM_SID.into());
        self.change(&stream, Change::Activate { room_sid }).await;
        stream
    }

    /// Streams with these numbers, some at a time.
    pub async fn streams(&self, numbers: Range<usize>) {
        for begun in numbers.clone().step_by(100) {
            let some = (begun..numbers.end.min(begun + 100)).map(|n| async move {
                self.stream(&format!("many-{n}")).await;
            });
            futures_util::future::join_all(some).await;
        }
    }

    /// Hands out tokens to people with these numbers, who have not connected.
    pub async fn participants(&self, stream: &StreamRef, numbers: Range<usize>) {
        for n in numbers {
            let issue = Change::IssueToken {
                identity: Identity::parse(format!("person-{n}")).expect("an identity"),
                name: None,
                role: Role::Host,
                metadata: None,
                attributes: None,
                joining_ttl: DAY,
            };
            self.change(stream, issue).await;
        }
    }

    async fn change(&self, stream: &StreamRef, change: Change) {
        self.store.apply(stream, change, Guard::default()).await.expect("a change");
    }

    /// The process of the instance.
    pub fn process(&self) -> Family {
        Family::of(self.instance.pid())
    }

    /// How many bytes Redis has in use.
    pub async fn redis_memory(&self) -> u64 {
        self.redis.info("used_memory").await.and_then(|bytes| bytes.parse().ok()).expect("a number")
    }

    /// Lets Redis count from now on.
    pub async fn forget_command_stats(&self) {
        self.redis.execute(&["CONFIG", "RESETSTAT"]).await.expect("an answer");
    }

    /// Which commands were called, how often, and for how many microseconds in all.
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

    /// A connection that hears of everything, as an instance has where somebody follows all streams.
    pub async fn subscription(&self) -> redis::aio::PubSub {
        let client = redis::Client::open(self.redis.url()).expect("an address");
        let mut subscription = client.get_async_pubsub().await.expect("a connection");
        subscription.psubscribe("*:events").await.expect("a subscription");
        subscription
    }

    /// The process of Redis.
    pub fn redis(&self) -> Family {
        Family::without_children(self.redis.pid())
    }
}

/// A webhook that says that somebody has joined, signed as LiveKit does; its event carries the mark.
pub fn webhook(stream: &StreamRef, due: u64) -> String {
    let name = format!("{}{due:016}", MARK.trim_start_matches('"'));
    let body = json!({
        "event": "participant_joined", "id": unique("EV"), "createdAt": (due / 1_000_000).to_string(),
        "room": {"sid": ROOM_SID, "name": stream.room_name.as_str()},
        "participant": {"sid": unique("PA"), "identity": format!("person-{due}"), "name": name,
            "state": "ACTIVE", "permission": {"canSubscribe": true, "canPublish": true}},
    });
    let body = body.to_string();
    let headers =
        format!("content-type: application/webhook+json\r\nauthorization: {}\r\n", sign_webhook(&body));
    post("/webhooks/livekit", &headers, &body)
}
