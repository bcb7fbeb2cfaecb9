//! The reconciler's dependencies, and the lease that its parts renew.

use std::{sync::Arc, time::Duration};

use crate::{
    orchestrator::{error::Error, policy::Policy, service::Orchestrator},
    rooms::Rooms,
    store::{Lease, PartitionStore, StoreError},
    telemetry::Metrics,
};

/// Time without a renewal after which another instance takes over.
pub(super) const LEASE: Duration = Duration::from_secs(10);
/// Maximum streams in one list request to LiveKit.
pub(super) const PAGE: usize = 500;

/// Compares the recorded streams with LiveKit's rooms and repairs differences.
pub struct Reconciler {
    pub(super) orchestrator: Arc<Orchestrator>,
    pub(super) store: Arc<dyn PartitionStore>,
    pub(super) rooms: Arc<dyn Rooms>,
    pub(super) policy: Policy,
    pub(super) metrics: Arc<Metrics>,
}

impl Reconciler {
    /// Creates a reconciler of a partition.
    pub fn new(orchestrator: Arc<Orchestrator>, partition: Arc<dyn PartitionStore>) -> Self {
        let (rooms, policy, metrics) =
            (orchestrator.rooms.clone(), orchestrator.policy, orchestrator.metrics.clone());
        Self { orchestrator, store: partition, rooms, policy, metrics }
    }

    /// Renews the lease before a LiveKit call, which no lease can guard.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if the lease is lost.
    pub(super) async fn renew_lease(&self, lease: &Lease) -> Result<(), Error> {
        if self.store.renew_lease(lease, LEASE).await? { Ok(()) } else { Err(StoreError::LeaseLost.into()) }
    }
}
