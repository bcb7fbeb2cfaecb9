//! Event of a queue, from a log or from the history.

use std::sync::Arc;

use crate::{
    domain::{Cursor, Event, EventKind, StreamId, Timestamp},
    followers::PastEvent,
};

/// An event that is to be delivered.
#[derive(Clone, Debug)]
pub enum QueuedEvent {
    /// Event of a log.
    Logged(Arc<Event>),
    /// Event that the log no longer holds.
    Past(Arc<PastEvent>),
}

impl From<Arc<Event>> for QueuedEvent {
    fn from(event: Arc<Event>) -> Self {
        Self::Logged(event)
    }
}

impl From<PastEvent> for QueuedEvent {
    fn from(event: PastEvent) -> Self {
        Self::Past(Arc::new(event))
    }
}

impl QueuedEvent {
    /// Returns the position in the logs.
    pub fn cursor(&self) -> Cursor {
        match self {
            Self::Logged(event) => event.cursor,
            Self::Past(event) => event.cursor,
        }
    }

    /// Returns a position after which the event is the next one of its stream.
    pub(super) fn previous(&self) -> Cursor {
        match self {
            Self::Logged(event) => event.previous,
            Self::Past(event) => event.previous,
        }
    }

    /// Returns a position after which the event is the next one of all streams.
    pub(super) fn previous_of_all(&self) -> Cursor {
        match self {
            Self::Logged(event) => event.previous_of_all,
            Self::Past(event) => event.previous,
        }
    }

    /// Returns the stream.
    pub fn stream_id(&self) -> StreamId {
        match self {
            Self::Logged(event) => event.stream_id(),
            Self::Past(event) => event.stream_id,
        }
    }

    /// Returns the type.
    pub(super) fn kind(&self) -> EventKind {
        match self {
            Self::Logged(event) => event.draft.kind,
            Self::Past(event) => event.kind,
        }
    }

    /// Returns the time at which the store recorded the event.
    pub(super) fn timestamp(&self) -> Timestamp {
        match self {
            Self::Logged(event) => event.timestamp,
            Self::Past(event) => event.timestamp(),
        }
    }

    /// Returns about the size of the event's JSON text in bytes.
    pub(super) fn approximate_bytes(&self) -> usize {
        match self {
            Self::Logged(event) => event.approximate_bytes(),
            Self::Past(event) => event.json.len(),
        }
    }
}
