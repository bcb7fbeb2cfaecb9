//! The store's handle: runs scripts and commands, and records their duration and failures.

use std::sync::Arc;

use redis::FromRedisValue;
use tokio::runtime::Handle;

use super::{
    batches::Batches,
    connection::{Address, Connector, Failure, Request, Traffic},
    hash_tags::{hash_tag, slot},
    keys::Keys,
    scripts::ScriptCall,
    state_cache::StateCaches,
};
use crate::{
    domain::{Partition, Partitioning},
    store::{Retention, StoreError},
    telemetry::Metrics,
};

/// The store of one partition in Redis. Clones share connections and caches.
#[derive(Clone)]
pub struct RedisStore {
    pub(super) connector: Connector,
    pub(super) keys: Keys,
    partition: Partition,
    pub(super) partitioning: Partitioning,
    pub(super) retention: Retention,
    pub(super) caches: Arc<StateCaches>,
    pub(super) batches: Arc<Batches>,
    /// The main runtime: a task that other callers wait for must not end with a worker.
    pub(super) runtime: Handle,
    metrics: Arc<Metrics>,
    absent_key: Arc<str>,
}

impl RedisStore {
    /// Makes a store at `address` whose keys begin with `{prefix}:`. The first call opens a connection.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] for an invalid address or invalid certificates.
    pub fn new(
        address: &Address,
        prefix: &str,
        retention: Retention,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let mut only = Self::partitions(address, prefix, Partitioning::SINGLE, retention, metrics)?;
        Ok(only.remove(0))
    }

    /// Makes the stores of all partitions, in order. Their keys have hash tags that begin with the prefix. They share
    /// caches, and partitions on one master share its connections.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn partitions(
        address: &Address,
        prefix: &str,
        partitioning: Partitioning,
        retention: Retention,
        metrics: &Arc<Metrics>,
    ) -> Result<Vec<Self>, StoreError> {
        let tag = |partition| hash_tag(prefix, partition, partitioning);
        let tags: Vec<_> = partitioning.all().map(tag).collect();
        let connectors = connectors(address, &tags)?;
        let caches = Arc::new(StateCaches::new());
        let store = |((partition, tag), connector): ((Partition, &String), Connector)| {
            let own = (partition, partitioning);
            Self::with_connector(connector, Keys::new(tag), own, retention, (caches.clone(), metrics.clone()))
        };
        Ok(partitioning.all().zip(&tags).zip(connectors).map(store).collect())
    }

    fn with_connector(
        connector: Connector,
        keys: Keys,
        (partition, partitioning): (Partition, Partitioning),
        retention: Retention,
        (caches, metrics): (Arc<StateCaches>, Arc<Metrics>),
    ) -> Self {
        let (batches, runtime, absent_key) = (Arc::default(), Handle::current(), keys.absent().into());
        Self {
            connector,
            keys,
            partition,
            partitioning,
            retention,
            caches,
            batches,
            runtime,
            metrics,
            absent_key,
        }
    }

    /// Returns the last part of the cursors of one call. It is random, because an old master and a new one may both
    /// make changes for a moment, and must not give one cursor to two events. Cursors of different partitions differ,
    /// because each number is the partition's modulo the number of partitions.
    pub(super) fn cursor_number(&self) -> u64 {
        u64::from(fastrand::u32(..)) * u64::from(self.partitioning.count())
            + u64::from(self.partition.number())
    }

    /// Runs a script. `name` is the value of the metrics' label `call`, here and below.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        name: &'static str,
        call: impl Into<ScriptCall>,
    ) -> Result<T, StoreError> {
        self.send(name, self.request(&call.into()), Traffic::Interactive).await
    }

    /// As [`Self::run`], on the pool for large answers and background jobs.
    pub(super) async fn run_bulk<T: FromRedisValue>(
        &self,
        name: &'static str,
        call: impl Into<ScriptCall>,
    ) -> Result<T, StoreError> {
        self.send(name, self.request(&call.into()), Traffic::Bulk).await
    }

    /// The request for a script.
    pub(super) fn request<'a>(&'a self, call: &'a ScriptCall) -> Request<'a> {
        let ScriptCall { script, keys, args, reads_declared_keys_only } = call;
        let absent_key = (!reads_declared_keys_only).then_some(&*self.absent_key);
        Request::Script { script, keys, absent_key, args }
    }

    /// Runs one command.
    pub(super) async fn query<T: FromRedisValue>(
        &self,
        name: &'static str,
        command: &redis::Cmd,
    ) -> Result<T, StoreError> {
        self.send(name, Request::Command(command), Traffic::Interactive).await
    }

    /// Runs independent commands that only read.
    pub(super) async fn pipeline<T: FromRedisValue>(
        &self,
        name: &'static str,
        commands: &redis::Pipeline,
        traffic: Traffic,
    ) -> Result<T, StoreError> {
        self.send(name, Request::Reads(commands), traffic).await
    }

    async fn send<T: FromRedisValue>(
        &self,
        name: &'static str,
        request: Request<'_>,
        traffic: Traffic,
    ) -> Result<T, StoreError> {
        let answer = async { Ok(redis::from_redis_value(self.connector.call(request, traffic).await?)?) };
        self.timed(name, answer).await
    }

    /// Records the duration of a call, and counts and logs its failure.
    pub(super) async fn timed<T>(
        &self,
        name: &'static str,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, StoreError> {
        let answer = self.metrics.timed_redis(name, answer, |failure| failure.kind.as_str()).await;
        answer.map_err(|failure| {
            self.connector.log_failure(name, &failure);
            failure.into()
        })
    }
}

/// Makes a connector for each hash tag. The partitions take the servers of the address in turn.
fn connectors(address: &Address, tags: &[String]) -> Result<Vec<Connector>, StoreError> {
    let servers = address.servers();
    let of_server = |(index, server): (usize, &Address)| {
        let slots: Vec<_> = tags.iter().skip(index).step_by(servers.len()).map(|tag| slot(tag)).collect();
        Connector::of_slots(server, &slots)
    };
    let mut by_server = Vec::new();
    for server in servers.iter().enumerate() {
        by_server.push(of_server(server)?.into_iter());
    }
    let mut turn = (0..servers.len()).cycle();
    let next = |_: &String| by_server[turn.next()?].next();
    Ok(tags.iter().filter_map(next).collect())
}
