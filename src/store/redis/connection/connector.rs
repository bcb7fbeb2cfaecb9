//! The entry point: calls and subscriptions of one partition, on whichever server is its master.
//!
//! A call is repeated only where the answer says that it was not executed (`MOVED`, `ASK`, `TRYAGAIN`). A call whose
//! answer is lost may have been executed; the caller resolves that.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use redis::{Value, aio::MultiplexedConnection};
use tokio::time::{Instant, sleep, timeout};

use super::{
    address::Address,
    backoff::jittered,
    bulk_pool::BulkConnection,
    connection_factory::{OPEN_TIMEOUT, joined},
    failure::{Failure, FailureKind, Redirect},
    locator::{MasterAddress, MasterLocator, MasterWatch},
    log_throttle::LogThrottle,
    master_connection::MasterConnection,
    node::Node,
    request::Request,
    runtime_connection::RuntimeConnection,
    servers::{Server, Servers},
    subscriptions::Subscription,
};

/// How long a call is repeated during a slot migration.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(2);
/// Mean pause between two attempts during a slot migration.
const MIGRATION_PAUSE: Duration = Duration::from_millis(30);

/// The connection that a request uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// The connection of the calling runtime, for small answers that a client waits for.
    Interactive,
    /// A connection of the bounded pool, for large answers and background jobs.
    Bulk,
}

/// Access to one partition in a Redis deployment. All partitions of the deployment share its connections: there is one
/// for each master and runtime.
#[derive(Clone)]
pub struct Connector {
    partition: usize,
    locator: Arc<MasterLocator>,
    servers: Arc<Servers>,
    log: Arc<LogThrottle>,
}

impl Connector {
    /// Prepares access to partitions, whose keys have these slots in a cluster; opens no connection. Work that all
    /// runtimes share is driven by the calling runtime, which must outlive the others.
    ///
    /// # Errors
    /// An invalid address or invalid certificates.
    pub fn of_slots(address: &Address, slots: &[u16]) -> Result<Vec<Self>, Failure> {
        let invalid = |rule| Failure::new(FailureKind::Other, format!("the address {rule}"));
        let (deployment, options) = address.parse().map_err(invalid)?;
        let locator = MasterLocator::new(deployment, &options, slots)?;
        let servers = Arc::new(Servers::new(options, locator.clone()));
        let log: Arc<LogThrottle> = Arc::default();
        let connector = |partition| {
            let (locator, servers, log) = (locator.clone(), servers.clone(), log.clone());
            Self { partition, locator, servers, log }
        };
        Ok((0..slots.len()).map(connector).collect())
    }

    /// The master of the partition, from the cache or by a lookup on the shared runtime, which keeps connections to
    /// Sentinels open. Cancellation safe: dropping one waiter does not cancel the lookup for the others.
    async fn master(&self) -> Result<Arc<MasterAddress>, Failure> {
        if let Some(master) = self.locator.cached(self.partition) {
            return Ok(master);
        }
        let (locator, partition) = (self.locator.clone(), self.partition);
        let late = |_| Failure::new(FailureKind::Timeout, "the master was not found in time");
        let lookup =
            async move { timeout(OPEN_TIMEOUT, locator.master(partition)).await.map_err(late).flatten() };
        joined(self.servers.runtime().spawn(lookup)).await
    }

    /// The address of the partition's master, and its slot in a cluster.
    ///
    /// # Errors
    /// The failure of the lookup, after at most 4 s.
    pub async fn place(&self) -> Result<(Node, Option<u16>), Failure> {
        Ok((self.master().await?.node.clone(), self.locator.slot(self.partition)))
    }

    /// Opens a dedicated connection to the master.
    ///
    /// # Errors
    /// The failure of the lookup or of the connection, after at most 4 s for each.
    pub async fn open(&self) -> Result<MultiplexedConnection, Failure> {
        let master = self.master().await?;
        Ok(self.servers.get(&master.node)?.factory.open().await?.connection)
    }

    /// Subscribes to no channel yet, with a watch that reports the master's replacement.
    ///
    /// # Errors
    /// The failure of the lookup or of a connection, after a bounded wait.
    pub async fn subscriptions(&self) -> Result<(Subscription, MasterWatch), Failure> {
        let master = self.master().await?;
        let server = self.servers.get(&master.node)?;
        // The connection for commands is probed, so its server is a master.
        server.connections.of_current_runtime().get(&server.factory).await?;
        let subscription = server.subscriptions.open().await?;
        Ok((subscription, self.locator.watch(self.partition, master)))
    }

    /// Logs a failed call, at most once in 10 s for each kind of failure.
    pub fn log_failure(&self, call: &'static str, failure: &Failure) {
        self.log.warn(call, failure);
    }

