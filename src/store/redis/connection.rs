//! How Redis is reached: pooled commands with bounded waits, and connections of their own for what is published.

use std::{io, sync::Arc, time::Duration};

use deadpool::managed::{self, Metrics, Object, Pool, RecycleResult, Timeouts};
use deadpool_redis::{Manager, Runtime};
use redis::{
    AsyncConnectionConfig, Client, RedisError,
    aio::{MultiplexedConnection, PubSub},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Handle;

use crate::store::StoreError;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a command may take to be answered.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a command may wait for a connection of the pool.
const POOL_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections an instance at the most. Each carries one command at a time, a few hundred microseconds each.
const POOL_SIZE: usize = 32;

/// A connection for commands, back in the pool when it is dropped.
pub type Connection = Object<OnRuntime>;

/// Opens connections on one runtime, whoever asks for them. What drives a connection runs where it was opened, and HTTP
/// workers have runtimes of their own that end before the process does.
pub struct OnRuntime {
    manager: Arc<Manager>,
    runtime: Handle,
}

impl managed::Manager for OnRuntime {
    type Type = MultiplexedConnection;
    type Error = RedisError;

    async fn create(&self) -> Result<MultiplexedConnection, RedisError> {
        let manager = self.manager.clone();
        let opened = self.runtime.spawn(async move { manager.create().await });
        opened.await.map_err(io::Error::from)?
    }

    async fn recycle(
        &self,
        connection: &mut MultiplexedConnection,
        metrics: &Metrics,
    ) -> RecycleResult<RedisError> {
        self.manager.recycle(connection, metrics).await
    }
}

/// The way to one Redis.
#[derive(Clone)]
pub struct Connector {
    pool: Pool<OnRuntime>,
    client: Client,
}

impl Connector {
    /// Prepares the way to `url`; nothing is opened yet. What will be is driven by the runtime that this is called on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] for an address that cannot be understood.
    pub fn new(url: &SecretString) -> Result<Self, StoreError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let client = Client::open(url.expose_secret()).map_err(unavailable)?;
        let manager = Manager::new_with_config(url.expose_secret(), config).map_err(unavailable)?;
        let timeouts = Timeouts {
            wait: Some(POOL_TIMEOUT),
            create: Some(CONNECT_TIMEOUT),
            recycle: Some(RESPONSE_TIMEOUT),
        };
        let manager = OnRuntime { manager: Arc::new(manager), runtime: Handle::current() };
        let pool =
            Pool::builder(manager).max_size(POOL_SIZE).timeouts(timeouts).runtime(Runtime::Tokio1).build();
        Ok(Self { pool: pool.map_err(|error| StoreError::Unavailable(error.to_string()))?, client })
    }

    /// A connection for commands.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] after a bounded wait.
    pub async fn commands(&self) -> Result<Connection, StoreError> {
        self.pool.get().await.map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    /// A connection outside the pool, with Redis's own words where there is none to be had.
    ///
    /// # Errors
    /// Redis's, and those of the network.
    pub async fn first_connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// A connection for what is published.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] after a bounded wait.
    pub async fn subscriptions(&self) -> Result<PubSub, StoreError> {
        bounded(self.client.get_async_pubsub()).await
    }
}

/// Waits for an answer on a subscription connection, which has no timeout of its own.
///
/// # Errors
/// [`StoreError::Unavailable`] for no answer in time, and for Redis's own errors.
pub async fn bounded<T>(answer: impl Future<Output = Result<T, RedisError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(RESPONSE_TIMEOUT, answer).await {
        Ok(result) => result.map_err(unavailable),
        Err(_) => Err(StoreError::Unavailable("no answer in time".to_owned())),
    }
}

/// Redis's words for what went wrong. They name commands and addresses, never credentials or values.
#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
pub fn unavailable(error: RedisError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
