//! Schema of events.
#![allow(dead_code, reason = "the domain serialises events; only utoipa reads this type")]

use utoipa::ToSchema;

use super::{Broadcast, Ingress, Participant, ParticipantCounts, Recording, StreamInEvent};
use crate::domain::{EventKind, StreamStatus};

/// Objects that the event is about, as they are after the change.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct EventData {
    /// Only in events about a participant.
    pub participant: Option<Participant>,
    /// True if the entry of `participant` is not in `participants` after this event: its token expired unused, or it
    /// has left the stage of a counted stream. Absent otherwise.
    #[schema(nullable = false)]
    pub removed: Option<bool>,
    pub stream: StreamInEvent,
    pub counts: ParticipantCounts,
    /// Only in `stream_updated`, if the status has changed.
    pub previous_status: Option<StreamStatus>,
    /// Why the stream has stopped, in `stream_stopped`; why the service ended the participant's session, in
    /// `participant_left`: `backstage`, `removed` or `blocked`.
    #[schema(example = "requested")]
    pub reason: Option<String>,
    /// Identity of the caller, in events of moderation, if its token has one.
    pub by: Option<String>,
    /// Only in `ingress_updated`, without the stream key.
    pub ingress: Option<Ingress>,
    /// Only in `recording_updated`, without the location of files.
    pub recording: Option<Recording>,
    /// Only in `broadcast_updated`, without the location of files.
    pub broadcast: Option<Broadcast>,
    /// The identity, in `participant_blocked` and `participant_unblocked`.
    pub identity: Option<String>,
}

/// A change of a stream.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Event {
    pub r#type: EventKind,
    #[schema(pattern = "^[0-9a-f-]{36}$")]
    pub stream_id: String,
    /// Number of the event in its stream, without gaps.
    #[schema(example = 7)]
    pub seq: u64,
    /// Position after which a feed resumes.
    #[schema(example = "1768384800000-0")]
    pub cursor: String,
    pub data: EventData,
    #[schema(format = DateTime, example = "2026-01-14T10:00:00.000Z")]
    pub timestamp: String,
}