    /// Sends a request and waits for its answer. During a slot migration the request is repeated for 2 s.
    ///
    /// # Errors
    /// The last failure. Unless its kind says that Redis refused the request, a change may have been made.
    pub fn call<'a>(
        &'a self,
        request: Request<'a>,
        traffic: Traffic,
    ) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(self.call_until(request, traffic, Instant::now() + MIGRATION_TIMEOUT))
    }

    /// As [`Self::call`], without repeating: for callers with an alternative during a slot migration.
    ///
    /// # Errors
    /// As [`Self::call`]; during a slot migration a failure with [`Failure::is_slot_migrating`].
    pub fn call_once<'a>(
        &'a self,
        request: Request<'a>,
        traffic: Traffic,
    ) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(self.attempt(request, traffic))
    }

    async fn call_until(
        &self,
        request: Request<'_>,
        traffic: Traffic,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        loop {
            let failure = match self.attempt(request, traffic).await {
                Err(failure) if failure.is_slot_migrating() => failure,
                answer => return answer,
            };
            if Instant::now() >= deadline {
                return Err(failure);
            }
            sleep(jittered(MIGRATION_PAUSE)).await;
        }
    }

    async fn attempt(&self, request: Request<'_>, traffic: Traffic) -> Result<Value, Failure> {
        let master = self.master().await?;
        let server = self.servers.get(&master.node)?;
        let lease = Lease::take(&server, traffic).await?;
        let connection = lease.connection().clone();
        let answer = request.send(&mut connection.connection.clone(), server.factory.probe()).await;
        let failure = match answer {
            // A replaced master may answer from a history that the new master does not have.
            Ok(_) if !self.locator.is_current(self.partition, &master) => {
                return Err(Failure::new(FailureKind::Superseded, "the master was replaced during the call"));
            }
            Ok(value) => {
                connection.record_answer();
                lease.release();
                return Ok(value);
            }
            Err(failure) => failure,
        };
        server.factory.handle_failure(&connection, &failure);
        if failure.kind.discards_connection() {
            lease.discard();
        } else {
            lease.release();
        }
        self.redirect(&master, failure, request).await
    }

    /// Follows `ASK`, and remembers the owner that `MOVED` names for the next attempt.
    async fn redirect(
        &self,
        master: &MasterAddress,
        failure: Failure,
        request: Request<'_>,
    ) -> Result<Value, Failure> {
        match &failure.redirect {
            Some(Redirect::Moved(to)) => self.locator.handle_moved(self.partition, master, to)?,
            Some(Redirect::Ask(to)) => {
                let invalid = || Failure::new(FailureKind::Other, "ASK names an invalid address");
                let node = master.node.parse_announced(to).ok_or_else(invalid)?;
                return self.ask(node, request).await;
            }
            None => {}
        }
        Err(failure)
    }

    /// Sends a request to the node that imports the slot.
    async fn ask(&self, node: Node, request: Request<'_>) -> Result<Value, Failure> {
        if let Request::Reads(commands) = request {
            // Some keys have been migrated and some have not, so each command finds its own node.
            let mut values = Vec::new();
            for command in commands.cmd_iter() {
                values.push(self.call(Request::Command(command), Traffic::Interactive).await?);
            }
            return Ok(Value::Array(values));
        }
        let server = self.servers.get(&node)?;
        let lease = Lease::take(&server, Traffic::Interactive).await?;
        let connection = lease.connection().clone();
        let answer = request.send_asking(&mut connection.connection.clone()).await;
        if let Err(failure) = &answer
            && failure.kind.discards_connection()
        {
            server.factory.handle_failure(&connection, failure);
            lease.discard();
        }
        answer
    }
}

/// A connection for one request.
enum Lease {
    Shared { owner: Arc<RuntimeConnection>, connection: Arc<MasterConnection> },
    Pooled { connection: Arc<MasterConnection>, slot: PoolSlot },
}

impl Lease {
    async fn take(server: &Server, traffic: Traffic) -> Result<Self, Failure> {
        if traffic == Traffic::Bulk {
            let pooled = server.bulk_pool.get().await?;
            return Ok(Self::Pooled { connection: pooled.clone(), slot: PoolSlot(Some(pooled)) });
        }
        let owner = server.connections.of_current_runtime();
        let connection = owner.get(&server.factory).await?;
        Ok(Self::Shared { owner, connection })
    }

    fn connection(&self) -> &Arc<MasterConnection> {
        match self {
            Self::Shared { connection, .. } | Self::Pooled { connection, .. } => connection,
        }
    }

    /// Ends the request after a complete answer: a later request may get the connection.
    fn release(self) {
        if let Self::Pooled { mut slot, .. } = self {
            drop(slot.0.take());
        }
    }

    /// Drops the connection after a failure, so that no later request gets it.
    fn discard(self) {
        if let Self::Shared { owner, connection } = self {
            owner.discard(&connection);
        }
    }
}

/// A connection's place in the pool. The connection leaves the pool when this is dropped: the answer of a cancelled
/// request may still be on its way, and the next request would wait behind it.
struct PoolSlot(Option<BulkConnection>);

impl Drop for PoolSlot {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(BulkConnection::take(connection));
        }
    }
}
