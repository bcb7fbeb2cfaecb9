//! What the JSON of this API looks like, for the OpenAPI document. The bodies themselves are written by the domain, which
//! knows no such library; that they are as they stand here is what tests/e2e/schema.rs tries with everything it can think of.
#![allow(dead_code, reason = "these types are read by utoipa alone")]

use std::collections::HashMap;

use serde_json::Value;
use utoipa::ToSchema;

/// Where a stream is in its life: `creating → active → stopping → stopped`, and `error` from creating or stopping.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum StreamStatus {
    Creating,
    Active,
    Stopping,
    Stopped,
    Error,
}

/// What a participant may do: a host publishes, a viewer only watches.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Role {
    Host,
    Viewer,
}

/// LiveKit's word for how far a participant's connection has come: a token was issued; connected; gone.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum ParticipantState {
    Joining,
    Active,
    Disconnected,
}

/// Where a track comes from.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum TrackSource {
    Camera,
    Microphone,
    ScreenShare,
    ScreenShareAudio,
    Unknown,
}

/// Something that a participant publishes.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Track {
    /// LiveKit's id of it.
    #[schema(example = "TR_VCrHPJNa2vRgoP")]
    pub sid: String,
    pub source: TrackSource,
    /// As of its publication, or of the last comparison with LiveKit.
    pub muted: bool,
}

/// One identity in one stream.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Participant {
    /// The same as `identity`.
    #[schema(example = "ann")]
    pub id: String,
    #[schema(example = "ann")]
    pub identity: String,
    #[schema(required = true, example = "Ann")]
    pub name: Option<String>,
    pub role: Role,
    pub state: ParticipantState,
    /// When they connected; while `joining`, when the token was issued.
    #[schema(format = DateTime, example = "2026-01-14T10:00:00.000Z")]
    pub joined_at: String,
    #[schema(required = true, format = DateTime)]
    pub left_at: Option<String>,
    pub metadata: HashMap<String, Value>,
    /// LiveKit's id of the session.
    #[schema(required = true, example = "PA_wHpRcVdVEm8j")]
    pub sid: Option<String>,
    pub tracks: Vec<Track>,
}

/// A stream without its participants, as lists and events have it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct StreamSummary {
    #[schema(pattern = "^[0-9a-f-]{36}$", example = "01932f3e-7b1a-7c3d-9e5f-2a4b6c8d0e1f")]
    pub id: String,
    /// The same as `id`.
    #[schema(pattern = "^[0-9a-f-]{36}$", example = "01932f3e-7b1a-7c3d-9e5f-2a4b6c8d0e1f")]
    pub stream_id: String,
    #[schema(example = "my-stream")]
    pub room_name: String,
    /// LiveKit's id of the room.
    #[schema(required = true, example = "RM_LLEqBJ45a9Vv")]
    pub room_sid: Option<String>,
    pub status: StreamStatus,
    pub metadata: HashMap<String, Value>,
    /// How many are active.
    #[schema(example = 2)]
    pub participant_count: u32,
    /// The most that were active at once.
    #[schema(example = 5)]
    pub peak_participant_count: u32,
    /// How many may be active at once; null for no limit.
    #[schema(required = true)]
    pub max_participants: Option<u32>,
    #[schema(format = DateTime, example = "2026-01-14T10:00:00.000Z")]
    pub created_at: String,
    #[schema(required = true, format = DateTime)]
    pub started_at: Option<String>,
    #[schema(format = DateTime, example = "2026-01-14T10:00:00.000Z")]
    pub updated_at: String,
    #[schema(required = true, format = DateTime)]
    pub stopped_at: Option<String>,
    /// The sequence number of the stream's newest event, and its entity tag.
    #[schema(example = 7)]
    pub version: u64,
}

