//! The service, on a Redis of its own.

use std::{net::SocketAddr, ops::Range, sync::Arc, time::Duration};

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
    pub async fn start() -> Self {
        let (redis, prefix) = (Redis::start(), unique("speed"));
        let mut instance = Instance::new(&redis.url(), "ws://127.0.0.1:9", &prefix);
        for (name, value) in [
            ("MAX_FEEDS", "1000000"),
            ("MAX_FEEDS_PER_CALLER", "1000000"),
            ("RECONCILE_INTERVAL", "1h"),
            ("IDLE_TIMEOUT", "0"),
            ("JOINING_TTL", "1h"),
            ("RUST_LOG", "error"),
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
        let (stream, room_sid) = (stream.reference(), ROOM_SID.to_owned());
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
        self.redis.tell(&["CONFIG", "RESETSTAT"]).await.expect("an answer");
    }

    /// Which commands were called, how often, and for how many microseconds in all.
    pub async fn command_stats(&self) -> Vec<(String, f64, f64)> {
        let info = self.redis.tell(&["INFO", "commandstats"]).await.expect("an answer");
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
        Family::of(self.redis.pid())
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
