//! Media jobs whose calls belong to a process.

use async_trait::async_trait;
use livestream_orchestrator::{
    domain::{EgressId, IngressId, RoomName},
    media::{
        EgressJobs, ListedEgress, ListedIngress, MediaError, MediaJobs, NewEgress, NewIngress, TargetChange,
    },
};

use super::Crashing;

#[async_trait]
impl MediaJobs for Crashing<dyn MediaJobs> {
    fn simulated(&self) -> bool {
        self.inner.simulated()
    }
    async fn create_ingress(&self, new: &NewIngress) -> Result<ListedIngress, MediaError> {
        self.process.call(self.inner.create_ingress(new)).await
    }
    async fn ingresses(&self, room: Option<&RoomName>) -> Result<Vec<ListedIngress>, MediaError> {
        self.process.call(self.inner.ingresses(room)).await
    }
    async fn ingress(&self, id: &IngressId) -> Result<Option<ListedIngress>, MediaError> {
        self.process.call(self.inner.ingress(id)).await
    }
    async fn delete_ingress(&self, id: &IngressId) -> Result<(), MediaError> {
        self.process.call(self.inner.delete_ingress(id)).await
    }
}

#[async_trait]
impl EgressJobs for Crashing<dyn MediaJobs> {
    async fn start_egress(&self, new: &NewEgress) -> Result<ListedEgress, MediaError> {
        self.process.call(self.inner.start_egress(new)).await
    }
    async fn change_targets(&self, id: &EgressId, change: &TargetChange) -> Result<ListedEgress, MediaError> {
        self.process.call(self.inner.change_targets(id, change)).await
    }
    async fn stop_egress(&self, id: &EgressId) -> Result<(), MediaError> {
        self.process.call(self.inner.stop_egress(id)).await
    }
    async fn egresses(&self, room: Option<&RoomName>) -> Result<Vec<ListedEgress>, MediaError> {
        self.process.call(self.inner.egresses(room)).await
    }
    async fn egress(&self, id: &EgressId) -> Result<Option<ListedEgress>, MediaError> {
        self.process.call(self.inner.egress(id)).await
    }
}
