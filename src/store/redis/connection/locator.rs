//! The current master: looked up once for all waiters, cached, and looked up again after a failure that casts doubt on
//! it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch, time::sleep};

use super::{
    address::{ConnectOptions, Deployment},
    backoff::jittered,
    cluster::Cluster,
    failure::{Failure, FailureKind},
    node::Node,
    sentinel::Sentinels,
};

/// The interval of Sentinel lookups without a failure. A master that only the Sentinels cannot reach keeps answering
/// this instance, so no failure reveals its replacement.
const SENTINEL_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The address of a master and its epoch. The epoch grows with every change of the address, so a connection to an
/// earlier master is recognised even where the address returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MasterAddress {
    pub(super) node: Node,
    pub(super) epoch: u64,
}

/// Finds the master and publishes its address to all connections.
pub(super) struct MasterLocator {
    source: Source,
    state: watch::Sender<State>,
    /// Serialises lookups: stale lookups must not overwrite newer ones, and all waiters share one lookup.
    lookup: tokio::sync::Mutex<()>,
}

enum Source {
    /// The configured server is the master.
    Standalone(Node),
    Sentinels(Sentinels),
    Cluster(Cluster),
}

#[derive(Clone, Debug, Default)]
struct State {
    master: Option<MasterAddress>,
    /// The next use looks the master up.
    suspect: bool,
}

impl MasterLocator {
    /// Prepares lookups for the slot of `key`, which matters in a cluster. With Sentinels it also starts polling them,
    /// on this runtime, until the locator is dropped.
    ///
    /// # Errors
    /// Invalid certificates.
    pub(super) fn new(
        deployment: Deployment,
        options: &ConnectOptions,
        key: String,
    ) -> Result<Arc<Self>, Failure> {
        let source = Source::new(deployment, options, key)?;
        let state = watch::Sender::new(State::default());
        let locator = Arc::new(Self { source, state, lookup: tokio::sync::Mutex::default() });
        if matches!(locator.source, Source::Sentinels(_)) {
            Handle::current().spawn(poll(Arc::downgrade(&locator)));
        }
        Ok(locator)
    }

    /// The cached master; `None` where it must be looked up.
    pub(super) fn cached(&self) -> Option<MasterAddress> {
        let state = self.state.borrow();
        state.master.clone().filter(|_| !state.suspect)
    }

    /// The master, from the cache or by a lookup. Concurrent callers share one lookup.
    ///
    /// # Errors
    /// The lookup's failure.
    pub(super) async fn master(&self) -> Result<MasterAddress, Failure> {
        if let Some(master) = self.cached() {
            return Ok(master);
        }
        let _lookup = self.lookup.lock().await;
        match self.cached() {
            Some(found_meanwhile) => Ok(found_meanwhile),
            None => self.look_up().await,
        }
    }

    /// Looks up the master. The caller holds the lock `lookup`.
    async fn look_up(&self) -> Result<MasterAddress, Failure> {
        let node = match &self.source {
            Source::Standalone(node) => node.clone(),
            Source::Sentinels(sentinels) => sentinels.master().await?,
            Source::Cluster(cluster) => cluster.slot_owner().await?,
        };
        Ok(self.set_master(node))
    }

    fn set_master(&self, node: Node) -> MasterAddress {
        let mut master = MasterAddress { node, epoch: 0 };
        self.state.send_modify(|state| {
            if let Some(before) = &state.master {
                let same = before.node == master.node;
                master.epoch = before.epoch + u64::from(!same);
                if !same {
                    tracing::warn!(master = %master.node, before = %before.node, "Redis master changed");
                }
            }
            *state = State { master: Some(master.clone()), suspect: false };
        });
        master
    }

    /// Makes the next use look the master up, after a failure at `master`. Ignored where `master` is not the current
    /// one.
    pub(super) fn suspect(&self, master: &MasterAddress) {
        self.state.send_if_modified(|state| {
            let current = state.master.as_ref() == Some(master);
            state.suspect |= current;
            current
        });
    }

    /// Applies a `MOVED` that `from` answered. Ignored where `from` is not the current master, because it may be
    /// outdated.
    ///
    /// # Errors
    /// [`FailureKind::Moved`] where `REDIS_URL` does not configure a cluster, [`FailureKind::Other`] for an invalid
    /// address.
    pub(super) fn handle_moved(&self, from: &MasterAddress, to: &str) -> Result<(), Failure> {
        if !matches!(self.source, Source::Cluster(_)) {
            let message = "the server is a node of a cluster: REDIS_URL must be redis+cluster://";
            return Err(Failure::new(FailureKind::Moved, message));
        }
        let node = from.node.parse_announced(to);
        let node = node.ok_or_else(|| Failure::new(FailureKind::Other, "MOVED names an invalid address"))?;
        if self.is_current(from) {
            self.set_master(node);
        }
        Ok(())
    }

    /// Whether `master` is the newest one found.
    pub(super) fn is_current(&self, master: &MasterAddress) -> bool {
        self.state.borrow().master.as_ref() == Some(master)
    }

    /// Watches for the replacement of `master`.
    pub(super) fn watch(&self, master: MasterAddress) -> MasterWatch {
        MasterWatch { state: self.state.subscribe(), master }
    }
}

impl Source {
    fn new(deployment: Deployment, options: &ConnectOptions, key: String) -> Result<Self, Failure> {
        Ok(match deployment {
            Deployment::Standalone(node) => Self::Standalone(node),
            Deployment::Sentinel { sentinels, master_name, options: own } => {
                let own = own.with_certificates_of(options);
                Self::Sentinels(Sentinels::new(&sentinels, master_name, &own)?)
            }
            Deployment::Cluster(seeds) => Self::Cluster(Cluster::new(seeds, options.clone(), key)),
        })
    }
}

/// Looks up the master once an interval, until the locator is dropped.
async fn poll(locator: Weak<MasterLocator>) {
    loop {
        sleep(jittered(SENTINEL_POLL_INTERVAL)).await;
        let Some(locator) = locator.upgrade() else { return };
        let _lookup = locator.lookup.lock().await;
        if let Err(failure) = locator.look_up().await {
            tracing::debug!(error = failure.message, "Sentinel poll failed");
        }
    }
}

/// Reports when a master is replaced.
pub struct MasterWatch {
    state: watch::Receiver<State>,
    master: MasterAddress,
}

impl MasterWatch {
    /// Returns when another master has been found. Cancellation safe.
    pub async fn changed(&mut self) {
        let master = &self.master;
        let replaced = |state: &State| state.master.as_ref() != Some(master);
        if self.state.wait_for(replaced).await.is_err() {
            // The locator is dropped: the store is shutting down, and no further master will be found.
            std::future::pending::<()>().await;
        }
    }
}
