//! Health and totals, for any caller.

use std::sync::Arc;

use super::probe::Probe;
use crate::{
    rooms::Rooms,
    store::{Store, Totals},
};

/// Checks the store and LiveKit, and reads totals. It gives no access to streams. Clones share their results.
#[derive(Clone)]
pub struct Health {
    store: Arc<dyn Store>,
    rooms: Arc<dyn Rooms>,
    store_probe: Probe<()>,
    rooms_probe: Probe<()>,
    totals: Probe<Totals>,
}

impl Health {
    pub(super) fn new(store: Arc<dyn Store>, rooms: Arc<dyn Rooms>) -> Self {
        Self {
            store,
            rooms,
            store_probe: Probe::default(),
            rooms_probe: Probe::default(),
            totals: Probe::default(),
        }
    }

    /// Reports whether the store answers, or answered within the last second.
    pub async fn is_store_up(&self) -> bool {
        let store = self.store.clone();
        self.store_probe.result(async move { store.ping().await.ok() }).await.is_some()
    }

    /// Reports whether LiveKit answers, or answered within the last second.
    pub async fn is_livekit_up(&self) -> bool {
        let rooms = self.rooms.clone();
        self.rooms_probe.result(async move { rooms.ping().await.ok() }).await.is_some()
    }

    /// Reports whether rooms are simulated in this process.
    pub fn is_simulated(&self) -> bool {
        self.rooms.simulated()
    }

    /// Returns totals over all instances, at most a second old; `None` if the store does not answer.
    pub async fn totals(&self) -> Option<Totals> {
        let store = self.store.clone();
        self.totals.result(async move { store.totals().await.ok() }).await
    }
}
