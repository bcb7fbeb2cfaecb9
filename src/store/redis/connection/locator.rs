//! The current masters of all partitions: looked up once for all waiters, cached, and looked up again after a failure
//! that casts doubt on them.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch, time::sleep};

use super::{
    address::{ConnectOptions, Deployment},
    backoff::{Backoff, jittered},
    cluster::Cluster,
    failure::{Failure, FailureKind},
    node::Node,
    sentinel::Sentinels,
};

/// The interval of Sentinel lookups without a failure. A master that only the Sentinels cannot reach keeps answering
/// this instance, so no failure reveals its replacement.
const SENTINEL_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The address of a partition's master and its epoch. The epoch grows with every change of the address, so an answer of
/// an earlier master is recognised even where the address returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MasterAddress {
    pub(super) node: Node,
    pub(super) epoch: u64,
}

/// Finds the masters of one deployment and publishes their addresses to all connections.
///
/// A partition is an index into the slots that the locator was made with. Without a cluster, all partitions have the
/// same master.
pub(super) struct MasterLocator {
    source: Source,
    /// One entry for each slot in a cluster, otherwise a single one.
    states: watch::Sender<Vec<State>>,
    /// Serialises lookups: stale lookups must not overwrite newer ones, and all waiters share one lookup.
    lookup: tokio::sync::Mutex<()>,
    /// After lookups that no server answered.
    backoff: Backoff,
    /// After lookups that found no owner of a slot, one for each entry: lookups for the others go on.
    unowned: Vec<Backoff>,
}

enum Source {
    /// The configured server is the master.
    Standalone(Node),
    Sentinels(Sentinels),
    Cluster {
        cluster: Cluster,
        slots: Vec<u16>,
    },
}

#[derive(Clone, Debug, Default)]
struct State {
    master: Option<Arc<MasterAddress>>,
    /// The next use looks the master up.
    suspect: bool,
}

impl State {
    fn set(&mut self, node: Node) {
        self.suspect = false;
        let epoch = match &self.master {
            Some(before) if before.node == node => return,
            Some(before) => {
                tracing::warn!(master = %node, before = %before.node, "Redis master changed");
                before.epoch + 1
            }
            None => 0,
        };
        self.master = Some(Arc::new(MasterAddress { node, epoch }));
    }

    fn is_master(&self, master: &MasterAddress) -> bool {
        self.master.as_ref().is_some_and(|current| current.epoch == master.epoch)
    }

    fn is_at(&self, node: &Node) -> bool {
        self.master.as_ref().is_some_and(|master| master.node == *node)
    }
}

impl MasterLocator {
    /// Prepares lookups for slots, which matter in a cluster. With Sentinels it also starts polling them, on this
    /// runtime, until the locator is dropped.
    ///
    /// # Errors
    /// Invalid certificates.
    pub(super) fn new(
        deployment: Deployment,
        options: &ConnectOptions,
        slots: &[u16],
    ) -> Result<Arc<Self>, Failure> {
        let source = Source::new(deployment, options, slots)?;
        let count = if matches!(source, Source::Cluster { .. }) { slots.len() } else { 1 };
        let states = watch::Sender::new(vec![State::default(); count]);
        let (lookup, backoff) = (tokio::sync::Mutex::default(), Backoff::default());
        let unowned = std::iter::repeat_with(Backoff::default).take(count).collect();
        let locator = Arc::new(Self { source, states, lookup, backoff, unowned });
        if matches!(locator.source, Source::Sentinels(_)) {
            Handle::current().spawn(poll(Arc::downgrade(&locator)));
        }
        Ok(locator)
    }

    /// The index of the entry of a partition.
    fn entry(&self, partition: usize) -> usize {
        if matches!(self.source, Source::Cluster { .. }) { partition } else { 0 }
    }

    /// The cached master; `None` where it must be looked up.
    pub(super) fn cached(&self, partition: usize) -> Option<Arc<MasterAddress>> {
        let state = &self.states.borrow()[self.entry(partition)];
        state.master.clone().filter(|_| !state.suspect)
    }

    /// The slot of a partition; `None` without a cluster.
    pub(super) fn slot(&self, partition: usize) -> Option<u16> {
        match &self.source {
            Source::Cluster { slots, .. } => slots.get(partition).copied(),
            _ => None,
        }
    }

    /// The master, from the cache or by a lookup. Concurrent callers share one lookup.
    ///
    /// # Errors
    /// The lookup's failure, or that of the last lookup while the backoff is running.
    pub(super) async fn master(&self, partition: usize) -> Result<Arc<MasterAddress>, Failure> {
        if let Some(master) = self.cached(partition) {
            return Ok(master);
        }
        let _lookup = self.lookup.lock().await;
        if let Some(found_meanwhile) = self.cached(partition) {
            return Ok(found_meanwhile);
        }
        self.backoff.check()?;
        let entry = self.entry(partition);
        let unowned = &self.unowned[entry];
        unowned.check()?;
        let owned = self.look_up().await.inspect_err(|failure| self.backoff.record_failure(failure))?;
        self.backoff.reset();
        let found = self.found(entry, owned[entry]);
        match &found {
            Ok(_) => unowned.reset(),
            Err(failure) => unowned.record_failure(failure),
        }
        found
    }

