//! Records of webhook endpoints: in the first partition.

use async_trait::async_trait;

use super::{PartitionBackend, PartitionedStore};
use crate::{
    domain::{EndpointId, Partition},
    store::{EndpointRecords, ReplaceOutcome, StoreError, WebhookEndpoints},
};

#[async_trait]
impl<P: PartitionBackend> WebhookEndpoints for PartitionedStore<P> {
    async fn records(&self) -> Result<EndpointRecords, StoreError> {
        self.partition(Partition::FIRST).records().await
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        self.partition(Partition::FIRST).revision().await
    }

    async fn replace(
        &self,
        id: &EndpointId,
        previous: Option<&str>,
        next: Option<&str>,
        max: usize,
    ) -> Result<ReplaceOutcome, StoreError> {
        self.partition(Partition::FIRST).replace(id, previous, next, max).await
    }

    async fn touch(&self) -> Result<(), StoreError> {
        self.partition(Partition::FIRST).touch().await
    }
}
