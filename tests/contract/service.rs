//! The use cases of one instance, with its reconciler, sweeper and webhook processor, without their loops.

use std::{ops::Deref, sync::Arc, time::Duration};

use livestream_orchestrator::{
    orchestrator::{Error, Orchestrator, Outcome, Policy, Reconciler, Report, Sweeper, WebhookProcessor},
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

impl Service {
    pub fn new(
        store: Arc<dyn PartitionStore>,
        rooms: Arc<dyn Rooms>,
        policy: Policy,
        metrics: Arc<Metrics>,
    ) -> Self {
        let orchestrator = Arc::new(Orchestrator::new(store.clone(), rooms, policy, metrics));
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
