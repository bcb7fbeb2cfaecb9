//! Who is in a stream.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

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

/// LiveKit's kind of a participant.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum ParticipantKind {
    Ingress,
    Egress,
    Sip,
    Agent,
    Unknown,
}

/// Which participants a list shows.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum KindFilter {
    Standard,
    Ingress,
    Egress,
    Sip,
    Agent,
    Unknown,
    Hidden,
}

/// What is attached to a participant in LiveKit: the object where the text is a JSON object, otherwise the text.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum ParticipantMetadata {
    Object(HashMap<String, Value>),
    Text(String),
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
    pub metadata: ParticipantMetadata,
    /// LiveKit's attributes.
    pub attributes: HashMap<String, String>,
    /// LiveKit's id of the session.
    #[schema(required = true, example = "PA_wHpRcVdVEm8j")]
    pub sid: Option<String>,
    pub tracks: Vec<Track>,
    /// Absent for a standard participant.
    pub kind: Option<ParticipantKind>,
    /// Whether LiveKit hides it from other participants; absent where not. Lists show hidden participants only where
    /// `kind` asks for them.
    pub hidden: Option<bool>,
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
