//! Schema of participants.
#![allow(dead_code, reason = "the domain serialises participants; only utoipa reads these types")]

use std::collections::HashMap;

use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::{ParticipantKind, ParticipantState, Role, TrackSource};

/// A published track.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Track {
    /// LiveKit's id of the track.
    #[schema(example = "TR_VCrHPJNa2vRgoP")]
    pub sid: String,
    pub source: TrackSource,
    /// As of the track's publication, or of the last reconciliation with LiveKit.
    pub muted: bool,
}

/// LiveKit metadata of a participant: the object if the text is a JSON object, otherwise the text.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum ParticipantMetadata {
    Object(HashMap<String, Value>),
    Text(String),
}

/// A block of one identity in one stream. It ends with the stream.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Block {
    /// The blocked identity.
    #[schema(example = "ann")]
    pub identity: String,
    #[schema(required = true, example = "spam")]
    pub reason: Option<String>,
    #[schema(format = DateTime, example = "2026-01-14T10:00:00.000Z")]
    pub blocked_at: String,
    /// When the block ends by itself; null for never.
    #[schema(required = true, format = DateTime)]
    pub expires_at: Option<String>,
    /// Identity of the caller, if its token has one.
    #[schema(required = true)]
    pub by: Option<String>,
}

/// A participant of a stream.
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
    /// Time of the connection; while `joining`, time at which the token was issued.
    #[schema(format = DateTime, example = "2026-01-14T10:00:00.000Z")]
    pub joined_at: String,
    #[schema(required = true, format = DateTime)]
    pub left_at: Option<String>,
    pub metadata: ParticipantMetadata,
    /// LiveKit attributes.
    pub attributes: HashMap<String, String>,
    /// LiveKit's id of the participant's session.
    #[schema(required = true, example = "PA_wHpRcVdVEm8j")]
    pub sid: Option<String>,
    pub tracks: Vec<Track>,
    /// Time at which the participant raised its hand; absent while the hand is down.
    #[schema(format = DateTime)]
    pub hand_raised_at: Option<String>,
    /// Absent for a standard participant.
    pub kind: Option<ParticipantKind>,
    /// True if LiveKit hides the participant from others; otherwise absent. Lists contain hidden participants only if
    /// `kind` selects them.
    pub hidden: Option<bool>,
}
