//! Outputs of an egress: a file, a playlist, RTMP targets.

use super::{AddressFingerprint, MediaPath};

/// Playlist of an HLS output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HlsOutput {
    /// Path of the playlist. The segments are beside it.
    pub playlist: MediaPath,
    /// Duration of a segment, in seconds.
    pub segment_seconds: u32,
}

/// Outputs that were requested of an egress, as LiveKit lists them. Equal for a request and its egress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressOutputs {
    /// File.
    pub file: Option<MediaPath>,
    /// Playlist of HLS.
    pub playlist: Option<MediaPath>,
    /// RTMP targets of the start in ascending order. Targets that are added later are not among them.
    pub rtmp: Vec<AddressFingerprint>,
}
