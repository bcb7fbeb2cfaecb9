//! The use cases of one instance, with its reconciler, sweeper and webhook processor, without their loops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{ops::Deref, sync::Arc, time::Duration};

use livestream_orchestrator::{
    domain::StoragePrefix,
    media::{MediaJobs, PublicUrl, Storage, StorageBackend},
    orchestrator::{
        Error, MediaStorage, Orchestrator, Outcome, Policy, Reconciler, Report, Sweeper, WebhookProcessor,
    },
    rooms::{RoomEvent, Rooms},
    store::PartitionStore,
    telemetry::Metrics,
};

pub struct Service {
    orchestrator: Arc<Orchestrator>,
    reconciler: Reconciler,
    sweeper: Sweeper,
    webhooks: WebhookProcessor,
}

/// A storage whose files are served.
fn storage() -> MediaStorage {
    let storage = Storage { backend: StorageBackend::Worker, prefix: StoragePrefix::default() };
    let public_url = PublicUrl::new(&"https://cdn.example/x".parse().unwrap());
    MediaStorage::new(&storage, Some(public_url))
}

impl Service {
    pub fn new(
        store: Arc<dyn PartitionStore>,
        rooms: Arc<dyn Rooms>,
        media: Arc<dyn MediaJobs>,
        policy: Policy,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self::with_storage(Some(storage()), store, rooms, media, policy, metrics)
    }

    /// As [`Self::new`], with another storage of recordings and HLS, or without one.
    pub fn with_storage(
        storage: Option<MediaStorage>,
        store: Arc<dyn PartitionStore>,
        rooms: Arc<dyn Rooms>,
        media: Arc<dyn MediaJobs>,
        policy: Policy,
        metrics: Arc<Metrics>,
    ) -> Self {
        let orchestrator = Orchestrator::new(store.clone(), rooms, media, policy, metrics);
        let orchestrator = Arc::new(orchestrator.with_storage(storage));
        Self {
            reconciler: Reconciler::new(orchestrator.clone(), store.clone()),
            sweeper: Sweeper::new(orchestrator.clone(), store),
            webhooks: WebhookProcessor::new(orchestrator.clone()),
            orchestrator,
        }
    }

    pub async fn reconcile(&self, every: Duration) -> Result<Option<Report>, Error> {
        self.reconciler.reconcile(every).await
    }

    pub async fn sweep(&self) -> Result<usize, Error> {
        self.sweeper.sweep().await
    }

    pub async fn process(&self, event: RoomEvent) -> Result<Outcome, Error> {
        self.webhooks.process(event).await
    }
}

impl Deref for Service {
    type Target = Orchestrator;

    fn deref(&self) -> &Orchestrator {
        &self.orchestrator
    }
}