    /// Looks up the masters of all entries that need it, and returns for which it has found one. The caller holds the
    /// lock `lookup`.
    async fn look_up(&self) -> Result<Vec<bool>, Failure> {
        let found = match &self.source {
            Source::Standalone(node) => vec![Some(node.clone())],
            Source::Sentinels(sentinels) => vec![Some(sentinels.master().await?)],
            Source::Cluster { cluster, slots } => cluster.owners(&self.wanted(slots)).await?,
        };
        let owned = found.iter().map(Option::is_some).collect();
        self.states.send_modify(|states| {
            for (state, node) in states.iter_mut().zip(found) {
                node.into_iter().for_each(|node| state.set(node));
            }
        });
        Ok(owned)
    }

    /// The master of an entry after a lookup. A `MOVED` may have named one meanwhile.
    fn found(&self, entry: usize, is_found: bool) -> Result<Arc<MasterAddress>, Failure> {
        let state = &self.states.borrow()[entry];
        let unowned =
            || Failure::new(FailureKind::ClusterDown, "no node of the cluster owns the slot of the keys");
        state.master.clone().filter(|_| is_found || !state.suspect).ok_or_else(unowned)
    }

    /// The slots whose owners are not known, or in doubt. The answer of one node must not replace what another has told
    /// with `MOVED`.
    fn wanted(&self, slots: &[u16]) -> Vec<Option<u16>> {
        let states = self.states.borrow();
        let is_wanted = |state: &State| state.suspect || state.master.is_none();
        slots.iter().zip(&*states).map(|(slot, state)| Some(*slot).filter(|_| is_wanted(state))).collect()
    }

    /// Makes the next use look up every master at `node`, after a failure there.
    pub(super) fn suspect(&self, node: &Node) {
        self.states.send_if_modified(|states| {
            states.iter_mut().filter(|state| state.is_at(node)).for_each(|state| state.suspect = true);
            // Watchers wait for another master.
            false
        });
    }

    /// Applies a `MOVED` that `from` answered. Ignored where `from` is not the current master, because it may be
    /// outdated.
    ///
    /// # Errors
    /// [`FailureKind::Moved`] where `REDIS_URL` does not configure a cluster, [`FailureKind::Other`] for an invalid
    /// address.
    pub(super) fn handle_moved(
        &self,
        partition: usize,
        from: &MasterAddress,
        to: &str,
    ) -> Result<(), Failure> {
        if !matches!(self.source, Source::Cluster { .. }) {
            let message = "the server is a node of a cluster: REDIS_URL must be redis+cluster://";
            return Err(Failure::new(FailureKind::Moved, message));
        }
        let node = from.node.parse_announced(to);
        let node = node.ok_or_else(|| Failure::new(FailureKind::Other, "MOVED names an invalid address"))?;
        if self.is_current(partition, from) {
            self.states.send_modify(|states| states[partition].set(node));
        }
        Ok(())
    }

    /// Whether `master` is the newest one found.
    pub(super) fn is_current(&self, partition: usize, master: &MasterAddress) -> bool {
        self.states.borrow()[self.entry(partition)].is_master(master)
    }

    /// Whether a node is the master of any partition.
    pub(super) fn is_any_master(&self, node: &Node) -> bool {
        self.states.borrow().iter().any(|state| state.is_at(node))
    }

    /// Watches for the replacement of `master`.
    pub(super) fn watch(&self, partition: usize, master: Arc<MasterAddress>) -> MasterWatch {
        MasterWatch { states: self.states.subscribe(), entry: self.entry(partition), master }
    }
}

impl Source {
    fn new(deployment: Deployment, options: &ConnectOptions, slots: &[u16]) -> Result<Self, Failure> {
        Ok(match deployment {
            Deployment::Standalone(node) => Self::Standalone(node),
            Deployment::Sentinel { sentinels, master_name, options: own } => {
                let own = own.with_certificates_of(options);
                Self::Sentinels(Sentinels::new(&sentinels, master_name, &own)?)
            }
            Deployment::Cluster(seeds) => {
                Self::Cluster { cluster: Cluster::new(seeds, options.clone()), slots: slots.to_vec() }
            }
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

/// Reports when the master of a partition is replaced.
pub struct MasterWatch {
    states: watch::Receiver<Vec<State>>,
    entry: usize,
    master: Arc<MasterAddress>,
}

impl MasterWatch {
    /// Returns when another master has been found. Cancellation safe.
    pub async fn changed(&mut self) {
        let (entry, master) = (self.entry, &self.master);
        if self.states.wait_for(|states| !states[entry].is_master(master)).await.is_err() {
            // The locator is dropped: the store is shutting down, and no further master will be found.
            std::future::pending::<()>().await;
        }
    }
}
