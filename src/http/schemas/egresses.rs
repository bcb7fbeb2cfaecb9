//! Schemas of recordings and broadcasts.
#![allow(
    dead_code,
    reason = "the domain serialises recordings and broadcasts; only utoipa reads these types"
)]

use utoipa::ToSchema;

use crate::domain::{EgressPreset, EgressStatus, RtmpStatus};

/// A recorded file.
#[derive(ToSchema)]
pub struct RecordedFile {
    /// Path in the deployment's storage.
    #[schema(example = "01932f3e-7b1a-7c3d-9e5f-2a4b6c8d0e1f/evening.mp4")]
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Duration in seconds.
    #[schema(example = 61.5)]
    pub duration: f64,
    /// Where the file is. Only for `roomAdmin` and `roomRecord`, and never in events.
    #[schema(nullable = false, example = "https://store.example.com/recordings/evening.mp4")]
    pub location: Option<String>,
}

/// A recording of a stream to an MP4 file.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Recording {
    /// The same as `egressId`.
    #[schema(example = "EG_Vkn5sLrK3xSb")]
    pub recording_id: String,
    /// LiveKit's id of the egress, which is also the identity of the recorder in the room.
    #[schema(example = "EG_Vkn5sLrK3xSb")]
    pub egress_id: String,
    pub status: EgressStatus,
    /// Why the recording has failed or was aborted.
    #[schema(required = true)]
    pub error: Option<String>,
    /// Layout of the recorded room; null for LiveKit's default, and if not the room is recorded.
    #[schema(required = true, example = "grid")]
    pub layout: Option<String>,
    /// Identity of the recorded participant.
    #[schema(required = true)]
    pub identity: Option<String>,
    /// LiveKit's id of the recorded track.
    #[schema(required = true)]
    pub track_sid: Option<String>,
    pub audio_only: bool,
    /// Null for LiveKit's default.
    #[schema(required = true)]
    pub preset: Option<EgressPreset>,
    /// Path of the file in the deployment's storage; null if another tool has started the recording with several files.
    #[schema(required = true)]
    pub path: Option<String>,
    #[schema(format = DateTime, example = "2026-01-14T10:00:00.000Z")]
    pub created_at: String,
    /// Null before LiveKit's egress service has begun.
    #[schema(required = true, format = DateTime)]
    pub started_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    pub ended_at: Option<String>,
    /// The files, once they are complete.
    pub files: Vec<RecordedFile>,
}

/// An RTMP output of a broadcast.
#[derive(ToSchema)]
pub struct RtmpOutput {
    /// Id within the broadcast.
    #[schema(example = "1")]
    pub id: String,
    /// Address, with the last path segment, the query and the userinfo as `***`.
    #[schema(example = "rtmp://a.rtmp.youtube.com/live2/***")]
    pub url: String,
    pub status: RtmpStatus,
    /// Why the output has failed.
    #[schema(required = true)]
    pub error: Option<String>,
}

/// The HLS output of a broadcast.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct HlsOutput {
    /// Path of the playlist in the deployment's storage.
    #[schema(example = "01932f3e-7b1a-7c3d-9e5f-2a4b6c8d0e1f/live/index.m3u8")]
    pub path: String,
    /// Public address of the playlist; null if the deployment has none.
    #[schema(required = true, example = "https://cdn.example.com/live/index.m3u8")]
    pub url: Option<String>,
    /// Public address of the live playlist, which has the newest segments alone; null if the deployment has none.
    #[schema(required = true, example = "https://cdn.example.com/live/index.live.m3u8")]
    pub live_playlist: Option<String>,
    /// Duration of a segment; null if another tool has started the broadcast.
    #[schema(required = true, example = 6)]
    pub segment_seconds: Option<u32>,
    /// Number of segments.
    pub segments: u64,
    /// Size of all segments in bytes.
    pub size: u64,
    /// Duration in seconds.
    pub duration: f64,
    /// Where the playlist is. Only for `roomAdmin` and `roomRecord`, and never in events.
    #[schema(nullable = false)]
    pub location: Option<String>,
}

/// A broadcast of a stream to other services by RTMP, and as HLS to the deployment's storage.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Broadcast {
    /// The same as `egressId`.
    #[schema(example = "EG_Vkn5sLrK3xSb")]
    pub broadcast_id: String,
    /// LiveKit's id of the egress, which is also the identity of the recorder in the room.
    #[schema(example = "EG_Vkn5sLrK3xSb")]
    pub egress_id: String,
    pub status: EgressStatus,
    /// Why the broadcast has failed or was aborted.
    #[schema(required = true)]
    pub error: Option<String>,
    /// RTMP outputs, oldest first, also the last ones that have ended.
    pub rtmp: Vec<RtmpOutput>,
    #[schema(required = true)]
    pub hls: Option<HlsOutput>,
    #[schema(format = DateTime, example = "2026-01-14T10:00:00.000Z")]
    pub created_at: String,
    /// Null before LiveKit's egress service has begun.
    #[schema(required = true, format = DateTime)]
    pub started_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    pub ended_at: Option<String>,
}
