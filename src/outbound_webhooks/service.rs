//! Use cases of webhook endpoints.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use secrecy::SecretString;
use tokio::{sync::Mutex, time::timeout};
use url::Url;

use super::{
    directory::{Directory, Known},
    error::Error,
    message::Content,
    overview::{Overview, Summary},
    positions::Positions,
};
use crate::{
    access::{Action, Caller},
    delivery::{Answer, EndpointClient, parse_url, signature::generate_secret},
    domain::{
        Cursor, DisabledReason, Endpoint, EndpointFilter, EndpointId, EndpointSecrets, EventKind, Metadata,
        StreamId,
    },
    orchestrator::Orchestrator,
    store::{EventFeed, FollowedPartition},
};

/// Time for which the secret before a rotation signs too.
const ROTATION_OVERLAP: Duration = Duration::from_secs(24 * 3_600);

/// Time for which a count of the endpoints is shared.
const SUMMARY_LIFETIME: Duration = Duration::from_secs(1);

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
    /// Types of events.
    pub events: Option<Vec<EventKind>>,
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

/// Result of a test.
#[derive(Clone, Copy, Debug)]
pub struct TestResult {
    /// The answer.
    pub answer: Answer,
    /// Time until the answer.
    pub duration: Duration,
}

/// Creates, changes and tests endpoints.
pub struct EndpointService {
    directory: Directory,
    positions: Positions,
    client: Arc<dyn EndpointClient>,
    orchestrator: Arc<Orchestrator>,
    summary: Mutex<Option<(Instant, Summary)>>,
}

impl EndpointService {
    /// Combines the endpoints with the partitions whose events they get. `feed` reads the log of all partitions.
    pub fn new(
        directory: Directory,
        partitions: Vec<Arc<dyn FollowedPartition>>,
        feed: Arc<dyn EventFeed>,
        client: Arc<dyn EndpointClient>,
        orchestrator: Arc<Orchestrator>,
    ) -> Self {
        let (positions, summary) = (Positions { partitions, feed }, Mutex::default());
        Self { directory, positions, client, orchestrator, summary }
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
            secrets: EndpointSecrets { current: new_secret()?, previous: None },
            created_at: Some(now),
            enabled_at: now,
            disabled: None,
            rotated_by: None,
        };
        self.positions.begin(&endpoint.id, now).await?;
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
            let progress = self.positions.read(&endpoint.id).await?;
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
        let (progress, now) = (self.positions.read(id).await?, self.positions.now().await?);
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
            let old = std::mem::replace(&mut endpoint.secrets.current, new_secret()?);
            endpoint.secrets.previous = Some((old, now.plus(ROTATION_OVERLAP)));
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
        let (url, now) = (parse_url(&endpoint.url)?, self.positions.now().await?);
        let started = Instant::now();
        let answer = self.client.post(&url, Content::test(&endpoint, now).sign(&endpoint, now)).await;
        Ok(TestResult { answer, duration: started.elapsed() })
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

    /// Counts the endpoints, at most once in `SUMMARY_LIFETIME`; `None` if the store does not answer. For callers
    /// without a token, whose number must not matter.
    pub async fn summary(&self) -> Option<Summary> {
        let mut last = self.summary.lock().await;
        if let Some((_, summary)) = last.filter(|(at, _)| at.elapsed() < SUMMARY_LIFETIME) {
            return Some(summary);
        }
        let counted = timeout(SUMMARY_LIFETIME, self.count()).await.ok()?.ok()?;
        *last = Some((Instant::now(), counted));
        Some(counted)
    }

    async fn count(&self) -> Result<Summary, Error> {
        let endpoints = self.directory.list().await?.endpoints;
        let disabled = endpoints.iter().filter(|known| known.endpoint.disabled.is_some()).count();
        Ok(Summary { endpoints: endpoints.len(), disabled })
    }
}

fn new_secret() -> Result<SecretString, Error> {
    generate_secret().map_err(|error| Error::Random(error.to_string()))
}

fn apply(patch: &EndpointPatch, endpoint: &mut Endpoint) {
    if let Some(url) = &patch.url {
        endpoint.url = url.to_string();
    }
    if patch.events.is_some() {
        endpoint.filter.events.clone_from(&patch.events);
    }
    if let Some(metadata) = &patch.metadata {
        endpoint.metadata.clone_from(metadata);
    }
}
