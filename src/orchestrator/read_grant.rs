//! Proof that a caller may read a topic.

use crate::domain::{StreamId, Topic};

/// The right to read one topic: its events, its log and its states.
///
/// The constructors are private to the orchestrator, whose [`super::Orchestrator::grant_all`] and
/// [`super::Orchestrator::grant_stream`] check the caller first. Every read of the relay demands a grant, so code
/// outside the orchestrator cannot read events without that check.
#[derive(Clone, Copy, Debug)]
pub struct ReadGrant {
    topic: Topic,
}

impl ReadGrant {
    /// Grants all streams.
    pub(super) const fn all() -> Self {
        Self { topic: Topic::All }
    }

    /// Grants one stream.
    pub(super) const fn stream(id: StreamId) -> Self {
        Self { topic: Topic::Stream(id) }
    }

    /// Reports whether the grant includes a stream.
    pub fn includes(&self, id: StreamId) -> bool {
        self.topic == Topic::All || self.topic == Topic::Stream(id)
    }

    /// Returns the grant of one of the granted streams; `None` for another stream.
    pub fn within(&self, id: StreamId) -> Option<Self> {
        self.includes(id).then(|| Self::stream(id))
    }

    /// Returns the granted topic.
    pub const fn topic(&self) -> Topic {
        self.topic
    }
}
