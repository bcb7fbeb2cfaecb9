//! Opens connections to the master, probes them, and decides after a failure which connections stay usable.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::aio::MultiplexedConnection;
use tokio::{
    runtime::Handle,
    sync::Mutex,
    task::{JoinError, JoinHandle},
    time::timeout,
};

use super::{
    address::ConnectOptions,
    backoff::Backoff,
    failure::{Failure, FailureKind},
    locator::{MasterAddress, MasterLocator},
    master_connection::MasterConnection,
    node::{self, Node, Probe},
};

/// The limit for opening a connection, the lookup of the master included.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(4);

/// Opens connections to the current master. Clones share state.
#[derive(Clone)]
pub(super) struct ConnectionFactory(Arc<Inner>);

struct Inner {
    options: ConnectOptions,
    locator: Arc<MasterLocator>,
    backoff: Backoff,
    /// The number of connections that broke or timed out. A connection opened before the last of them is discarded
    /// without a probe, because each probe of a dead connection would wait for a timeout.
    breakages: AtomicU64,
    /// Drives everything that runtimes share. HTTP workers have runtimes of their own, which end before the process.
    runtime: Handle,
    /// The user may not run `ROLE`.
    ping_only: AtomicBool,
    /// The connection to the node that imports the slot, during a slot migration.
    importing: Mutex<Option<(Node, MultiplexedConnection)>>,
}

impl ConnectionFactory {
    /// Prepares connections; opens none. Shared work runs on the runtime that calls this.
    pub(super) fn new(options: ConnectOptions, locator: Arc<MasterLocator>) -> Self {
        Self(Arc::new(Inner {
            options,
            locator,
            backoff: Backoff::default(),
            breakages: AtomicU64::new(0),
            runtime: Handle::current(),
            ping_only: AtomicBool::new(false),
            importing: Mutex::default(),
        }))
    }

    pub(super) fn locator(&self) -> &MasterLocator {
        &self.0.locator
    }

    /// A client for a node, for subscriptions; opens no connection.
    ///
    /// # Errors
    /// Invalid certificates.
    pub(super) fn client(&self, node: &Node) -> Result<redis::Client, Failure> {
        Ok(self.0.options.client(node)?)
    }

    /// Opens a connection to the master. The calling runtime drives it. Cancellation safe: the attempt goes on when its
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
        let master = self.master().await?;
        match self.open_probed(&master.node).await {
            Ok(connection) => Ok(MasterConnection::new(connection, master, breakages)),
            Err(failure) => {
                // Any failure may mean that the master was replaced.
                self.0.locator.suspect(&master);
                Err(failure)
            }
        }
    }

    async fn open_probed(&self, node: &Node) -> Result<MultiplexedConnection, Failure> {
        let mut connection = node::open(&self.client(node)?).await?;
        self.run_probe(&mut connection).await?;
        Ok(connection)
    }

    /// The master, cached or looked up. The lookup runs on the shared runtime, because it keeps connections to
    /// Sentinels open. Cancellation safe: dropping one waiter does not cancel the lookup for the others.
    async fn master(&self) -> Result<MasterAddress, Failure> {
        if let Some(master) = self.0.locator.cached() {
            return Ok(master);
        }
        let locator = self.0.locator.clone();
        joined(self.0.runtime.spawn(async move { locator.master().await })).await
    }

    /// Whether a connection leads to the current master, and no connection has broken since it was opened.
    pub(super) fn is_usable(&self, connection: &MasterConnection) -> bool {
        self.0.locator.is_current(&connection.master)
            && connection.breakages == self.0.breakages.load(Ordering::Relaxed)
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

    /// Invalidates what a failure on a connection casts doubt on: connections of the same age, and the master's
    /// address.
    pub(super) fn handle_failure(&self, connection: &MasterConnection, failure: &Failure) {
        if failure.kind.is_breakage() {
            // All calls on one broken connection count once, so they cannot discard its replacement.
            let (known, next) = (connection.breakages, connection.breakages + 1);
            let _ = self.0.breakages.compare_exchange(known, next, Ordering::Relaxed, Ordering::Relaxed);
        }
        if failure.kind.requires_master_lookup() {
            self.0.locator.suspect(&connection.master);
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

    /// The connection to the node that imports the slot, shared by all redirected calls.
    ///
    /// # Errors
    /// Redis refuses the connection, the network fails, or the wait is over.
    pub(super) async fn importing(&self, node: Node) -> Result<MultiplexedConnection, Failure> {
        let mut importing = self.0.importing.lock().await;
        if let Some((at, connection)) = &*importing
            && *at == node
        {
            return Ok(connection.clone());
        }
        let client = self.client(&node)?;
        let opened = joined(self.0.runtime.spawn(async move { node::open(&client).await })).await?;
        *importing = Some((node, opened.clone()));
        Ok(opened)
    }

    /// Drops the connection of [`Self::importing`] after a failure on it.
    pub(super) async fn discard_importing(&self) {
        *self.0.importing.lock().await = None;
    }
}

/// Awaits a task; a panic in it or the end of its runtime becomes a failure.
async fn joined<T>(task: JoinHandle<Result<T, Failure>>) -> Result<T, Failure> {
    let aborted = |error: JoinError| Failure::new(FailureKind::Other, io::Error::from(error).to_string());
    task.await.map_err(aborted)?
}
