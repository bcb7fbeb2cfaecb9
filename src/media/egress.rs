//! Egresses of a LiveKit deployment.

use async_trait::async_trait;

use super::MediaError;
use crate::domain::{
    EgressId, EgressOutputs, EgressPreset, EgressReport, EgressSource, HlsOutput, MediaPath, RoomName,
    RtmpAddress,
};

/// Settings of a new egress, with at least one output.
#[derive(Clone, Debug)]
pub struct NewEgress {
    /// Room of the media.
    pub room: RoomName,
    /// Media that are taken.
    pub source: EgressSource,
    /// Leaves video out. Without effect on an audio track, and refused for a video track. Of a participant, it is
    /// refused without a file, and by LiveKit's egress program before 1.14.
    pub audio_only: bool,
    /// Size and rate of the encoded video; LiveKit's default without one.
    pub preset: Option<EgressPreset>,
    /// Path of an MP4 file in the storage.
    pub file: Option<MediaPath>,
    /// HLS output in the storage.
    pub hls: Option<HlsOutput>,
    /// RTMP targets.
    pub rtmp: Vec<RtmpAddress>,
}

impl NewEgress {
    /// Returns the outputs as [`EgressReport::outputs`] has them after [`EgressReport::relative_to`].
    pub fn outputs(&self) -> EgressOutputs {
        let mut rtmp: Vec<_> = self.rtmp.iter().map(RtmpAddress::fingerprint).collect();
        rtmp.sort();
        let playlist = self.hls.as_ref().map(|hls| hls.playlist.clone());
        EgressOutputs { file: self.file.clone(), playlist, rtmp }
    }
}

/// Change of the RTMP targets of an egress that runs.
#[derive(Clone, Debug, Default)]
pub struct TargetChange {
    /// Targets to add. LiveKit sends twice to a target that it has already.
    pub add: Vec<RtmpAddress>,
    /// Targets to remove, by their whole addresses. LiveKit refuses one that it does not have.
    pub remove: Vec<RtmpAddress>,
}

/// Egress of LiveKit. Its paths are relative to the deployment's prefix.
#[derive(Clone, Debug)]
pub struct ListedEgress {
    /// Room of the egress; may be any text, because other tools start egresses too. Empty for one that records a web
    /// page.
    pub room: String,
    /// What is recorded of it.
    pub report: EgressReport,
}

/// Egresses of one LiveKit deployment.
///
/// # Errors
/// Every call can fail with a [`MediaError`], within 4.5 s.
#[async_trait]
pub trait EgressJobs: Send + Sync {
    /// Starts an egress. Each call starts another one. LiveKit goes on looking for a worker for 22 s after a call that
    /// failed with [`MediaError::Unavailable`], and may start the egress then.
    async fn start_egress(&self, new: &NewEgress) -> Result<ListedEgress, MediaError>;

    /// Changes the RTMP targets of an egress. Fails with [`MediaError::Ended`] or [`MediaError::NotFound`].
    async fn change_targets(&self, id: &EgressId, change: &TargetChange) -> Result<ListedEgress, MediaError>;

    /// Stops an egress, which ends later. Succeeds if it ends already or does not exist.
    async fn stop_egress(&self, id: &EgressId) -> Result<(), MediaError>;

    /// Returns the egresses of a room, or of all rooms without one; with ended ones, which LiveKit keeps for a day.
    async fn egresses(&self, room: Option<&RoomName>) -> Result<Vec<ListedEgress>, MediaError>;

    /// Returns an egress.
    async fn egress(&self, id: &EgressId) -> Result<Option<ListedEgress>, MediaError>;
}
