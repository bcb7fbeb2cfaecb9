//! Egress as LiveKit reports it.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{
    AddressFingerprint, EgressId, EgressKind, EgressOutputs, EgressStatus, MaskedUrl, MediaPath, RoomSid,
    StoragePrefix, Timestamp,
    name::{self, UnknownName},
};

/// Maximum number of files of an egress. LiveKit accepts one file output.
const MAX_FILES: usize = 4;

/// Maximum length of a location, in bytes. One of LiveKit has a bucket's address and a path.
const MAX_LOCATION_BYTES: usize = 4_096;

/// Order among the states of an egress: the later state is greater, however its reports arrive. A state of the service
/// itself has the report time 0, so that each report of LiveKit in the same phase is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EgressStateTime {
    /// 0 while it starts, 1 while it is active, 2 while it ends, 3 when it has ended.
    pub phase: u8,
    /// LiveKit's time of the report in microseconds; LiveKit has nanoseconds, which Lua's numbers cannot represent.
    pub report: i64,
}

impl EgressStateTime {
    /// Makes the order of a state that LiveKit reported at a time in nanoseconds since 1970.
    pub const fn of(status: EgressStatus, updated_at: i64) -> Self {
        Self { phase: status.phase(), report: updated_at / 1_000 }
    }
}

/// File that an egress has written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EgressFile {
    /// Path in the storage.
    pub path: MediaPath,
    /// Size in bytes.
    pub size: u64,
    /// Duration of the media, in seconds in JSON.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
    /// URL of the file, or its path on the worker's disk. Only shown to those who may change the stream.
    pub location: Option<String>,
}

/// HLS output of an egress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HlsResult {
    /// Path of the playlist.
    pub playlist: MediaPath,
    /// Number of segments.
    pub segments: u64,
    /// Size of all segments in bytes.
    pub size: u64,
    /// Duration of the media.
    pub duration: Duration,
    /// URL of the playlist, or its path on the worker's disk.
    pub location: Option<String>,
}

/// State of an RTMP target, by LiveKit's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetStatus {
    /// Media are sent.
    Active,
    /// The target was removed, or the egress has ended.
    Finished,
    /// The target does not accept the media.
    Failed,
}

impl TargetStatus {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Active, Self::Finished, Self::Failed];

    /// Returns the name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
}

impl std::str::FromStr for TargetStatus {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        name::find(&Self::ALL, Self::as_str, text)
    }
}

/// RTMP target of an egress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressTarget {
    /// What tells the target from others. LiveKit rewrites addresses of Twitch, so that they match no request.
    pub fingerprint: AddressFingerprint,
    /// Masked address.
    pub url: MaskedUrl,
    /// State.
    pub status: TargetStatus,
    /// LiveKit's error text, without secrets.
    pub error: Option<String>,
}

/// State that LiveKit reports of an egress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressState {
    /// Status.
    pub status: EgressStatus,
    /// LiveKit's error text, without secrets.
    pub error: Option<String>,
    /// Time from which media flow.
    pub started_at: Option<Timestamp>,
    /// End.
    pub ended_at: Option<Timestamp>,
    /// Written files; LiveKit knows them at the end.
    pub files: Vec<EgressFile>,
    /// HLS output.
    pub hls: Option<HlsResult>,
    /// RTMP targets. A target that was removed and added again is twice in it, in order of time.
    pub targets: Vec<EgressTarget>,
    /// Order among the states of the egress.
    pub time: EgressStateTime,
}

/// Egress as LiveKit reports it. LiveKit's egresses have no field for a mark: the egress of a request is found by its
/// outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressReport {
    /// LiveKit's id.
    pub id: EgressId,
    /// LiveKit's id of the room; `None` for an egress of a web page. Names of rooms are used again.
    pub room_sid: Option<RoomSid>,
    /// Recording if it writes a file, else broadcast.
    pub kind: EgressKind,
    /// Requested outputs.
    pub outputs: EgressOutputs,
    /// State.
    pub state: EgressState,
}

impl EgressReport {
    /// Reports whether the egress is of a stream whose room has this id, and not of an earlier room of the same name.
    pub fn is_in(&self, room_sid: Option<&RoomSid>) -> bool {
        self.room_sid.is_none() || self.room_sid.as_ref() == room_sid
    }

    /// Returns the report with results of bounded size, so that a list of egresses is one message. Leaves out further
    /// files and a longer location.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let EgressState { files, hls, .. } = &mut self.state;
        files.truncate(MAX_FILES);
        let of_hls = hls.as_mut().map(|hls| &mut hls.location);
        for location in files.iter_mut().map(|file| &mut file.location).chain(of_hls) {
            location.take_if(|location| location.len() > MAX_LOCATION_BYTES);
        }
        self
    }

    /// Returns the report with paths relative to the deployment's prefix, as requests have them.
    #[must_use]
    pub fn relative_to(mut self, prefix: &StoragePrefix) -> Self {
        let outputs = &mut self.outputs;
        outputs.file = outputs.file.take().map(|path| prefix.relative(path));
        outputs.playlist = outputs.playlist.take().map(|path| prefix.relative(path));
        for file in &mut self.state.files {
            file.path = prefix.relative(file.path.clone());
        }
        if let Some(hls) = &mut self.state.hls {
            hls.playlist = prefix.relative(hls.playlist.clone());
        }
        self
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
