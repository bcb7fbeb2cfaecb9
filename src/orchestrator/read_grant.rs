//! Proof that a caller may read a topic.

use std::{fmt, sync::Arc};

use crate::{
    domain::{Identity, StreamId, Topic},
    store::{Store, StoreError},
};

/// The right to read one topic: its events, its log and its states.
///
/// The constructors are private to the orchestrator, whose [`super::Orchestrator::grant_all`] and
/// [`super::Orchestrator::grant_stream`] check the caller first. Every read of the relay demands a grant, so code
/// outside the orchestrator cannot read events without that check.
#[derive(Clone, Debug)]
pub struct ReadGrant {
    topic: Topic,
    participant: Option<Participation>,
}

/// Participant that reads its own stream, as long as it is not blocked.
#[derive(Clone)]
struct Participation {
    identity: Identity,
    store: Arc<dyn Store>,
}

impl fmt::Debug for Participation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.identity, f)
    }
}

impl ReadGrant {
    /// Grants all streams.
    pub(super) const fn all() -> Self {
        Self { topic: Topic::All, participant: None }
    }

    /// Grants one stream.
    pub(crate) const fn stream(id: StreamId) -> Self {
        Self { topic: Topic::Stream(id), participant: None }
    }

    /// Restricts the grant of one stream to the time in which a participant is not blocked.
    pub(crate) fn of_participant(self, identity: Identity, store: Arc<dyn Store>) -> Self {
        Self { participant: Some(Participation { identity, store }), ..self }
    }

    /// Reports whether the grant includes a stream.
    pub fn includes(&self, id: StreamId) -> bool {
        self.topic == Topic::All || self.topic == Topic::Stream(id)
    }

    /// Returns the grant of one of the granted streams; `None` for another stream.
    pub fn within(&self, id: StreamId) -> Option<Self> {
        let participant = self.participant.clone();
        self.includes(id).then(|| Self { topic: Topic::Stream(id), participant })
    }

    /// Returns the granted topic.
    pub const fn topic(&self) -> Topic {
        self.topic
    }

    /// Returns the stream and the identity of a participant, whose grant ends when it is blocked.
    pub fn participant(&self) -> Option<(StreamId, &Identity)> {
        match (self.topic, &self.participant) {
            (Topic::Stream(id), Some(participant)) => Some((id, &participant.identity)),
            _ => None,
        }
    }

    /// Reports whether the grant has ended, because its participant is blocked.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn has_ended(&self) -> Result<bool, StoreError> {
        let (Topic::Stream(id), Some(participant)) = (self.topic, &self.participant) else {
            return Ok(false);
        };
        Ok(participant.store.block(id, participant.identity.as_str()).await?.is_some())
    }
}
