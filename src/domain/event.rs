//! Event: one recorded change of one stream, as clients receive it.

use serde::Serialize;

use super::{
    Cursor, Identity, PartialStream, Participant, ParticipantCounts, Stream, StreamId, StreamStatus,
    Timestamp,
    name::{self, UnknownName},
};

/// Maximum size of metadata that every event of its stream carries, as JSON text in bytes.
///
/// Larger metadata is only in the events that change it. Otherwise each event of a stream with 60 KB of metadata would
/// cost 60 KB, in both logs and for every client.
pub const MAX_REPEATED_METADATA_BYTES: usize = 1_024;

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
    /// The numbers of active participants of a counted stream have changed.
    ParticipantCountUpdated,
    /// The stream went live.
    StreamLiveStarted,
    /// The stream went backstage.
    StreamLiveStopped,
    /// An identity was blocked.
    ParticipantBlocked,
    /// The block of an identity has ended.
    ParticipantUnblocked,
}

impl EventKind {
    /// All types.
    pub const ALL: [Self; 11] = [
        Self::StreamCreated,
        Self::StreamUpdated,
        Self::StreamStopped,
        Self::ParticipantJoined,
        Self::ParticipantLeft,
        Self::ParticipantUpdated,
        Self::ParticipantCountUpdated,
        Self::StreamLiveStarted,
        Self::StreamLiveStopped,
        Self::ParticipantBlocked,
        Self::ParticipantUnblocked,
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
            Self::ParticipantCountUpdated => "participant_count_updated",
            Self::StreamLiveStarted => "stream_live_started",
            Self::StreamLiveStopped => "stream_live_stopped",
            Self::ParticipantBlocked => "participant_blocked",
            Self::ParticipantUnblocked => "participant_unblocked",
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
    /// Stream after the change. Its version is the sequence number of the event. Its metadata is absent if the previous
    /// event had the same and it is larger than [`MAX_REPEATED_METADATA_BYTES`], and in events about counts.
    pub stream: PartialStream,
    /// Participant after the change, for events about one.
    pub participant: Option<Participant>,
    /// True if the participant's entry is not in `participants` of the stream's documents after the change.
    pub removed: bool,
    /// Status before the change, if the change is a transition.
    pub previous_status: Option<StreamStatus>,
    /// Reason of a stop or a failure, or for which this service ended a participant's session.
    pub reason: Option<String>,
    /// Identity of the caller who made the change, in events of moderation.
    pub by: Option<Identity>,
    /// Blocked identity, in events about a block.
    pub identity: Option<Identity>,
}

impl Draft {
    /// Returns the draft of an event about `stream`, without the metadata if that is large and has not changed, or if
    /// only the counts have changed.
    pub fn new(kind: EventKind, stream: &Stream, previous_status: Option<StreamStatus>) -> Self {
        // A `stream_updated` that is no transition is a change of the metadata.
        let changes_metadata = match kind {
            EventKind::StreamCreated => true,
            EventKind::StreamUpdated => previous_status.is_none(),
            _ => false,
        };
        let is_small = stream.metadata.as_text().len() <= MAX_REPEATED_METADATA_BYTES;
        let is_count = kind == EventKind::ParticipantCountUpdated;
        let has_metadata = changes_metadata || (is_small && !is_count);
        Self {
            kind,
            stream: stream.clone().map_metadata(|metadata| has_metadata.then_some(metadata)),
            participant: None,
            removed: false,
            previous_status,
            reason: stream.reason.clone().filter(|_| previous_status.is_some()),
            by: None,
            identity: None,
        }
    }
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

    /// Brings a state of the stream, as of the previous event, to this event.
    ///
    /// Replaces every field. Keeps the metadata of the state if the event carries none.
    pub fn apply_to(&self, stream: &mut Stream) {
        let known = std::mem::take(&mut stream.metadata);
        *stream = self.draft.stream.clone().with_metadata(known);
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
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            removed: bool,
            stream: &'a PartialStream,
            counts: ParticipantCounts,
            #[serde(skip_serializing_if = "Option::is_none")]
            previous_status: Option<StreamStatus>,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            by: Option<&'a Identity>,
            #[serde(skip_serializing_if = "Option::is_none")]
            identity: Option<&'a Identity>,
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
        let Draft { kind, stream, participant, removed, previous_status, reason, by, identity } = &self.draft;
        let data = Data {
            participant: participant.as_ref(),
            removed: *removed,
            stream,
            counts: stream.counts,
            previous_status: *previous_status,
            reason: reason.as_deref(),
            by: by.as_ref(),
            identity: identity.as_ref(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{InitialAudience, Metadata, RoomName, stream::NewStream};

    fn stream(metadata_bytes: usize) -> Stream {
        let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(metadata_bytes - 8));
        let new = NewStream {
            id: StreamId::generate(),
            room_name: RoomName::parse("room").unwrap(),
            metadata: Metadata::parse(&text).unwrap(),
            max_participants: None,
            idle_after: None,
            audience: InitialAudience::LISTED,
            backstage: false,
        };
        Stream { version: 1, ..Stream::unrecorded(new, Timestamp::from_millis(1)) }
    }

    fn event(draft: Draft) -> Event {
        Event {
            cursor: Cursor::new(1, 0),
            previous: Cursor::ORIGIN,
            previous_of_all: Cursor::ORIGIN,
            timestamp: Timestamp::from_millis(1),
            draft,
        }
    }

    fn carries_metadata(kind: EventKind, stream: &Stream, previous: Option<StreamStatus>) -> bool {
        let json = serde_json::to_value(event(Draft::new(kind, stream, previous))).unwrap();
        json["data"]["stream"].get("metadata").is_some()
    }

    #[test]
    fn large_metadata_is_only_in_events_that_change_it() {
        let (small, large) = (stream(MAX_REPEATED_METADATA_BYTES), stream(MAX_REPEATED_METADATA_BYTES + 1));
        for kind in EventKind::ALL {
            for previous in [None, Some(StreamStatus::Creating)] {
                let is_count = kind == EventKind::ParticipantCountUpdated;
                assert_eq!(carries_metadata(kind, &small, previous), !is_count, "{kind:?}");
                let changes = match kind {
                    EventKind::StreamCreated => true,
                    EventKind::StreamUpdated => previous.is_none(),
                    _ => false,
                };
                assert_eq!(carries_metadata(kind, &large, previous), changes, "{kind:?}");
            }
        }
    }

    #[test]
    fn event_applied_to_the_previous_state_gives_the_next_state() {
        let mut known = stream(2_000);
        let counts = ParticipantCounts { hosts: 1, viewers: 0 };
        let next = Stream { version: 2, counts, ..known.clone() };
        event(Draft::new(EventKind::ParticipantJoined, &next, None)).apply_to(&mut known);
        assert_eq!(known, next);
        let next = Stream { version: 3, metadata: Metadata::default(), ..next };
        event(Draft::new(EventKind::StreamUpdated, &next, None)).apply_to(&mut known);
        assert_eq!(known, next);
    }
}
