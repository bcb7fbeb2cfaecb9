//! One change of one stream, as clients hear of it.

use serde::Serialize;

use super::{Cursor, Participant, Stream, StreamId, StreamStatus, Timestamp};

/// What kind of change an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The stream was recorded. Always its first event.
    StreamCreated,
    /// Its status or metadata changed.
    StreamUpdated,
    /// It is over; everybody has left. Always its last event.
    StreamStopped,
    /// Somebody really connected.
    ParticipantJoined,
    /// Somebody who had joined really left.
    ParticipantLeft,
    /// Anything else about a participant: a token issued, an unused one expired, a role or metadata changed.
    ParticipantUpdated,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::StreamCreated,
        Self::StreamUpdated,
        Self::StreamStopped,
        Self::ParticipantJoined,
        Self::ParticipantLeft,
        Self::ParticipantUpdated,
    ];

    /// The word used in JSON and as the SSE event name.
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
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// What a change says before the store has given it a place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What kind of change it is.
    pub kind: EventKind,
    /// The stream as it is after the change; its version is the event's sequence number.
    pub stream: Stream,
    /// The participant that it is about.
    pub participant: Option<Participant>,
    /// The status before, where the change is one of status.
    pub previous_status: Option<StreamStatus>,
    /// Why, where there is something to say.
    pub reason: Option<String>,
}

/// One entry of the log. It knows the entries before it, so that a reader sees by itself whether one is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its position in both logs.
    pub cursor: Cursor,
    /// The position of the stream's event before this one; the origin for the first.
    pub previous: Cursor,
    /// The position of the event before this one among all streams; the origin for the very first.
    pub previous_of_all: Cursor,
    /// When the store recorded it.
    pub timestamp: Timestamp,
    /// What happened.
    pub draft: Draft,
}

impl Event {
    /// The stream that it is about.
    pub fn stream_id(&self) -> StreamId {
        self.draft.stream.id
    }

    /// Its number within the stream: 1, 2, 3 … without a gap.
    pub fn seq(&self) -> u64 {
        self.draft.stream.version
    }

    /// Whether no event of this stream can follow.
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
