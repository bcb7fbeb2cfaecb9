//! All endpoints: those of the file, and those that were created by the API.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    endpoint_record::{self, Record},
    error::Error,
};
use crate::{
    domain::{DisabledReason, Endpoint, EndpointId, Timestamp, webhook_endpoint::MAX_ENDPOINTS},
    store::{EndpointRecords, ReplaceOutcome, StoreError, WebhookEndpoints},
};

/// Maximum number of attempts at a change that others make at the same time.
const ATTEMPTS: usize = 5;

/// An endpoint with its record in the store.
#[derive(Clone, Debug)]
pub struct Known {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Text of the record; `None` for an endpoint of the file that has none.
    record: Option<String>,
}

impl Known {
    /// True if both have the same definition.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        endpoint_record::are_equal(&self.endpoint, &other.endpoint)
    }
}

/// All endpoints as of one revision of the store.
#[derive(Debug, Default)]
pub struct Listing {
    /// Revision of the records.
    pub revision: u64,
    /// The endpoints: those of the file first, then by id, which is the order of their creation.
    pub endpoints: Vec<Known>,
    /// Ids of further records: those that this version cannot parse, and states of endpoints of other instances' files.
    pub others: BTreeSet<String>,
    /// Number of records of created endpoints.
    created: usize,
    /// Number of records of states of files' endpoints.
    states: usize,
}

impl Listing {
    fn add(&mut self, id: &EndpointId, text: String) {
        match endpoint_record::parse(id, &text) {
            Some(Record::Created(endpoint)) => {
                self.created += 1;
                self.endpoints.push(Known { endpoint: *endpoint, record: Some(text) });
            }
            Some(Record::State(_)) => {
                self.states += 1;
                self.others.insert(id.to_string());
            }
            None => {
                tracing::error!(endpoint = %id, "invalid record of a webhook endpoint");
                self.created += 1;
                self.others.insert(id.to_string());
            }
        }
    }
}

/// Reads and changes endpoints. Clones share the store.
#[derive(Clone)]
pub struct Directory {
    store: Arc<dyn WebhookEndpoints>,
    file: Arc<[Endpoint]>,
}

impl Directory {
    /// Combines the records of the store with the endpoints of the file.
    pub fn new(store: Arc<dyn WebhookEndpoints>, file: Vec<Endpoint>) -> Self {
        Self { store, file: file.into() }
    }

    /// Returns the number of changes of the records.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn revision(&self) -> Result<u64, StoreError> {
        self.store.revision().await
    }

    /// Makes every instance read the endpoints and their positions again.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn touch(&self) -> Result<(), StoreError> {
        self.store.touch().await
    }

    /// Returns all endpoints. A record that cannot be parsed is logged and left out.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn list(&self) -> Result<Listing, StoreError> {
        let EndpointRecords { revision, mut records } = self.store.records().await?;
        let mut listing = Listing { revision, ..Listing::default() };
        for endpoint in self.file.iter() {
            let record = records.remove(&endpoint.id);
            listing.states += usize::from(record.is_some());
            listing.endpoints.push(with_state(endpoint, record));
        }
        for (id, record) in records {
            listing.add(&id, record);
        }
        Ok(listing)
    }

    /// Reports whether another endpoint can be added.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn has_room(&self) -> Result<bool, StoreError> {
        Ok(self.list().await?.created < self.max_created())
    }

    fn max_created(&self) -> usize {
        MAX_ENDPOINTS.saturating_sub(self.file.len())
    }

    /// Returns an endpoint.
    ///
    /// # Errors
    /// [`Error::NotFound`]; errors of the store.
    pub async fn find(&self, id: &EndpointId) -> Result<Known, Error> {
        let listing = self.list().await?;
        let found = listing.endpoints.into_iter().find(|known| known.endpoint.id == *id);
        found.ok_or(Error::NotFound)
    }

    /// Adds an endpoint.
    ///
    /// # Errors
    /// [`Error::TooMany`]; [`Error::Contended`] if the id exists; errors of the store.
    pub async fn add(&self, endpoint: &Endpoint) -> Result<(), Error> {
        // States of endpoints of the file are records that the maximum does not count.
        let max = self.max_created() + self.list().await?.states;
        let text = endpoint_record::to_text(endpoint);
        match self.store.replace(&endpoint.id, None, Some(&text), max).await? {
            ReplaceOutcome::Replaced => Ok(()),
            ReplaceOutcome::Changed => Err(Error::Contended),
            ReplaceOutcome::Full => Err(Error::TooMany),
        }
    }

    /// Removes an endpoint. Returns false if it does not exist.
    ///
    /// # Errors
    /// [`Error::FromFile`], [`Error::Contended`]; errors of the store.
    pub async fn remove(&self, id: &EndpointId) -> Result<bool, Error> {
        for _ in 0..ATTEMPTS {
            let known = match self.find(id).await {
                Err(Error::NotFound) => return Ok(false),
                known => known?,
            };
            if known.endpoint.is_from_file() {
                return Err(Error::FromFile);
            }
            if self.replace(&known, None).await? {
                return Ok(true);
            }
        }
        Err(Error::Contended)
    }

    /// Changes an endpoint. `change` may be called several times, and must return false to leave it as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Contended`]; errors of `change` and of the store.
    pub async fn change(
        &self,
        id: &EndpointId,
        mut change: impl FnMut(&mut Endpoint) -> Result<bool, Error> + Send,
    ) -> Result<Endpoint, Error> {
        for _ in 0..ATTEMPTS {
            let known = self.find(id).await?;
            let mut endpoint = known.endpoint.clone();
            if !change(&mut endpoint)? || self.replace(&known, Some(&endpoint)).await? {
                return Ok(endpoint);
            }
        }
        Err(Error::Contended)
    }

    /// Ends the deliveries to an endpoint, unless they have ended. An endpoint that was enabled again or has got
    /// another URL since it was `seen` is left as it is, because the reason is a result of deliveries before.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub async fn disable(
        &self,
        seen: &Endpoint,
        reason: DisabledReason,
        now: Timestamp,
    ) -> Result<Endpoint, Error> {
        let disable = |endpoint: &mut Endpoint| {
            let is_seen = (&endpoint.url, endpoint.enabled_at) == (&seen.url, seen.enabled_at);
            if !is_seen || endpoint.disabled.is_some() {
                return Ok(false);
            }
            endpoint.disabled = Some((reason, now));
            Ok(true)
        };
        self.change(&seen.id, disable).await
    }

    async fn replace(&self, known: &Known, next: Option<&Endpoint>) -> Result<bool, StoreError> {
        let (id, next) = (&known.endpoint.id, next.map(endpoint_record::to_text));
        let outcome = self.store.replace(id, known.record.as_deref(), next.as_deref(), usize::MAX).await?;
        Ok(outcome == ReplaceOutcome::Replaced)
    }
}

/// An endpoint of the file is enabled or disabled by its record.
fn with_state(endpoint: &Endpoint, text: Option<String>) -> Known {
    let mut endpoint = endpoint.clone();
    let record = text.as_ref().and_then(|text| endpoint_record::parse(&endpoint.id, text));
    if let Some(Record::State(state)) = record {
        (endpoint.enabled_at, endpoint.disabled) = (state.enabled_at, state.disabled);
    }
    Known { endpoint, record: text }
}
