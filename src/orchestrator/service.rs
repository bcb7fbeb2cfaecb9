//! The use cases' dependencies.

use std::sync::{Arc, atomic::AtomicU32};

use super::{health::Health, media_storage::MediaStorage, policy::Policy};
use crate::{media::MediaJobs, rooms::Rooms, store::Store, telemetry::Metrics};

/// The use cases for one store and one LiveKit deployment.
pub struct Orchestrator {
    pub(super) store: Arc<dyn Store>,
    pub(super) rooms: Arc<dyn Rooms>,
    pub(super) media: Arc<dyn MediaJobs>,
    /// Storage of recordings and HLS; `None` without one.
    pub(super) storage: Option<MediaStorage>,
    pub(super) policy: Policy,
    pub(super) metrics: Arc<Metrics>,
    /// Maximum participants of a room without a limit of its own, from LiveKit's configuration; 0 means no limit.
    pub(super) default_limit: AtomicU32,
    health: Health,
}

impl Orchestrator {
    /// Creates the use cases. Opens no connection.
    pub fn new(
        store: Arc<dyn Store>,
        rooms: Arc<dyn Rooms>,
        media: Arc<dyn MediaJobs>,
        policy: Policy,
        metrics: Arc<Metrics>,
    ) -> Self {
        let health = Health::new(store.clone(), rooms.clone());
        let storage = None;
        Self { store, rooms, media, storage, policy, metrics, default_limit: AtomicU32::new(0), health }
    }

    /// Adds the storage of recordings and HLS.
    #[must_use]
    pub fn with_storage(self, storage: Option<MediaStorage>) -> Self {
        Self { storage, ..self }
    }

    /// Returns the configured times.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns a handle that checks the store and LiveKit and reads totals. Calls neither of them yet.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Counts streams and participants that maintenance has changed.
    pub(super) fn count_cleanup(&self, kind: &str, count: u64) {
        self.metrics.cleanups.with_label_values(&[kind]).inc_by(count);
    }
}
