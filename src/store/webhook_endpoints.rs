//! Records of the webhook endpoints, which all partitions share.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::StoreError;
use crate::domain::EndpointId;

/// The records of all endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointRecords {
    /// Number of changes of the records.
    pub revision: u64,
    /// Records by id, whose contents the caller defines.
    pub records: BTreeMap<EndpointId, String>,
}

/// Result of [`WebhookEndpoints::replace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplaceOutcome {
    /// The record is replaced.
    Replaced,
    /// The store has another record than the caller expected. Nothing is changed.
    Changed,
    /// There are as many endpoints as permitted. Nothing is changed.
    Full,
}

/// Storage of webhook endpoints. A record has no time to live, because their number is bounded.
///
/// # Errors
/// Every method returns [`StoreError::Unavailable`] after a bounded time without an answer.
#[async_trait]
pub trait WebhookEndpoints: Send + Sync {
    /// Returns all records.
    async fn records(&self) -> Result<EndpointRecords, StoreError>;

    /// Returns the number of changes, which says whether the records must be read again.
    async fn revision(&self) -> Result<u64, StoreError>;

    /// Replaces the record `previous` of an endpoint by `next`. `None` stands for an endpoint without a record.
    ///
    /// A new record is refused if there are `max` already.
    async fn replace(
        &self,
        id: &EndpointId,
        previous: Option<&str>,
        next: Option<&str>,
        max: usize,
    ) -> Result<ReplaceOutcome, StoreError>;

    /// Counts a change, so that every instance reads the records and the positions of the endpoints again.
    async fn touch(&self) -> Result<(), StoreError>;
}
