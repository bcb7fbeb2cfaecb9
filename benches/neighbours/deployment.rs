//! One instance with default limits and authentication, as deployed, on a Redis of its own.

use std::{net::IpAddr, time::Duration};

use livekit_api::access_token::{AccessToken, VideoGrants};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::support::{
    feed_client::Address,
    instance::Instance,
    servers::{KEY, LiveKit, Redis, SECRET},
    unique,
};

/// A call of Redis that takes longer counts as slow, in microseconds.
const SLOW: &str = "10000";
/// Characters of a slow call that are shown.
const SHOWN_CHARS: usize = 400;
const TOKEN_TTL: Duration = Duration::from_secs(3_600);
/// The attacker's address.
pub const ATTACKER: [u8; 4] = [127, 0, 0, 2];

/// What docker-compose.yml sets, and a slow log.
const REDIS: &[&str] =
    &["--appendonly", "yes", "--appendfsync", "everysec", "--slowlog-log-slower-than", SLOW];

pub struct Deployment {
    pub redis: Redis,
    pub instance: Instance,
    pub client: Client,
    /// The attacker's client, whose connections count for another address.
    pub attacker: Client,
    _livekit: LiveKit,
}

/// One stream and its room.
#[derive(Clone)]
pub struct Stream {
    pub id: String,
    pub room: String,
}

impl Deployment {
    pub async fn start(limits_calls: bool) -> Self {
        let (redis, livekit) = (Redis::start_with(REDIS), LiveKit::start(None));
        let mut instance = Instance::new(&redis.url(), &livekit.url(), &unique("neighbours"))
            .with("AUTH", "livekit")
            .with("ALLOW_INSECURE", "true")
            // Streams without participants last as long as the attack.
            .with("IDLE_TIMEOUT", "0")
            .with("RECONCILE_INTERVAL", "1h");
        if limits_calls {
            // The defaults of docs/REFERENCE.md.
            instance = instance.with("RATE_LIMIT_READ", "600/m");
            instance = instance.with("RATE_LIMIT_WRITE", "120/m").with("RATE_LIMIT_JOIN", "120/m");
        }
        instance.start().await;
        let attacker = Client::builder().local_address(IpAddr::from(ATTACKER)).build().expect("a client");
        Self { redis, instance, client: Client::new(), attacker, _livekit: livekit }
    }

    pub fn address(&self) -> Address {
        self.instance.address()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address().http)
    }

    /// Creates a stream with metadata of about this many bytes. Each stream is created by a caller of its own, so that
    /// no limit delays the preparation.
    pub async fn create(&self, room: &str, metadata_bytes: usize) -> Stream {
        let grants = VideoGrants { room_create: true, ..VideoGrants::default() };
        let body = json!({"roomName": room, "metadata": metadata(metadata_bytes)});
        let request = self.client.post(self.url("/streams")).bearer_auth(token(&unique("backend"), grants));
        let answer = request.json(&body).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::CREATED, "{room}");
        let stream: Value = answer.json().await.expect("JSON");
        Stream { id: stream["id"].as_str().expect("an id").to_owned(), room: room.to_owned() }
    }

    /// Creates streams with these rooms, some at a time.
    pub async fn create_all(&self, rooms: &[String], metadata_bytes: usize) {
        for some in rooms.chunks(16) {
            futures_util::future::join_all(some.iter().map(|room| self.create(room, metadata_bytes))).await;
        }
    }

    /// Bytes that Redis uses, without what the streams that are not `victim` own: their keys, their room names, and
    /// their entries in the lists of streams, which end with them. Also without the log of all streams, which
    /// `LOG_MAX_BYTES` bounds whatever the callers do.
    pub async fn redis_bytes_beside(&self, victim: &Stream) -> i64 {
        let used: i64 = self.redis.info("used_memory").await.unwrap().parse().unwrap();
        let keys = self.redis.execute(&["KEYS", "*"]).await.expect("keys");
        let is_own = |key: &String| {
            let name = key.split_once("}:").map_or("", |(_, name)| name);
            let of_one_stream = name.starts_with("stream:") || name.starts_with("room:");
            let is_list = name.starts_with("streams:") || name == "rooms:closed";
            name == "events" || is_list || (of_one_stream && !is_of(victim, name))
        };
        let keys = redis::from_redis_value::<Vec<String>>(keys).expect("names").into_iter().filter(is_own);
        let mut own = 0;
        for key in keys {
            let size = self.redis.execute(&["MEMORY", "USAGE", &key, "SAMPLES", "0"]).await.expect("a size");
            own += redis::from_redis_value::<Option<i64>>(size).expect("a number").unwrap_or_default();
        }
        used - own
    }

    /// Returns the calls of Redis's slow log as text.
    pub async fn slow_calls(&self) -> Vec<String> {
        let calls = self.redis.execute(&["SLOWLOG", "GET", "-1"]).await.expect("an answer");
        let calls: Vec<redis::Value> = redis::from_redis_value(calls).expect("a list");
        calls.iter().map(|call| format!("{call:?}").chars().take(SHOWN_CHARS).collect()).collect()
    }

    pub async fn forget_slow_calls(&self) {
        self.redis.execute(&["SLOWLOG", "RESET"]).await.expect("an answer");
    }
}

fn is_of(stream: &Stream, key: &str) -> bool {
    key.contains(&stream.id) || key.ends_with(&stream.room)
}

/// A token of this caller with these grants.
pub fn token(identity: &str, grants: VideoGrants) -> String {
    let token = AccessToken::with_api_key(KEY, SECRET).with_identity(identity).with_ttl(TOKEN_TTL);
    token.with_grants(grants).to_jwt().expect("a token")
}

pub fn room_admin(identity: &str, room: &str) -> String {
    token(identity, VideoGrants { room_admin: true, room: room.to_owned(), ..VideoGrants::default() })
}

pub fn viewer(identity: &str, room: &str) -> String {
    token(identity, VideoGrants { room_join: true, room: room.to_owned(), ..VideoGrants::default() })
}

pub fn lister(identity: &str) -> String {
    token(identity, VideoGrants { room_list: true, ..VideoGrants::default() })
}

pub fn metadata(bytes: usize) -> Value {
    json!({"text": "x".repeat(bytes)})
}
