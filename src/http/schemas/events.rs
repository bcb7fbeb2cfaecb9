//! Events.

use utoipa::ToSchema;

use super::{Participant, StreamStatus, StreamSummary};

/// What an event tells of.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum EventType {
    StreamCreated,
    StreamUpdated,
    StreamStopped,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantUpdated,
}

/// What changed, and what it changed to.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct EventData {
    /// Of events about a participant.
    pub participant: Option<Participant>,
    pub stream: StreamSummary,
    /// Of `stream_updated`, where the status changed.
    pub previous_status: Option<StreamStatus>,
    /// Of `stream_stopped`.
    #[schema(example = "requested")]
    pub reason: Option<String>,
}

/// One change of one stream.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Event {
    pub r#type: EventType,
    #[schema(pattern = "^[0-9a-f-]{36}$")]
    pub stream_id: String,
    /// Counts the events of the stream.
    #[schema(example = 7)]
    pub seq: u64,
    /// Where to go on from.
    #[schema(example = "1768384800000-0")]
    pub cursor: String,
    pub data: EventData,
    #[schema(format = DateTime, example = "2026-01-14T10:00:00.000Z")]
    pub timestamp: String,
}
