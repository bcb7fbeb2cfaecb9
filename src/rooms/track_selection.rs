//! Selection of a participant's tracks.

use crate::domain::{Track, TrackSid, TrackSource};

/// Tracks of a participant.
#[derive(Clone, Debug)]
pub enum TrackSelection {
    /// Tracks of this source.
    Source(TrackSource),
    /// The track with this sid.
    Sid(TrackSid),
}

impl TrackSelection {
    /// Reports whether a track is selected.
    pub fn includes(&self, track: &Track) -> bool {
        match self {
            Self::Source(source) => track.source == *source,
            Self::Sid(sid) => track.sid == *sid,
        }
    }
}
