//! The store's handle: runs scripts and commands, and records their duration and failures.

use std::sync::Arc;

use redis::FromRedisValue;

use super::{
    connection::{Address, Connector, Failure, Request, Traffic},
    keys::Keys,
    scripts::ScriptCall,
    state_cache::StateCaches,
};
use crate::{
    store::{Retention, StoreError},
    telemetry::Metrics,
};

/// The store in Redis. Clones share connections and caches.
#[derive(Clone)]
pub struct RedisStore {
    pub(super) connector: Connector,
    pub(super) keys: Keys,
    pub(super) retention: Retention,
    pub(super) caches: Arc<StateCaches>,
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
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let keys = Keys::new(prefix);
        let connector = Connector::new(address, keys.tail())?;
        let (caches, absent_key) = (Arc::new(StateCaches::new()), keys.absent().into());
        Ok(Self { connector, keys, retention, caches, metrics, absent_key })
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
