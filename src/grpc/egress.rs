//! Conversion of recordings and broadcasts to messages of `proto/`.

use super::{convert::millis, proto};
use crate::domain::{Egress, EgressFile, EgressKind, EgressSource, RtmpTarget};

/// Converts a recording; `None` for a broadcast.
pub fn recording(egress: &Egress) -> Option<proto::Recording> {
    let (mut layout, mut identity, mut track_sid) = (String::new(), String::new(), String::new());
    match &egress.spec.source {
        Some(EgressSource::Room(Some(name))) => name.as_str().clone_into(&mut layout),
        Some(EgressSource::Participant(participant)) => identity = participant.to_string(),
        Some(EgressSource::AudioTrack(sid) | EgressSource::VideoTrack(sid)) => track_sid = sid.to_string(),
        Some(EgressSource::Room(None)) | None => {}
    }
    (egress.kind == EgressKind::Recording).then(|| proto::Recording {
        recording_id: egress.id.to_string(),
        egress_id: egress.id.to_string(),
        status: egress.status.as_str().to_owned(),
        error: egress.error.clone().unwrap_or_default(),
        layout,
        identity,
        track_sid,
        audio_only: egress.spec.audio_only,
        path: egress.outputs.file.as_ref().map(ToString::to_string).unwrap_or_default(),
        created_at: egress.created_at.as_millis(),
        started_at: millis(egress.started_at),
        ended_at: millis(egress.ended_at),
        files: egress.files.iter().map(file).collect(),
    })
}

fn file(file: &EgressFile) -> proto::RecordedFile {
    proto::RecordedFile {
        path: file.path.to_string(),
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
        duration: file.duration.as_secs_f64(),
    }
}

/// Converts a broadcast; `None` for a recording.
pub fn broadcast(egress: &Egress) -> Option<proto::Broadcast> {
    let hls = egress.outputs.playlist.as_ref().map(|playlist| proto::HlsOutput {
        path: playlist.to_string(),
        url: egress.spec.playlist_url.clone().unwrap_or_default(),
        live_playlist: egress.spec.live_playlist_url.clone().unwrap_or_default(),
    });
    (egress.kind == EgressKind::Broadcast).then(|| proto::Broadcast {
        broadcast_id: egress.id.to_string(),
        egress_id: egress.id.to_string(),
        status: egress.status.as_str().to_owned(),
        error: egress.error.clone().unwrap_or_default(),
        rtmp: egress.targets.iter().map(target).collect(),
        hls,
        created_at: egress.created_at.as_millis(),
        started_at: millis(egress.started_at),
        ended_at: millis(egress.ended_at),
    })
}

fn target(target: &RtmpTarget) -> proto::RtmpOutput {
    proto::RtmpOutput {
        id: target.id.to_string(),
        url: target.url.to_string(),
        status: target.status.as_str().to_owned(),
        error: target.error.clone().unwrap_or_default(),
    }
}
