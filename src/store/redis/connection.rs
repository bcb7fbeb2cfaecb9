//! How Redis is reached: pooled commands with bounded waits, and connections of their own for what is published.

use std::{io, time::Duration};

use deadpool::{
    Runtime,
    managed::{self, Metrics, Object, Pool, RecycleError, RecycleResult, Timeouts},
};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, RedisError, TlsCertificates,
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

/// How to reach one Redis.
#[derive(Clone, Debug)]
pub struct Address {
    /// `redis://` or `rediss://`, with credentials.
    pub url: SecretString,
    /// For `rediss://`: who is trusted to vouch for Redis, as PEM; none for the roots of this machine.
    pub ca: Option<Vec<u8>>,
    /// For `rediss://`: this service's own certificate and its key, as PEM.
    pub identity: Option<(Vec<u8>, SecretString)>,
}

impl Address {
    fn client(&self) -> Result<Client, RedisError> {
        // redis-rs takes the process's provider, and there is none unless somebody chooses. It may have been chosen
        // already, by another instance in this process or by livekit-api: all choose the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let identity = self.identity.clone().map(|(certificate, key)| ClientTlsConfig {
            client_cert: certificate,
            client_key: key.expose_secret().as_bytes().to_vec(),
        });
        let certificates = TlsCertificates { client_tls: identity, root_cert: self.ca.clone() };
        if self.ca.is_none() && certificates.client_tls.is_none() {
            return Client::open(self.url.expose_secret());
        }
        Client::build_with_tls(self.url.expose_secret(), certificates)
    }
}

/// Opens connections on one runtime, whoever asks for them. What drives a connection runs where it was opened, and HTTP
/// workers have runtimes of their own that end before the process does.
pub struct OnRuntime {
    client: Client,
    runtime: Handle,
}

/// The pool's own answer to whether a connection is still good.
const PING: &str = "pool";

impl managed::Manager for OnRuntime {
    type Type = MultiplexedConnection;
    type Error = RedisError;

    async fn create(&self) -> Result<MultiplexedConnection, RedisError> {
        let client = self.client.clone();
        let opened = self.runtime.spawn(async move { open(&client).await });
        opened.await.map_err(io::Error::from)?
    }

    async fn recycle(
        &self,
        connection: &mut MultiplexedConnection,
        _: &Metrics,
    ) -> RecycleResult<RedisError> {
        let answer: String = redis::cmd("PING").arg(PING).query_async(connection).await?;
        if answer == PING { Ok(()) } else { Err(RecycleError::message("somebody else's answer")) }
    }
}

async fn open(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// The way to one Redis.
#[derive(Clone)]
pub struct Connector {
    pool: Pool<OnRuntime>,
    client: Client,
}

impl Connector {
    /// Prepares the way; nothing is opened yet. What will be is driven by the runtime that this is called on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] for an address or certificates that cannot be understood.
    pub fn new(address: &Address) -> Result<Self, StoreError> {
        let client = address.client().map_err(unavailable)?;
        let timeouts = Timeouts {
            wait: Some(POOL_TIMEOUT),
            create: Some(CONNECT_TIMEOUT),
            recycle: Some(RESPONSE_TIMEOUT),
        };
        let manager = OnRuntime { client: client.clone(), runtime: Handle::current() };
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
        open(&self.client).await
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
