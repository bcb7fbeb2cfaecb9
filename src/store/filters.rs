//! Filters and pages of lists.

use std::str::FromStr;

use super::SharedState;
use crate::domain::{Block, Participant, ParticipantKind, ParticipantState, Stream, StreamStatus};

/// Selects the streams of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFilter {
    /// Every stream that is not `stopped`.
    NotStopped,
    /// Every stream.
    All,
    /// Streams in one status.
    Status(StreamStatus),
}

/// Selects the kind of the participants of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindFilter {
    /// Participants of one kind, including unlisted ones.
    Kind(ParticipantKind),
    /// Participants that LiveKit hides from other participants.
    Hidden,
}

impl KindFilter {
    /// Returns the value of the query parameter `kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.as_str(),
            Self::Hidden => "hidden",
        }
    }
}

impl FromStr for KindFilter {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        if text == "hidden" {
            return Ok(Self::Hidden);
        }
        let kind = ParticipantKind::ALL.into_iter().find(|kind| kind.as_str() == text);
        kind.map(Self::Kind).ok_or(UnknownKind)
    }
}

/// A text is not a kind of participants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be standard, ingress, egress, sip, agent, unknown or hidden")]
pub struct UnknownKind;

/// Selects the participants of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParticipantFilter {
    /// Required state; `None` selects every state.
    pub state: Option<ParticipantState>,
    /// Required kind; `None` selects the listed participants of every kind.
    pub kind: Option<KindFilter>,
    /// Includes hidden participants if [`Self::kind`] selects them.
    pub shows_hidden: bool,
}

impl ParticipantFilter {
    /// Selects the listed participants in one state.
    pub fn state(state: ParticipantState) -> Self {
        Self { state: Some(state), ..Self::default() }
    }

    /// Reports whether the filter selects a participant.
    pub fn shows(&self, participant: &Participant) -> bool {
        let state = self.state.is_none_or(|state| participant.state == state);
        let visible = !participant.hidden || self.shows_hidden;
        state
            && match self.kind {
                None => participant.is_listed(),
                Some(KindFilter::Kind(kind)) => visible && participant.kind == kind,
                Some(KindFilter::Hidden) => visible && participant.hidden,
            }
    }
}

/// An entry of a list.
pub trait Listed {
    /// Returns the key that orders the list.
    fn list_key(&self) -> String;
}

impl Listed for Participant {
    fn list_key(&self) -> String {
        self.list_key()
    }
}

impl Listed for Block {
    fn list_key(&self) -> String {
        self.list_key()
    }
}

impl Listed for SharedState<Stream> {
    fn list_key(&self) -> String {
        Stream::list_key(self)
    }
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Start position of the next page; `None` after the last page.
    pub next: Option<String>,
}
