//! The store of an instance: Redis, or memory in dev mode.

use std::sync::Arc;

use anyhow::Context;

use crate::{
    domain::Partitioning,
    settings::Settings,
    store::{
        EventFeed, FollowedPartition, IdempotencyStore, PartitionBackend, PartitionStore, PartitionedStore,
        RateLimitStore, Store, WebhookEndpoints, memory::MemoryStore, redis::RedisStore,
    },
    telemetry::Metrics,
};

/// The traits of the store that an instance uses.
pub(super) struct Stores {
    pub(super) store: Arc<dyn Store>,
    /// The partitions of the store, each with background jobs of its own.
    pub(super) partitions: Vec<Arc<dyn PartitionStore>>,
    /// The same partitions, as the jobs that follow their logs use them.
    pub(super) followed: Vec<Arc<dyn FollowedPartition>>,
    pub(super) webhook_endpoints: Arc<dyn WebhookEndpoints>,
    pub(super) feed: Arc<dyn EventFeed>,
    pub(super) rate_limit_store: Arc<dyn RateLimitStore>,
    pub(super) idempotency_store: Arc<dyn IdempotencyStore>,
    /// Kind of the store, as `/health` shows it.
    pub(super) kind: &'static str,
}

impl Stores {
    /// Opens the store that the settings name. Connects to nothing.
    ///
    /// # Errors
    /// An invalid Redis address or TLS file.
    pub(super) fn open(settings: &Settings, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let Some(redis) = &settings.redis else {
            tracing::warn!("state is kept in memory: it is lost at shutdown, and instances share nothing");
            let store = Arc::new(MemoryStore::on_system_clock(settings.retention));
            return Ok(Self::of(store, "memory"));
        };
        let (partitioning, retention) = (redis.partitioning, settings.retention);
        if partitioning == Partitioning::SINGLE {
            let store = RedisStore::new(&redis.address, &redis.prefix, retention, metrics);
            return Ok(Self::of(Arc::new(store.context("REDIS_URL")?), "redis"));
        }
        let partitions =
            RedisStore::partitions(&redis.address, &redis.prefix, partitioning, retention, metrics);
        let store = PartitionedStore::new(partitioning, partitions.context("REDIS_URL")?);
        Ok(Self::of_partitions(&store, "redis"))
    }

    fn of_partitions<P: PartitionBackend>(store: &PartitionedStore<P>, kind: &'static str) -> Self {
        let partitions = store.partitions().iter();
        let followed = partitions.clone().map(|partition| partition.clone() as Arc<dyn FollowedPartition>);
        Self {
            followed: followed.collect(),
            partitions: partitions.map(|partition| partition.clone() as Arc<dyn PartitionStore>).collect(),
            webhook_endpoints: Arc::new(store.clone()),
            store: Arc::new(store.clone()),
            feed: Arc::new(store.clone()),
            rate_limit_store: Arc::new(store.clone()),
            idempotency_store: Arc::new(store.clone()),
            kind,
        }
    }

    fn of<S>(store: Arc<S>, kind: &'static str) -> Self
    where
        S: PartitionStore
            + FollowedPartition
            + WebhookEndpoints
            + RateLimitStore
            + IdempotencyStore
            + 'static,
    {
        Self {
            store: store.clone(),
            partitions: vec![store.clone()],
            followed: vec![store.clone()],
            webhook_endpoints: store.clone(),
            feed: store.clone(),
            rate_limit_store: store.clone(),
            idempotency_store: store,
            kind,
        }
    }
}
