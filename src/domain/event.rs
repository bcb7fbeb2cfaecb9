//! Event: one recorded change of one stream, as clients receive it.

use serde::Serialize;

use super::{
    Cursor, Participant, Stream, StreamId, StreamStatus, Timestamp,
    name::{self, UnknownName},
};

/// Type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The stream was recorded. Always the first event of a stream.
    StreamCreated,
    /// The status or the metadata changed.
    StreamUpdated,
    /// The stream has ended, after all participants have left. Always the last event of a stopped stream.
    StreamStopped,
    /// A participant connected.
    ParticipantJoined,
    /// A connected participant left.
    ParticipantLeft,
    /// A participant changed in another way: a token was issued or expired unused, a role or metadata changed.
    ParticipantUpdated,
}

impl EventKind {
    /// All types.
    pub const ALL: [Self; 6] = [
        Self::StreamCreated,
        Self::StreamUpdated,
        Self::StreamStopped,
        Self::ParticipantJoined,
        Self::ParticipantLeft,
        Self::ParticipantUpdated,
    ];

    /// Returns the name used in JSON and by feeds.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StreamCreated => "stream_created",
            Self::StreamUpdated => "stream_updated",
            Self::StreamStopped => "stream_stopped",
            Self::ParticipantJoined => "participant_joined",
            Self::ParticipantLeft => "participant_left",
            Self::ParticipantUpdated => "participant_updated",
        }
    }
}

impl std::str::FromStr for EventKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        name::find(&Self::ALL, Self::as_str, text)
    }
}

/// Event without its position in the log, which the store assigns.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Type of the event.
    pub kind: EventKind,
    /// Stream after the change. Its version is the sequence number of the event.
    pub stream: Stream,
    /// Participant after the change, for events about one.
    pub participant: Option<Participant>,
    /// Status before the change, if the change is a transition.
    pub previous_status: Option<StreamStatus>,
    /// Reason of a stop or a failure.
    pub reason: Option<String>,
}

/// Entry of a log. It names its predecessors, so that a reader detects a missing event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Position in the log of the stream and in the log of all streams.
    pub cursor: Cursor,
    /// Position of the previous event of the stream; the origin for its first event.
    pub previous: Cursor,
    /// Position of the previous event of all streams; the origin for the first event.
    pub previous_of_all: Cursor,
    /// Time at which the store recorded the event.
    pub timestamp: Timestamp,
    /// Content of the event.
    pub draft: Draft,
}

impl Event {
    /// Returns the stream of the event.
    pub fn stream_id(&self) -> StreamId {
        self.draft.stream.id
    }

    /// Returns the number of the event within its stream: 1, 2, 3 … without a gap.
    pub fn seq(&self) -> u64 {
        self.draft.stream.version
    }

    /// Reports whether the event is the last of its stream.
    pub fn is_last(&self) -> bool {
        self.draft.stream.status.is_final()
    }
}

impl Serialize for Event {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Data<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            participant: Option<&'a Participant>,
            stream: &'a Stream,
            #[serde(skip_serializing_if = "Option::is_none")]
            previous_status: Option<StreamStatus>,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<&'a str>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Json<'a> {
            r#type: EventKind,
            stream_id: StreamId,
            seq: u64,
            cursor: Cursor,
            data: Data<'a>,
            timestamp: Timestamp,
        }
        let Draft { kind, stream, participant, previous_status, reason } = &self.draft;
        let data = Data {
            participant: participant.as_ref(),
            stream,
            previous_status: *previous_status,
            reason: reason.as_deref(),
        };
        Json {
            r#type: *kind,
            stream_id: stream.id,
            seq: stream.version,
            cursor: self.cursor,
            data,
            timestamp: self.timestamp,
        }
        .serialize(serializer)
    }
}
