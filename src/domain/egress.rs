//! Egress: LiveKit records a room, or sends it on.

use std::str::FromStr;

use serde::Serialize;

use super::{
    EgressOutputs, Identity, TrackSid,
    name::{self, UnknownName},
};

/// Maximum length of a layout's name, in bytes.
const MAX_LAYOUT_BYTES: usize = 64;

/// What an egress is to this service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EgressKind {
    /// It writes a file.
    Recording,
    /// It writes no file: HLS, RTMP, or an output that this version does not know.
    Broadcast,
}

impl EgressKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Recording, Self::Broadcast];

    /// Returns what an egress with these outputs is.
    pub const fn of(outputs: &EgressOutputs) -> Self {
        if outputs.file.is_some() { Self::Recording } else { Self::Broadcast }
    }

    /// Returns the name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Broadcast => "broadcast",
        }
    }
}

impl FromStr for EgressKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        name::find(&Self::ALL, Self::as_str, text)
    }
}

/// State of an egress, by LiveKit's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EgressStatus {
    /// The worker prepares it.
    Starting,
    /// Media flow.
    Active,
    /// It is stopped, and completes its outputs.
    Ending,
    /// All outputs are complete.
    Complete,
    /// It ended by an error.
    Failed,
    /// It was stopped before media flowed.
    Aborted,
    /// It ended at a limit of the worker's configuration. Its outputs are complete.
    LimitReached,
}

impl EgressStatus {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Starting,
        Self::Active,
        Self::Ending,
        Self::Complete,
        Self::Failed,
        Self::Aborted,
        Self::LimitReached,
    ];

    /// Returns the name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Ending => "ending",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::LimitReached => "limit_reached",
        }
    }

    /// Reports whether the egress has ended.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Aborted | Self::LimitReached)
    }

    /// Returns the place of the state in the life of an egress, which only ever ascends.
    pub(super) const fn phase(self) -> u8 {
        match self {
            Self::Starting => 0,
            Self::Active => 1,
            Self::Ending => 2,
            Self::Complete | Self::Failed | Self::Aborted | Self::LimitReached => 3,
        }
    }
}

impl FromStr for EgressStatus {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        name::find(&Self::ALL, Self::as_str, text)
    }
}

/// Media that an egress takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EgressSource {
    /// All of the room, arranged by a layout of LiveKit's template; by the template's default without one.
    Room(Option<Layout>),
    /// Video and audio of a participant, also after it joins again.
    Participant(Identity),
    /// One audio track.
    AudioTrack(TrackSid),
    /// One video track.
    VideoTrack(TrackSid),
}

/// Name of a layout of LiveKit's template, such as `grid` or `speaker-dark`. A template of the deployment may have
/// others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Layout(String);

/// Text that is no name of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_LAYOUT_BYTES} letters, digits, '-' or '_'")]
pub struct LayoutError;

impl Layout {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Layout {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let has_valid_length = (1..=MAX_LAYOUT_BYTES).contains(&text.len());
        (has_valid_length && text.bytes().all(is_valid)).then(|| Self(text.to_owned())).ok_or(LayoutError)
    }
}

/// Size and rate of the encoded video, by LiveKit's names. LiveKit's default is 720p at 30 frames per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EgressPreset {
    /// 1280x720, 30 frames per second, 3 Mbit/s.
    #[serde(rename = "H264_720P_30")]
    H264P720F30,
    /// 1280x720, 60 frames per second, 4.5 Mbit/s.
    #[serde(rename = "H264_720P_60")]
    H264P720F60,
    /// 1920x1080, 30 frames per second, 4.5 Mbit/s.
    #[serde(rename = "H264_1080P_30")]
    H264P1080F30,
    /// 1920x1080, 60 frames per second, 6 Mbit/s.
    #[serde(rename = "H264_1080P_60")]
    H264P1080F60,
    /// 720x1280, 30 frames per second, 3 Mbit/s.
    #[serde(rename = "PORTRAIT_H264_720P_30")]
    PortraitH264P720F30,
    /// 720x1280, 60 frames per second, 4.5 Mbit/s.
    #[serde(rename = "PORTRAIT_H264_720P_60")]
    PortraitH264P720F60,
    /// 1080x1920, 30 frames per second, 4.5 Mbit/s.
    #[serde(rename = "PORTRAIT_H264_1080P_30")]
    PortraitH264P1080F30,
    /// 1080x1920, 60 frames per second, 6 Mbit/s.
    #[serde(rename = "PORTRAIT_H264_1080P_60")]
    PortraitH264P1080F60,
}

impl EgressPreset {
    /// All presets.
    pub const ALL: [Self; 8] = [
        Self::H264P720F30,
        Self::H264P720F60,
        Self::H264P1080F30,
        Self::H264P1080F60,
        Self::PortraitH264P720F30,
        Self::PortraitH264P720F60,
        Self::PortraitH264P1080F30,
        Self::PortraitH264P1080F60,
    ];

    /// Returns the name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H264P720F30 => "H264_720P_30",
            Self::H264P720F60 => "H264_720P_60",
            Self::H264P1080F30 => "H264_1080P_30",
            Self::H264P1080F60 => "H264_1080P_60",
            Self::PortraitH264P720F30 => "PORTRAIT_H264_720P_30",
            Self::PortraitH264P720F60 => "PORTRAIT_H264_720P_60",
            Self::PortraitH264P1080F30 => "PORTRAIT_H264_1080P_30",
            Self::PortraitH264P1080F60 => "PORTRAIT_H264_1080P_60",
        }
    }
}

impl FromStr for EgressPreset {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        name::find(&Self::ALL, Self::as_str, text)
    }
}
