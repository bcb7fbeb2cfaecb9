//! Opens connections to one master, probes them, and decides after a failure which connections stay usable.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use tokio::{
    runtime::Handle,
    task::{JoinError, JoinHandle},
    time::timeout,
};

use super::{
    address::ConnectOptions,
    backoff::Backoff,
    failure::{Failure, FailureKind},
    locator::MasterLocator,
    master_connection::MasterConnection,
    node::{self, Node, Probe},
};

/// The limit for opening a connection, and for the lookup of a master.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(4);

/// Opens connections to one server. Clones share state.
#[derive(Clone)]
pub(super) struct ConnectionFactory(Arc<Inner>);

struct Inner {
    node: Node,
    options: Arc<ConnectOptions>,
    locator: Arc<MasterLocator>,
    backoff: Backoff,
    /// Of connections for messages, which a server may refuse while it accepts others, for example for their protocol.
    message_backoff: Backoff,
    /// The number of connections that broke or timed out. A connection opened before the last of them is discarded
    /// without a probe, because each probe of a dead connection would wait for a timeout.
    breakages: AtomicU64,
    /// Drives everything that runtimes share. HTTP workers have runtimes of their own, which end before the process.
    runtime: Handle,
    /// The user may not run `ROLE`.
    ping_only: AtomicBool,
}

impl ConnectionFactory {
    /// Prepares connections to a server; opens none. `runtime` drives what all runtimes share.
    pub(super) fn new(
        node: Node,
        options: Arc<ConnectOptions>,
        locator: Arc<MasterLocator>,
        runtime: Handle,
    ) -> Self {
        Self(Arc::new(Inner {
            node,
            options,
            locator,
            backoff: Backoff::default(),
            message_backoff: Backoff::default(),
            breakages: AtomicU64::new(0),
            runtime,
            ping_only: AtomicBool::new(false),
        }))
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// Opens a connection that passes what Redis publishes on to `receive`. The shared runtime drives it.
    ///
    /// # Errors
    /// Redis refuses the connection, the network fails, the wait is over, or the last of these failures while the
    /// backoff of these connections is running.
    pub(super) async fn open_for_messages(
        &self,
        receive: impl AsyncPushSender,
    ) -> Result<MultiplexedConnection, Failure> {
        self.0.message_backoff.check()?;
        let inner = self.0.clone();
        let open = async move {
            let opened = node::open_for_messages(&inner.options.client(&inner.node)?, receive).await;
            match &opened {
                Ok(_) => inner.message_backoff.reset(),
                Err(failure) => {
                    inner.message_backoff.record_failure(failure);
                    inner.locator.suspect(&inner.node);
                }
            }
            opened
        };
        joined(self.0.runtime.spawn(open)).await
    }

    /// Opens a connection to the server. The calling runtime drives it. Cancellation safe: the attempt goes on when its
    /// caller is dropped, so its outcome still reaches the backoff.
    ///
    /// # Errors
    /// The attempt's failure, [`FailureKind::Timeout`] after 4 s, or the last failure while the backoff is running.
    pub(super) async fn open(&self) -> Result<MasterConnection, Failure> {
        let factory = self.clone();
        joined(Handle::current().spawn(async move { factory.open_with_backoff().await })).await
    }

    /// As [`Self::open`], for a connection that all runtimes use. The shared runtime drives it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) async fn open_shared(&self) -> Result<MasterConnection, Failure> {
        let factory = self.clone();
        joined(self.0.runtime.spawn(async move { factory.open_with_backoff().await })).await
    }

    async fn open_with_backoff(&self) -> Result<MasterConnection, Failure> {
        self.0.backoff.check()?;
        let late = |_| Failure::new(FailureKind::Timeout, "no connection could be opened in time");
        let opened = timeout(OPEN_TIMEOUT, self.try_open()).await.map_err(late).flatten();
        match &opened {
            Ok(_) => self.0.backoff.reset(),
            Err(failure) => self.0.backoff.record_failure(failure),
        }
        opened
    }

    async fn try_open(&self) -> Result<MasterConnection, Failure> {
        let breakages = self.0.breakages.load(Ordering::Relaxed);
        match self.open_probed().await {
            Ok(connection) => Ok(MasterConnection::new(connection, breakages)),
            Err(failure) => {
                // Any failure may mean that the master was replaced.
                self.suspect_server();
                Err(failure)
            }
        }
    }

    async fn open_probed(&self) -> Result<MultiplexedConnection, Failure> {
        let mut connection = node::open(&self.0.options.client(&self.0.node)?).await?;
        self.run_probe(&mut connection).await?;
        Ok(connection)
    }

    /// Whether no connection to the server has broken since this one was opened.
    pub(super) fn is_usable(&self, connection: &MasterConnection) -> bool {
        connection.breakages == self.0.breakages.load(Ordering::Relaxed)
    }

    /// Makes the next use of a partition at this server look up its master.
    pub(super) fn suspect_server(&self) {
        self.0.locator.suspect(&self.0.node);
    }

    /// Probes an idle connection; handles its failure as [`Self::handle_failure`] does.
    pub(super) async fn passes_probe(&self, connection: &MasterConnection) -> bool {
        let probed = self.run_probe(&mut connection.connection.clone()).await;
        match &probed {
            Ok(()) => connection.record_answer(),
            Err(failure) => self.handle_failure(connection, failure),
        }
        probed.is_ok()
    }

    /// The probe to send with each command.
    pub(super) fn probe(&self) -> Probe {
        if self.0.ping_only.load(Ordering::Relaxed) { Probe::Ping } else { Probe::Role }
    }

    /// Invalidates what a failure on a connection casts doubt on: connections of the same age, and that the server is
    /// the master of any partition.
    pub(super) fn handle_failure(&self, connection: &MasterConnection, failure: &Failure) {
        if failure.kind.is_breakage() {
            // All calls on one broken connection count once, so they cannot discard its replacement.
            let (known, next) = (connection.breakages, connection.breakages + 1);
            let _ = self.0.breakages.compare_exchange(known, next, Ordering::Relaxed, Ordering::Relaxed);
        }
        if failure.kind.requires_master_lookup() {
            self.suspect_server();
        }
    }

    async fn run_probe(&self, connection: &mut MultiplexedConnection) -> Result<(), Failure> {
        let probe = self.probe();
        if node::probe(connection, probe).await? == Probe::Ping && probe == Probe::Role {
            self.0.ping_only.store(true, Ordering::Relaxed);
            tracing::warn!(
                "Redis does not permit ROLE: a replica in place of the master is detected only when it refuses a write"
            );
        }
        Ok(())
    }
}

/// Awaits a task; a panic in it or the end of its runtime becomes a failure.
pub(super) async fn joined<T>(task: JoinHandle<Result<T, Failure>>) -> Result<T, Failure> {
    let aborted = |error: JoinError| Failure::new(FailureKind::Other, io::Error::from(error).to_string());
    task.await.map_err(aborted)?
}
