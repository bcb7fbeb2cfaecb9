//! The store of an instance: Redis, or memory in dev mode.

use std::sync::Arc;

use anyhow::Context;

use crate::{
    settings::Settings,
    store::{
        EventFeed, IdempotencyStore, PartitionStore, RateLimitStore, Store, memory::MemoryStore,
        redis::RedisStore,
    },
    telemetry::Metrics,
};

/// The traits of the store that an instance uses.
pub(super) struct Stores {
    pub(super) store: Arc<dyn Store>,
    /// The partitions of the store, each with background jobs of its own.
    pub(super) partitions: Vec<Arc<dyn PartitionStore>>,
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
        let store = RedisStore::new(&redis.address, &redis.prefix, settings.retention, metrics.clone());
        let store = Arc::new(store.context("REDIS_URL")?);
        Ok(Self::of(store, "redis"))
    }

    fn of<S: PartitionStore + EventFeed + RateLimitStore + IdempotencyStore + 'static>(
        store: Arc<S>,
        kind: &'static str,
    ) -> Self {
        Self {
            store: store.clone(),
            partitions: vec![store.clone()],
            feed: store.clone(),
            rate_limit_store: store.clone(),
            idempotency_store: store,
            kind,
        }
    }
}
