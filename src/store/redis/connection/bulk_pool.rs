//! Connections for bulk and background commands: a bounded pool that all runtimes share.
//!
//! An answer of a megabyte occupies its connection until it is transferred and parsed. On the connection of a runtime,
//! every small request behind it would wait. deadpool bounds the pool; its own Redis managers connect to one configured
//! server, so the manager here opens and checks connections as `ConnectionFactory` does.

use std::{sync::Arc, time::Duration};

use deadpool::{
    Runtime,
    managed::{Manager, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult},
};

use super::{
    connection_factory::ConnectionFactory,
    failure::{Failure, FailureKind},
    master_connection::MasterConnection,
};

/// The number of connections. Redis runs one command at a time and a runtime parses one answer at a time, so more
/// connections would add memory (about 1 MiB for each page in transfer) and no throughput.
const SIZE: usize = 4;
/// The limit for waiting until a connection is free. Probing and opening have the limits of `ConnectionFactory`.
const WAIT_TIMEOUT: Duration = Duration::from_secs(4);

/// The pool. Clones share it.
#[derive(Clone)]
pub(super) struct BulkPool(Pool<BulkManager>);

/// A connection taken from the pool, which returns to it when dropped.
pub(super) type BulkConnection = Object<BulkManager>;

impl BulkPool {
    /// Makes an empty pool.
    ///
    /// # Errors
    /// None for the constant configuration; deadpool reports an invalid one.
    pub(super) fn new(factory: ConnectionFactory) -> Result<Self, Failure> {
        // The newest connection first: it was in use a moment ago and needs no probe.
        let pool = Pool::builder(BulkManager(factory)).max_size(SIZE).queue_mode(QueueMode::Lifo);
        let pool = pool.runtime(Runtime::Tokio1).wait_timeout(Some(WAIT_TIMEOUT)).build();
        pool.map(Self).map_err(|error| Failure::new(FailureKind::Other, error.to_string()))
    }

    /// Takes a connection that is probed if it was idle. Cancellation safe.
    ///
    /// # Errors
    /// As [`ConnectionFactory::open`], and [`FailureKind::PoolBusy`] if no connection is free within 4 s.
    pub(super) async fn get(&self) -> Result<BulkConnection, Failure> {
        self.0.get().await.map_err(|error| match error {
            PoolError::Backend(failure) => failure,
            PoolError::Timeout(_) => {
                Failure::new(FailureKind::PoolBusy, "no connection for bulk commands was free in time")
            }
            other => Failure::new(FailureKind::Other, other.to_string()),
        })
    }
}

/// Opens and checks the pool's connections.
pub(super) struct BulkManager(ConnectionFactory);

impl Manager for BulkManager {
    type Type = Arc<MasterConnection>;
    type Error = Failure;

    async fn create(&self) -> Result<Self::Type, Failure> {
        self.0.open_shared().await.map(Arc::new)
    }

    async fn recycle(&self, connection: &mut Self::Type, _: &Metrics) -> RecycleResult<Failure> {
        let usable = self.0.is_usable(connection);
        if usable && (connection.is_fresh() || self.0.passes_probe(connection).await) {
            return Ok(());
        }
        Err(RecycleError::message("the connection is not usable"))
    }
}
