//! Health and totals, for any caller.

use std::sync::Arc;

use crate::{
    rooms::Rooms,
    store::{Store, StoreError, Totals},
};

/// Checks the store and LiveKit, and reads totals. It gives no access to streams.
#[derive(Clone)]
pub struct Health {
    store: Arc<dyn Store>,
    rooms: Arc<dyn Rooms>,
}

impl Health {
    pub(super) fn new(store: Arc<dyn Store>, rooms: Arc<dyn Rooms>) -> Self {
        Self { store, rooms }
    }

    /// Reports whether the store answers.
    pub async fn is_store_up(&self) -> bool {
        self.store.ping().await.is_ok()
    }

    /// Reports whether LiveKit answers.
    pub async fn is_livekit_up(&self) -> bool {
        self.rooms.ping().await.is_ok()
    }

    /// Reports whether rooms are simulated in this process.
    pub fn is_simulated(&self) -> bool {
        self.rooms.simulated()
    }

    /// Returns totals over all instances.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the store does not answer.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        self.store.totals().await
    }
}
