//! Stores in Redis, with one partition and with several.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use livestream_orchestrator::{
    domain::Partitioning,
    store::{
        PartitionedStore, Retention,
        redis::{Address, RedisStore},
    },
    telemetry::Metrics,
};

use crate::support::servers::shared_redis;

/// Number of partitions of a partitioned store.
pub const PARTITIONS: u16 = 4;

fn address(url: &str) -> Address {
    Address { url: url.into(), ca: None, identity: None }
}

/// Returns a store with one partition in a Redis server.
pub fn redis_store_at(url: &str, prefix: &str, retention: Retention) -> RedisStore {
    let metrics = Arc::new(Metrics::new().unwrap());
    RedisStore::new(&address(url), prefix, retention, &metrics).unwrap()
}

/// Returns a store with one partition in the shared Redis.
pub fn redis_store(prefix: &str, retention: Retention) -> RedisStore {
    redis_store_at(shared_redis(), prefix, retention)
}

/// Returns the stores of all partitions in a deployment of Redis.
pub fn redis_partitions_at(
    url: &str,
    prefix: &str,
    partitioning: Partitioning,
    retention: Retention,
) -> Vec<RedisStore> {
    let metrics = Arc::new(Metrics::new().unwrap());
    RedisStore::partitions(&address(url), prefix, partitioning, retention, &metrics).unwrap()
}

/// Returns the stores of all partitions in the shared Redis.
pub fn redis_partitions(prefix: &str, partitioning: Partitioning, retention: Retention) -> Vec<RedisStore> {
    redis_partitions_at(shared_redis(), prefix, partitioning, retention)
}

/// Returns a store with several partitions in the shared Redis.
pub fn partitioned_store(prefix: &str, retention: Retention) -> PartitionedStore<RedisStore> {
    let partitioning = Partitioning::new(PARTITIONS).unwrap();
    PartitionedStore::new(partitioning, redis_partitions(prefix, partitioning, retention))
}