/// A stream with its participants: those who may publish first, then the newest, at most 1,000.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Stream {
    #[schema(pattern = "^[0-9a-f-]{36}$", example = "01932f3e-7b1a-7c3d-9e5f-2a4b6c8d0e1f")]
    pub id: String,
    /// The same as `id`.
    #[schema(pattern = "^[0-9a-f-]{36}$", example = "01932f3e-7b1a-7c3d-9e5f-2a4b6c8d0e1f")]
    pub stream_id: String,
    #[schema(example = "my-stream")]
    pub room_name: String,
    /// LiveKit's id of the room.
    #[schema(required = true, example = "RM_LLEqBJ45a9Vv")]
    pub room_sid: Option<String>,
    pub status: StreamStatus,
    pub metadata: HashMap<String, Value>,
    pub participants: Vec<Participant>,
    /// How many are active.
    #[schema(example = 2)]
    pub participant_count: u32,
    /// The most that were active at once.
    #[schema(example = 5)]
    pub peak_participant_count: u32,
    /// How many may be active at once; null for no limit.
    #[schema(required = true)]
    pub max_participants: Option<u32>,
    #[schema(format = DateTime, example = "2026-01-14T10:00:00.000Z")]
    pub created_at: String,
    #[schema(required = true, format = DateTime)]
    pub started_at: Option<String>,
    #[schema(format = DateTime, example = "2026-01-14T10:00:00.000Z")]
    pub updated_at: String,
    #[schema(required = true, format = DateTime)]
    pub stopped_at: Option<String>,
    /// The sequence number of the stream's newest event, and its entity tag.
    #[schema(example = 7)]
    pub version: u64,
}

/// The state of a stream, as `/sse/{id}/updates` has it too.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct StreamState {
    #[schema(pattern = "^[0-9a-f-]{36}$", example = "01932f3e-7b1a-7c3d-9e5f-2a4b6c8d0e1f")]
    pub stream_id: String,
    pub status: StreamStatus,
    pub participants: Vec<Participant>,
    pub participant_count: u32,
    #[schema(required = true, format = DateTime)]
    pub started_at: Option<String>,
    #[schema(format = DateTime, example = "2026-01-14T10:00:00.000Z")]
    pub updated_at: String,
    #[schema(required = true, format = DateTime)]
    pub stopped_at: Option<String>,
    pub metadata: HashMap<String, Value>,
    pub version: u64,
}

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

/// A stream to be. `name` and `roomName` are one field.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"roomName": "my-stream", "metadata": {"title": "My Stream"}}))]
pub struct NewStream {
    /// 1 to 256 bytes of UTF-8 without control characters. A live stream that has it is the answer; without one, a name is made up.
    #[schema(max_length = 256)]
    pub room_name: Option<String>,
    #[schema(max_length = 256)]
    pub name: Option<String>,
    /// At most 60,000 bytes.
    pub metadata: Option<HashMap<String, Value>>,
    /// How many may be active at once; 0 for no limit.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub max_participants: Option<u64>,
    /// Seconds that it may be empty, instead of the configured time.
    #[schema(minimum = 1, maximum = 86_400)]
    pub empty_timeout: Option<u64>,
}

/// A change of a stream.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"metadata": {"title": "Another title"}}))]
pub struct StreamPatch {
    /// A JSON Merge Patch (RFC 7396): null takes a key away.
    pub metadata: Option<HashMap<String, Value>>,
    /// `stopped` is the same as DELETE. Any other is refused unless it is the present one.
    pub status: Option<StreamStatus>,
    /// The version that the stream must be at, as `If-Match` says it.
    #[schema(minimum = 1)]
    pub version: Option<u64>,
}

