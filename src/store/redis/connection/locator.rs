//! Who the master is: looked up when it is doubted, once for all who want to know, and remembered.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::watch, time::sleep};

use super::{
    address::{Access, Deployment},
    brake::jittered,
    cluster::Cluster,
    failure::{Failure, Kind},
    node::Node,
    sentinel::Sentinels,
};

/// How often the Sentinels are asked although nothing seems wrong: a master that is cut off from them, and not from us,
/// goes on answering.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// A master, and how many there have been: connections of an earlier one are not used any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) node: Node,
    pub(super) number: u64,
}

/// See the module's words.
pub(super) struct Locator {
    source: Source,
    known: watch::Sender<Known>,
    /// One looks it up, the others wait for what is found; nobody puts what was true before in place of what is.
    looking: tokio::sync::Mutex<()>,
}

enum Source {
    /// Whoever answers there is the master.
    One(Node),
    Sentinels(Sentinels),
    Cluster(Cluster),
}

#[derive(Clone, Debug, Default)]
struct Known {
    place: Option<Place>,
    doubted: bool,
}

impl Locator {
    /// For keys of the slot of `key`, where there are slots. With Sentinels it begins to watch them, on this runtime,
    /// until it is dropped.
    ///
    /// # Errors
    /// For certificates that cannot be understood.
    pub(super) fn new(deployment: Deployment, access: &Access, key: String) -> Result<Arc<Self>, Failure> {
        let source = match deployment {
            Deployment::One(node) => Source::One(node),
            Deployment::Sentinel { sentinels, master, access: own } => {
                let own = own.with_certificates_of(access);
                Source::Sentinels(Sentinels::new(&sentinels, master, &own)?)
            }
            Deployment::Cluster(seeds) => Source::Cluster(Cluster::new(seeds, access.clone(), key)),
        };
        let known = watch::Sender::new(Known::default());
        let locator = Arc::new(Self { source, known, looking: tokio::sync::Mutex::default() });
        if matches!(locator.source, Source::Sentinels(_)) {
            let watched = Arc::downgrade(&locator);
            Handle::current().spawn(async move {
                loop {
                    sleep(jittered(WATCH_INTERVAL)).await;
                    let Some(locator) = watched.upgrade() else { return };
                    let _one = locator.looking.lock().await;
                    if let Err(failure) = locator.look().await {
                        tracing::debug!(error = failure.words, "the Sentinels could not be asked");
                    }
                }
            });
        }
        Ok(locator)
    }

    /// The master, where there is no reason to look it up.
    pub(super) fn trusted(&self) -> Option<Place> {
        let known = self.known.borrow();
        known.place.clone().filter(|_| !known.doubted)
    }

    /// The master, as far as is known.
    ///
    /// # Errors
    /// Where it has to be looked up and nobody says.
    pub(super) async fn place(&self) -> Result<Place, Failure> {
        if let Some(place) = self.trusted() {
            return Ok(place);
        }
        let _one = self.looking.lock().await;
        match self.trusted() {
            Some(found_meanwhile) => Ok(found_meanwhile),
            None => self.look().await,
        }
    }

    async fn look(&self) -> Result<Place, Failure> {
        let node = match &self.source {
            Source::One(node) => node.clone(),
            Source::Sentinels(sentinels) => sentinels.master().await?,
            Source::Cluster(cluster) => cluster.owner().await?,
        };
        Ok(self.set(node))
    }

    fn set(&self, node: Node) -> Place {
        let mut place = Place { node, number: 0 };
        self.known.send_modify(|known| {
            if let Some(old) = &known.place {
                let same = old.node == place.node;
                place.number = old.number + u64::from(!same);
                if !same {
                    tracing::warn!(master = %place.node, before = %old.node, "Redis has another master");
                }
            }
            *known = Known { place: Some(place.clone()), doubted: false };
        });
        place
    }

    /// Somebody has reason to think that there is another master: who wants to know next looks it up.
    pub(super) fn doubt(&self, place: &Place) {
        self.known.send_if_modified(|known| {
            let present = known.place.as_ref() == Some(place);
            known.doubted |= present;
            present
        });
    }

    /// A node of a cluster has said who owns our slot. One that is not asked any more is not believed.
    ///
    /// # Errors
    /// [`Kind::Moved`] where nobody said that there is a cluster, [`Kind::Other`] for what is no address.
    pub(super) fn moved(&self, by: &Place, to: &str) -> Result<(), Failure> {
        if !matches!(self.source, Source::Cluster(_)) {
            let words = "the server is a node of a cluster: REDIS_URL must be redis+cluster://";
            return Err(Failure::new(Kind::Moved, words));
        }
        let node = by.node.named_by(to);
        let node = node.ok_or_else(|| Failure::new(Kind::Other, "MOVED to what is no address"))?;
        if self.is_present(by) {
            self.set(node);
        }
        Ok(())
    }

    /// Whether this place is still the master's, as far as is known.
    pub(super) fn is_present(&self, place: &Place) -> bool {
        self.known.borrow().place.as_ref() == Some(place)
    }

    /// To be told when there is another master.
    pub(super) fn watch(self: &Arc<Self>, place: Place) -> Stay {
        Stay { known: self.known.subscribe(), place }
    }
}

/// How long a place is the master's.
pub struct Stay {
    known: watch::Receiver<Known>,
    place: Place,
}

impl Stay {
    /// Returns when there is another master. Cancelling the future loses nothing.
    pub async fn over(&mut self) {
        let place = &self.place;
        let other = |known: &Known| known.place.as_ref() != Some(place);
        if self.known.wait_for(other).await.is_err() {
            // The store is gone; so is whoever waits, any moment.
            std::future::pending::<()>().await;
        }
    }
}
