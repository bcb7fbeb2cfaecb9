//! JSON documents of recordings and broadcasts.

use serde::{Serialize, Serializer};

use super::{
    Egress, EgressFile, EgressId, EgressKind, EgressPreset, EgressSource, EgressStatus, Identity, Layout,
    MaskedUrl, MediaPath, RtmpStatus, RtmpTarget, TargetId, Timestamp, TrackSid,
};

#[derive(Serialize)]
struct File<'a> {
    path: &'a MediaPath,
    size: u64,
    duration: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Recording<'a> {
    recording_id: &'a EgressId,
    egress_id: &'a EgressId,
    status: EgressStatus,
    error: Option<&'a str>,
    layout: Option<&'a Layout>,
    identity: Option<&'a Identity>,
    track_sid: Option<&'a TrackSid>,
    audio_only: bool,
    preset: Option<EgressPreset>,
    path: Option<&'a MediaPath>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct Target<'a> {
    id: TargetId,
    url: &'a MaskedUrl,
    status: RtmpStatus,
    error: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hls<'a> {
    path: &'a MediaPath,
    url: Option<&'a str>,
    live_playlist: Option<&'a str>,
    segment_seconds: Option<u32>,
    segments: u64,
    size: u64,
    duration: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Broadcast<'a> {
    broadcast_id: &'a EgressId,
    egress_id: &'a EgressId,
    status: EgressStatus,
    error: Option<&'a str>,
    rtmp: Vec<Target<'a>>,
    hls: Option<Hls<'a>>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Document<'a> {
    Recording(Recording<'a>),
    Broadcast(Broadcast<'a>),
}

impl<'a> File<'a> {
    fn of(file: &'a EgressFile, shows_location: bool) -> Self {
        let EgressFile { path, size, duration, location } = file;
        let location = location.as_deref().filter(|_| shows_location);
        Self { path, size: *size, duration: duration.as_secs_f64(), location }
    }
}

impl<'a> Target<'a> {
    fn of(target: &'a RtmpTarget) -> Self {
        let RtmpTarget { id, url, status, error, .. } = target;
        Self { id: *id, url, status: *status, error: error.as_deref() }
    }
}

impl<'a> Hls<'a> {
    fn of(egress: &'a Egress, shows_location: bool) -> Option<Self> {
        let result = egress.hls.as_ref();
        let location = result.and_then(|hls| hls.location.as_deref()).filter(|_| shows_location);
        Some(Self {
            path: egress.outputs.playlist.as_ref()?,
            url: egress.spec.playlist_url.as_deref(),
            live_playlist: egress.spec.live_playlist_url.as_deref(),
            segment_seconds: egress.spec.segment_seconds,
            segments: result.map_or(0, |hls| hls.segments),
            size: result.map_or(0, |hls| hls.size),
            duration: result.map_or(0.0, |hls| hls.duration.as_secs_f64()),
            location,
        })
    }
}

impl<'a> Recording<'a> {
    fn of(egress: &'a Egress, shows_location: bool) -> Self {
        let (layout, identity, track_sid) = match egress.spec.source.as_ref() {
            None => (None, None, None),
            Some(EgressSource::Room(layout)) => (layout.as_ref(), None, None),
            Some(EgressSource::Participant(identity)) => (None, Some(identity), None),
            Some(EgressSource::AudioTrack(sid) | EgressSource::VideoTrack(sid)) => (None, None, Some(sid)),
        };
        Self {
            recording_id: &egress.id,
            egress_id: &egress.id,
            status: egress.status,
            error: egress.error.as_deref(),
            layout,
            identity,
            track_sid,
            audio_only: egress.spec.audio_only,
            preset: egress.spec.preset,
            path: egress.outputs.file.as_ref(),
            created_at: egress.created_at,
            started_at: egress.started_at,
            ended_at: egress.ended_at,
            files: egress.files.iter().map(|file| File::of(file, shows_location)).collect(),
        }
    }
}

impl<'a> Broadcast<'a> {
    fn of(egress: &'a Egress, shows_location: bool) -> Self {
        Self {
            broadcast_id: &egress.id,
            egress_id: &egress.id,
            status: egress.status,
            error: egress.error.as_deref(),
            rtmp: egress.targets.iter().map(Target::of).collect(),
            hls: Hls::of(egress, shows_location),
            created_at: egress.created_at,
            started_at: egress.started_at,
            ended_at: egress.ended_at,
        }
    }
}

impl Egress {
    /// Returns the document of the recording or broadcast. `shows_location` adds where its files are, for those who may
    /// change it.
    pub fn document(&self, shows_location: bool) -> impl Serialize + '_ {
        match self.kind {
            EgressKind::Recording => Document::Recording(Recording::of(self, shows_location)),
            EgressKind::Broadcast => Document::Broadcast(Broadcast::of(self, shows_location)),
        }
    }
}

/// As in events: without the location.
impl Serialize for Egress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.document(false).serialize(serializer)
    }
}