/// Who joins. `identity`, `userId` and `participantName` are one field, which is required.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"identity": "ann", "name": "Ann", "role": "host"}))]
pub struct Joining {
    /// 1 to 256 bytes of UTF-8 without control characters.
    #[schema(min_length = 1, max_length = 256)]
    pub identity: Option<String>,
    #[schema(min_length = 1, max_length = 256)]
    pub user_id: Option<String>,
    #[schema(min_length = 1, max_length = 256)]
    pub participant_name: Option<String>,
    /// What they are called.
    #[schema(min_length = 1, max_length = 256)]
    pub name: Option<String>,
    /// `host` unless set.
    pub role: Option<Role>,
    /// At most 60,000 bytes. It goes into the token as JSON text.
    pub metadata: Option<HashMap<String, Value>>,
}

/// Who leaves. `identity`, `userId` and `participantName` are one field, which is required.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"identity": "ann"}))]
pub struct Leaving {
    #[schema(min_length = 1, max_length = 256)]
    pub identity: Option<String>,
    #[schema(min_length = 1, max_length = 256)]
    pub user_id: Option<String>,
    #[schema(min_length = 1, max_length = 256)]
    pub participant_name: Option<String>,
}

/// A place in a stream.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Joined {
    /// A LiveKit access token that opens the room until `expiresAt`.
    pub token: String,
    #[schema(pattern = "^[0-9a-f-]{36}$")]
    pub stream_id: String,
    pub participant_name: String,
    pub identity: String,
    pub role: Role,
    /// Where LiveKit is.
    #[schema(example = "wss://livekit.example.com")]
    pub ws_url: String,
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// Who has left.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Left {
    #[schema(pattern = "^[0-9a-f-]{36}$")]
    pub stream_id: String,
    pub participant_name: String,
    pub identity: String,
    /// Their entry; null for one who never came.
    #[schema(required = true)]
    pub participant: Option<Participant>,
}

/// A field that breaks a rule.
#[derive(ToSchema)]
pub struct FieldError {
    pub field: String,
    /// The rule, in words.
    pub detail: String,
}

/// A problem document (RFC 9457).
#[derive(ToSchema)]
pub struct Problem {
    #[schema(example = "urn:livestream-orchestrator:problem:stream_not_found")]
    pub r#type: String,
    #[schema(example = "There is no such stream")]
    pub title: String,
    #[schema(example = 404)]
    pub status: u16,
    #[schema(example = "There is no such stream")]
    pub detail: String,
    /// What a client may branch on.
    #[schema(example = "stream_not_found")]
    pub code: String,
    /// Every field that breaks a rule.
    pub errors: Option<Vec<FieldError>>,
}

/// How a part is.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum PartStatus {
    Up,
    Down,
}

/// One thing that an instance needs.
#[derive(ToSchema)]
pub struct Part {
    pub status: PartStatus,
    #[schema(example = "redis")]
    pub kind: String,
}

/// How an instance is.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Health {
    /// `ok` or `degraded`.
    pub status: String,
    pub version: String,
    /// An id of its own for every start.
    pub instance: String,
    pub uptime_seconds: u64,
    pub store: Part,
    pub livekit: LiveKitPart,
    pub feed: Part,
    pub links: Links,
}

/// How LiveKit is, and where clients connect to it.
#[derive(ToSchema)]
pub struct LiveKitPart {
    pub status: PartStatus,
    #[schema(example = "livekit")]
    pub kind: String,
    #[schema(example = "wss://livekit.example.com")]
    pub url: String,
}

/// Where else there is something to see.
#[derive(ToSchema)]
pub struct Links {
    #[schema(example = "/docs")]
    pub docs: String,
    /// Left out where metrics are elsewhere, or a proxy stands in front.
    #[schema(example = "/metrics")]
    pub metrics: Option<String>,
}

/// Whether an instance lives.
#[derive(ToSchema)]
pub struct Live {
    pub status: String,
}

/// Whether an instance can serve.
#[derive(ToSchema)]
pub struct Ready {
    /// `ok` or `unavailable`.
    pub status: String,
    pub store: PartStatus,
    pub feed: PartStatus,
}

/// What became of a webhook.
#[derive(ToSchema)]
pub struct Heard {
    #[schema(example = "applied")]
    pub outcome: String,
}
