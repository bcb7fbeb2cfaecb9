//! Event: one recorded change of one stream, as clients receive it.

use serde::Serialize;

use super::{
    Cursor, Egress, EgressKind, Identity, Ingress, PartialStream, Participant, ParticipantCounts, Stream,
    StreamId, StreamStatus, Timestamp,
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
    /// An ingress was created, has changed its state, or was deleted.
    IngressUpdated,
    /// A recording was started, or has changed its state.
    RecordingUpdated,
    /// A broadcast was started, or has changed its state or its outputs.
    BroadcastUpdated,
}

impl From<EgressKind> for EventKind {
    /// Returns the type of events about an egress.
    fn from(kind: EgressKind) -> Self {
        match kind {
            EgressKind::Recording => Self::RecordingUpdated,
            EgressKind::Broadcast => Self::BroadcastUpdated,
        }
    }
}

impl EventKind {
    /// All types.
    pub const ALL: [Self; 14] = [
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
        Self::IngressUpdated,
        Self::RecordingUpdated,
        Self::BroadcastUpdated,
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
            Self::IngressUpdated => "ingress_updated",
            Self::RecordingUpdated => "recording_updated",
            Self::BroadcastUpdated => "broadcast_updated",
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
    /// Ingress after the change, in events about one.
    pub ingress: Option<Box<Ingress>>,
    /// Recording or broadcast after the change, in events about one.
    pub egress: Option<Box<Egress>>,
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
            ingress: None,
            egress: None,
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
            #[serde(skip_serializing_if = "Option::is_none")]
            ingress: Option<&'a Ingress>,
            #[serde(skip_serializing_if = "Option::is_none")]
            recording: Option<&'a Egress>,
            #[serde(skip_serializing_if = "Option::is_none")]
            broadcast: Option<&'a Egress>,
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
        let Draft { kind, stream, participant, removed, previous_status, reason, by, .. } = &self.draft;
        let Draft { identity, ingress, egress, .. } = &self.draft;
        let of_kind = |kind| egress.as_deref().filter(|egress| egress.kind == kind);
        let data = Data {
            participant: participant.as_ref(),
            removed: *removed,
            stream,
            counts: stream.counts,
            previous_status: *previous_status,
            reason: reason.as_deref(),
            by: by.as_ref(),
            identity: identity.as_ref(),
            ingress: ingress.as_deref(),
            recording: of_kind(EgressKind::Recording),
            broadcast: of_kind(EgressKind::Broadcast),
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
mod tests;
