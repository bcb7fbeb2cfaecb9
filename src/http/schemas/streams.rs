//! Streams.

use std::collections::HashMap;

use serde_json::Value;
use utoipa::ToSchema;

use super::Participant;

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

/// A stream, with what else is in it.
macro_rules! stream {
    ($(#[$doc:meta])* $name:ident { $($own:tt)* }) => {
        $(#[$doc])*
        #[derive(ToSchema)]
        #[schema(rename_all = "camelCase")]
        pub struct $name {
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
            $($own)*
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
    };
}

stream! {
    /// A stream without its participants, as lists and events have it.
    StreamSummary {}
}
stream! {
    /// A stream with its participants: those who may publish first, then the newest, at most 1,000.
    Stream { pub participants: Vec<Participant>, }
}

/// A stream with its participants, or without them where the token may not read the stream (`roomCreate` alone).
#[derive(ToSchema)]
#[serde(untagged)]
pub enum ReadableStream {
    Full(Stream),
    Summary(StreamSummary),
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
