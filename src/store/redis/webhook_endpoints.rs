//! Records of webhook endpoints: a hash, and a counter of its changes.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{client::RedisStore, codec::corrupt, scripts::ReplaceEndpoint};
use crate::{
    domain::EndpointId,
    store::{EndpointRecords, ReplaceOutcome, StoreError, WebhookEndpoints},
};

#[async_trait]
impl WebhookEndpoints for RedisStore {
    async fn records(&self) -> Result<EndpointRecords, StoreError> {
        // Read first: a change between the two reads is read again after the next comparison of revisions.
        let revision = self.revision().await?;
        let mut command = redis::cmd("HGETALL");
        command.arg(self.keys.webhook_endpoints());
        let texts: BTreeMap<String, String> = self.query("webhook_endpoints", &command).await?;
        let parse =
            |(id, text): (String, String)| Ok((id.parse().map_err(|_| corrupt("webhook_endpoints"))?, text));
        let records = texts.into_iter().map(parse).collect::<Result<_, StoreError>>()?;
        Ok(EndpointRecords { revision, records })
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        let mut command = redis::cmd("GET");
        command.arg(self.keys.webhook_endpoints_revision());
        let revision: Option<u64> = self.query("webhook_endpoints_revision", &command).await?;
        Ok(revision.unwrap_or_default())
    }

    async fn replace(
        &self,
        id: &EndpointId,
        previous: Option<&str>,
        next: Option<&str>,
        max: usize,
    ) -> Result<ReplaceOutcome, StoreError> {
        let call = ReplaceEndpoint {
            endpoints: self.keys.webhook_endpoints(),
            revision: self.keys.webhook_endpoints_revision(),
            id: id.to_string(),
            previous: previous.map(str::to_owned),
            next: next.map(str::to_owned),
            max,
        };
        let outcome: String = self.run("replace_endpoint", call).await?;
        match outcome.as_str() {
            "replaced" => Ok(ReplaceOutcome::Replaced),
            "changed" => Ok(ReplaceOutcome::Changed),
            "full" => Ok(ReplaceOutcome::Full),
            _ => Err(corrupt("replace_endpoint")),
        }
    }

    async fn touch(&self) -> Result<(), StoreError> {
        let mut command = redis::cmd("INCRBY");
        command.arg(self.keys.webhook_endpoints_revision()).arg(1);
        let _: u64 = self.query("touch_webhook_endpoints", &command).await?;
        Ok(())
    }
}
