//! Records of webhook endpoints in memory.

use async_trait::async_trait;

use super::state::MemoryStore;
use crate::{
    domain::EndpointId,
    store::{EndpointRecords, ReplaceOutcome, StoreError, WebhookEndpoints},
};

#[async_trait]
impl WebhookEndpoints for MemoryStore {
    async fn records(&self) -> Result<EndpointRecords, StoreError> {
        Ok(self.current().0.webhook_endpoints.clone())
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        Ok(self.current().0.webhook_endpoints.revision)
    }

    async fn replace(
        &self,
        id: &EndpointId,
        previous: Option<&str>,
        next: Option<&str>,
        max: usize,
    ) -> Result<ReplaceOutcome, StoreError> {
        let endpoints = &mut self.current().0.webhook_endpoints;
        if endpoints.records.get(id).map(String::as_str) != previous {
            return Ok(ReplaceOutcome::Changed);
        }
        if previous.is_none() && next.is_some() && endpoints.records.len() >= max {
            return Ok(ReplaceOutcome::Full);
        }
        match next {
            Some(next) => endpoints.records.insert(id.clone(), next.to_owned()),
            None => endpoints.records.remove(id),
        };
        endpoints.revision += 1;
        Ok(ReplaceOutcome::Replaced)
    }

    async fn touch(&self) -> Result<(), StoreError> {
        self.current().0.webhook_endpoints.revision += 1;
        Ok(())
    }
}
