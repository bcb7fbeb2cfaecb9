//! Measurements of a Redis server for the command `check`, which judges them.

use std::collections::HashMap;

use super::{
    client::RedisStore,
    connection::{Failure, RESPONSE_TIMEOUT},
};
use crate::domain::Topic;
use crate::store::{EventFeed, FeedMessage, Source, StoreError};

/// The fields of `INFO` that matter for this service. Fields that the server does not report are absent, zero or false.
pub struct ServerInfo {
    /// Version, `7.2.4`. Valkey reports the version of Redis that it is compatible with.
    pub(crate) version: Option<String>,
    pub(crate) valkey_version: Option<String>,
    pub(crate) is_replica: bool,
    pub(crate) replicas: u32,
    /// `maxmemory-policy`.
    pub(crate) eviction_policy: Option<String>,
    pub(crate) has_memory_limit: bool,
    pub(crate) has_append_only_file: bool,
}

impl ServerInfo {
    /// Parses the text of `INFO`: lines of `field:value`.
    fn parse(text: &str) -> Self {
        let fields: HashMap<_, _> = text.lines().filter_map(|line| line.split_once(':')).collect();
        let field = |name: &str| fields.get(name).map(|value| value.trim());
        Self {
            version: field("redis_version").map(str::to_owned),
            valkey_version: field("valkey_version").map(str::to_owned),
            is_replica: field("role") == Some("slave"),
            replicas: field("connected_slaves").and_then(|count| count.parse().ok()).unwrap_or_default(),
            eviction_policy: field("maxmemory_policy").map(str::to_owned),
            has_memory_limit: field("maxmemory").is_some_and(|limit| limit != "0"),
            has_append_only_file: field("aof_enabled") == Some("1"),
        }
    }
}

/// Where the keys of a partition are.
pub struct Place {
    /// `host:port` of the master.
    pub(crate) master: String,
    /// The slot of the keys in a cluster.
    pub(crate) slot: Option<u16>,
}

/// Failure of `RedisStore::test_pubsub`.
pub enum PubSubError {
    /// The script or the subscription fails.
    Store(StoreError),
    /// The subscription does not receive the published message, or receives another one.
    NotDelivered,
}

impl RedisStore {
    /// Looks up the master of the partition.
    ///
    /// # Errors
    /// No master is found. The message has no credentials.
    pub(crate) async fn place(&self) -> Result<Place, Failure> {
        let (node, slot) = self.connector.place().await?;
        Ok(Place { master: node.to_string(), slot })
    }

    /// Reads `INFO` over a connection of its own.
    ///
    /// # Errors
    /// No connection opens, or the command fails. The message has no credentials.
    pub(crate) async fn server_info(&self) -> Result<ServerInfo, Failure> {
        let mut connection = self.connector.open().await?;
        let text: String = redis::cmd("INFO").query_async(&mut connection).await?;
        Ok(ServerInfo::parse(&text))
    }

    /// Runs a script that reads, and publishes a message to a subscription of its own.
    ///
    /// # Errors
    /// [`PubSubError`], within twice [`RESPONSE_TIMEOUT`].
    pub(crate) async fn test_pubsub(&self) -> Result<(), PubSubError> {
        let received = async {
            self.before_newest(Topic::All, 0).await?;
            let mut connection = self.connect(Source::FIRST).await?;
            self.probe(Source::FIRST, connection.probe_address()).await?;
            Ok(connection.next().await)
        };
        match tokio::time::timeout(RESPONSE_TIMEOUT * 2, received).await {
            Ok(Ok(Some(FeedMessage::Probe))) => Ok(()),
            Ok(Err(error)) => Err(PubSubError::Store(error)),
            Ok(Ok(_)) | Err(_) => Err(PubSubError::NotDelivered),
        }
    }
}
