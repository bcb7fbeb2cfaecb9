//! Bodies of responses about participants.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{Identity, Participant, Role, StreamId, Timestamp},
    http::schemas,
};

/// A join token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Joined<'a> {
    /// A LiveKit access token for the room, valid until `expiresAt`.
    pub(super) token: &'a str,
    #[schema(value_type = String, pattern = "^[0-9a-f-]{36}$")]
    pub(super) stream_id: StreamId,
    #[schema(value_type = String)]
    pub(super) participant_name: &'a Identity,
    #[schema(value_type = String)]
    pub(super) identity: &'a Identity,
    pub(super) role: Role,
    /// Address of LiveKit.
    #[schema(example = "wss://livekit.example.com")]
    pub(super) ws_url: &'a str,
    #[schema(value_type = String, format = DateTime)]
    pub(super) expires_at: Timestamp,
}

/// The participant that left.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Left<'a> {
    #[schema(value_type = String, pattern = "^[0-9a-f-]{36}$")]
    pub(super) stream_id: StreamId,
    #[schema(value_type = String)]
    pub(super) participant_name: &'a Identity,
    #[schema(value_type = String)]
    pub(super) identity: &'a Identity,
    /// The participant's entry; null if this identity never joined.
    #[schema(value_type = Option<schemas::Participant>, required = true)]
    pub(super) participant: Option<Participant>,
}
