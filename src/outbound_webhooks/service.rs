//! Use cases of webhook endpoints.

use std::{sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use secrecy::SecretString;
use url::Url;

use super::{
    directory::{Directory, Known},
    error::Error,
    overview::{Overview, Summary},
    permits::AllPermits,
    positions::Positions,
    test_delivery::{TestResult, deliver_test},
};
use crate::{
    access::{Action, Caller},
    delivery::{EndpointClient, signature::generate_secret},
    domain::{
        Cursor, DisabledReason, Endpoint, EndpointFilter, EndpointId, EndpointSecrets, EventKind, Metadata,
        StreamId,
    },
    orchestrator::{Orchestrator, Probe},
    store::{EventFeed, FollowedPartition, StoreError},
};

/// Time for which the secret before a rotation signs too.
const ROTATION_OVERLAP: Duration = Duration::from_secs(24 * 3_600);

/// Request for a new endpoint.
pub struct NewEndpoint {
    /// Id that was reserved for the request; `None` for a new one.
    pub id: Option<StreamId>,
    /// URL.
    pub url: Url,
    /// Types of events; `None` for all.
    pub events: Option<Vec<EventKind>>,
    /// Id or room name of the only stream; `None` for all streams.
    pub stream: Option<String>,
    /// Metadata of the application.
    pub metadata: Metadata,
}

/// Change of an endpoint. `None` leaves a field as it is.
#[derive(Default)]
pub struct EndpointPatch {
    /// URL.
    pub url: Option<Url>,
    /// Types of events; `Some(None)` for all.
    pub events: Option<Option<Vec<EventKind>>>,
    /// Metadata.
    pub metadata: Option<Metadata>,
    /// Ends or continues the deliveries.
    pub disabled: Option<bool>,
}

impl EndpointPatch {
    /// True if the patch changes more than whether deliveries are made.
    const fn changes_definition(&self) -> bool {
        self.url.is_some() || self.events.is_some() || self.metadata.is_some()
    }
}

/// Creates, changes and tests endpoints.
pub struct EndpointService {
    directory: Directory,
    positions: Positions,
    client: Arc<dyn EndpointClient>,
    permits: Arc<AllPermits>,
    orchestrator: Arc<Orchestrator>,
    summary: Probe<Summary>,
}

impl EndpointService {
    /// Combines the endpoints with the partitions whose events they get. `feed` reads the log of all partitions.
    pub fn new(
        directory: Directory,
        partitions: Vec<Arc<dyn FollowedPartition>>,
        feed: Arc<dyn EventFeed>,
        client: Arc<dyn EndpointClient>,
        permits: Arc<AllPermits>,
        orchestrator: Arc<Orchestrator>,
    ) -> Self {
        let (positions, summary) = (Positions::new(partitions, feed), Probe::default());
        Self { directory, positions, client, permits, orchestrator, summary }
    }

    /// Creates an endpoint, which gets the events after this call. A repeated request gets the endpoint of the first.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::TooMany`]; [`Error::Stream`] if the caller cannot read the stream; errors of the store.
    pub async fn create(&self, caller: &Caller, new: NewEndpoint) -> Result<Endpoint, Error> {
        let id = EndpointId::from(new.id.unwrap_or_else(StreamId::generate));
        if new.id.is_some()
            && let Ok(known) = self.directory.find(&id).await
        {
            return Ok(known.endpoint);
        }
        self.client.check(&new.url).await?;
        let stream_id = match &new.stream {
            Some(stream) => Some(self.orchestrator.find_reference(caller, Action::Read, stream).await?.id),
            None => None,
        };
        let now = self.positions.now().await?;
        let endpoint = Endpoint {
            id,
            url: new.url.into(),
            filter: EndpointFilter { events: new.events, stream_id },
            metadata: new.metadata,
            secrets: EndpointSecrets::new(new_secret()?),
            created_at: Some(now),
            enabled_at: now,
            disabled: None,
            rotated_by: None,
        };
        // Asked before anything is recorded. The sender removes the positions if another request takes the room.
        if !self.directory.has_room().await? {
            return Err(Error::TooMany);
        }
        self.positions.begin(&endpoint).await?;
        self.directory.add(&endpoint).await?;
        Ok(endpoint)
    }

    /// Returns all endpoints.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn list(&self) -> Result<Vec<Overview>, Error> {
        let (endpoints, now) = (self.directory.list().await?.endpoints, self.positions.now().await?);
        let overviews = endpoints.into_iter().map(|Known { endpoint, .. }| async move {
            let progress = self.positions.read(&endpoint).await?;
            Ok::<_, Error>(Overview::new(endpoint, &progress, now))
        });
        try_join_all(overviews).await
    }

    /// Returns an endpoint.
    ///
    /// # Errors
    /// [`Error::NotFound`]; errors of the store.
    pub async fn get(&self, id: &EndpointId) -> Result<Overview, Error> {
        let endpoint = self.directory.find(id).await?.endpoint;
        let (progress, now) = (self.positions.read(&endpoint).await?, self.positions.now().await?);
        Ok(Overview::new(endpoint, &progress, now))
    }

    /// Changes an endpoint.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::FromFile`], [`Error::Url`], [`Error::Contended`]; errors of the store.
    pub async fn patch(&self, id: &EndpointId, patch: EndpointPatch) -> Result<Overview, Error> {
        if let Some(url) = &patch.url {
            self.client.check(url).await?;
        }
        let now = self.positions.now().await?;
        let change = |endpoint: &mut Endpoint| {
            if endpoint.is_from_file() && patch.changes_definition() {
                return Err(Error::FromFile);
            }
            apply(&patch, endpoint);
            if patch.url.is_some() {
                endpoint.enabled_at = now;
            }
            match (patch.disabled, endpoint.disabled) {
                (Some(true), None) => endpoint.disabled = Some((DisabledReason::Requested, now)),
                (Some(false), Some(_)) => (endpoint.disabled, endpoint.enabled_at) = (None, now),
                _ => return Ok(patch.changes_definition()),
            }
            Ok(true)
        };
        self.directory.change(id, change).await?;
        self.get(id).await
    }

    /// Deletes an endpoint. One that does not exist is deleted already.
    ///
    /// # Errors
    /// [`Error::FromFile`], [`Error::Contended`]; errors of the store.
    pub async fn delete(&self, id: &EndpointId) -> Result<bool, Error> {
        self.directory.remove(id).await
    }

    /// Replaces the secret of an endpoint and returns the new one. The old one signs too for a day. A repeated request,
    /// which `dedup` names, gets the secret of the first.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::FromFile`], [`Error::Contended`]; errors of the store.
    pub async fn rotate_secret(&self, id: &EndpointId, dedup: Option<&str>) -> Result<SecretString, Error> {
        let now = self.positions.now().await?;
        let change = |endpoint: &mut Endpoint| {
            if endpoint.is_from_file() {
                return Err(Error::FromFile);
            }
            if dedup.is_some() && endpoint.rotated_by.as_deref() == dedup {
                return Ok(false);
            }
            endpoint.secrets.rotate(new_secret()?, now, now.plus(ROTATION_OVERLAP));
            endpoint.rotated_by = dedup.map(str::to_owned);
            Ok(true)
        };
        Ok(self.directory.change(id, change).await?.secrets.current)
    }

    /// Sends a test to an endpoint, whatever its filter and whether it is disabled or not.
    ///
    /// # Errors
    /// [`Error::NotFound`]; errors of the store.
    pub async fn test(&self, id: &EndpointId) -> Result<TestResult, Error> {
        let endpoint = self.directory.find(id).await?.endpoint;
        let now = self.positions.now().await?;
        let test = deliver_test(&*self.client, &endpoint, now);
        Ok(self.permits.of(id).run_test(test).await?)
    }

    /// Delivers everything after a cursor again.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::CursorNotKept`], [`Error::UnknownCursor`]; errors of the store.
    pub async fn replay(&self, id: &EndpointId, after: Cursor) -> Result<(), Error> {
        let endpoint = self.directory.find(id).await?.endpoint;
        self.positions.replay(&endpoint, after, self.positions.now().await?).await?;
        Ok(self.directory.touch().await?)
    }

    /// Counts the endpoints, or returns the count of the last second; `None` if the store does not answer.
    pub async fn summary(&self) -> Option<Summary> {
        let directory = self.directory.clone();
        self.summary.result(async move { count(&directory).await.ok() }).await
    }
}

async fn count(directory: &Directory) -> Result<Summary, StoreError> {
    let endpoints = directory.list().await?.endpoints;
    let disabled = endpoints.iter().filter(|known| known.endpoint.disabled.is_some()).count();
    Ok(Summary { endpoints: endpoints.len(), disabled })
}

fn new_secret() -> Result<SecretString, Error> {
    generate_secret().map_err(|error| Error::Random(error.to_string()))
}

fn apply(patch: &EndpointPatch, endpoint: &mut Endpoint) {
    if let Some(url) = &patch.url {
        endpoint.url = url.to_string();
    }
    if let Some(events) = &patch.events {
        endpoint.filter.events.clone_from(events);
    }
    if let Some(metadata) = &patch.metadata {
        endpoint.metadata.clone_from(metadata);
    }
}
