//! Schemas of streams.
#![allow(dead_code, reason = "the domain serialises streams; only utoipa reads these types")]

use std::collections::HashMap;

use serde_json::Value;
use utoipa::ToSchema;

use super::Participant;
use crate::domain::{Audience, StreamStatus};

/// Numbers of active participants. Agents, recorders and hidden participants do not count.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ParticipantCounts {
    #[schema(example = 1)]
    pub hosts: u32,
    #[schema(example = 1)]
    pub viewers: u32,
}

/// Declares a stream document: the fields that all of them have, and its own.
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
            $($own)*
            pub audience: Audience,
            /// Number of active participants: the sum of `participantCounts`.
            #[schema(example = 2)]
            pub participant_count: u32,
            pub participant_counts: ParticipantCounts,
            /// Maximum number of participants that were active at once.
            #[schema(example = 5)]
            pub peak_participant_count: u32,
            /// Maximum number of active participants; null for no limit.
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
            /// True if the stream is backstage: viewers have no access.
            pub backstage: bool,
            /// When the stream last went live; null before.
            #[schema(required = true, format = DateTime)]
            pub live_at: Option<String>,
            /// Number of ingresses.
            #[schema(example = 0)]
            pub ingresses: u32,
            /// True while a recording is `starting`, `active` or `ending`.
            pub recording: bool,
            /// True while a broadcast is `starting`, `active` or `ending`.
            pub broadcasting: bool,
            /// Number of the stream's newest event, and the stream's entity tag.
            #[schema(example = 7)]
            pub version: u64,
        }
    };
}

stream! {
    /// A stream without its participants, as in lists.
    StreamSummary { pub metadata: HashMap<String, Value>, }
}
stream! {
    /// A stream without its participants, as in events. Fields replace those of the state before; `metadata` stays if
    /// it is absent.
    StreamInEvent {
        /// Absent if it is larger than 1,024 bytes as JSON text and this event does not change it, and in
        /// `participant_count_updated`.
        #[schema(nullable = false)]
        pub metadata: Option<HashMap<String, Value>>,
    }
}
stream! {
    /// A stream with its first participants: hosts first, then newest first. The document has at most 1,000 and is at
    /// most 1 MiB. In a counted stream they are the hosts.
    Stream {
        pub metadata: HashMap<String, Value>,
        pub participants: Vec<Participant>,
        /// True if the stream has more participants than the document; absent otherwise.
        #[schema(nullable = false)]
        pub participants_truncated: Option<bool>,
    }
}

/// A stream with its participants, or without them if the token cannot read the stream (`roomCreate` alone).
#[derive(ToSchema)]
#[serde(untagged)]
pub enum ReadableStream {
    Full(Stream),
    Summary(StreamSummary),
}

/// The state of a stream, as in `/sse/{id}/updates`.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct StreamState {
    #[schema(pattern = "^[0-9a-f-]{36}$", example = "01932f3e-7b1a-7c3d-9e5f-2a4b6c8d0e1f")]
    pub stream_id: String,
    pub status: StreamStatus,
    pub participants: Vec<Participant>,
    /// True if the stream has more participants than the document; absent otherwise.
    #[schema(nullable = false)]
    pub participants_truncated: Option<bool>,
    pub audience: Audience,
    pub participant_count: u32,
    pub participant_counts: ParticipantCounts,
    #[schema(required = true, format = DateTime)]
    pub started_at: Option<String>,
    #[schema(format = DateTime, example = "2026-01-14T10:00:00.000Z")]
    pub updated_at: String,
    #[schema(required = true, format = DateTime)]
    pub stopped_at: Option<String>,
    /// True if the stream is backstage: viewers have no access.
    pub backstage: bool,
    /// When the stream last went live; null before.
    #[schema(required = true, format = DateTime)]
    pub live_at: Option<String>,
    /// Number of ingresses.
    pub ingresses: u32,
    /// True while a recording is `starting`, `active` or `ending`.
    pub recording: bool,
    /// True while a broadcast is `starting`, `active` or `ending`.
    pub broadcasting: bool,
    pub metadata: HashMap<String, Value>,
    pub version: u64,
}
