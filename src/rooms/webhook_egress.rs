//! Tolerant parser of the egress in LiveKit's webhooks. Storage credentials, which a request may have, are not read.

use std::time::Duration;

use serde_json::Value;

use super::protojson::{integer, text};
use crate::domain::{
    AddressFingerprint, EgressFile, EgressKind, EgressOutputs, EgressReport, EgressState, EgressStateTime,
    EgressStatus, EgressTarget, ErrorSecrets, HlsResult, MaskedUrl, MediaPath, TargetStatus, Timestamp,
};

/// Members of an egress that hold its request: exactly one is there.
const REQUESTS: [&str; 7] =
    ["egress", "replay", "roomComposite", "web", "participant", "trackComposite", "track"];

/// Parses an egress; `None` without an id.
pub(super) fn report(egress: &Value) -> Option<EgressReport> {
    let outputs = outputs(egress);
    let report = EgressReport {
        id: text(&egress["egressId"])?.into(),
        room_sid: text(&egress["roomId"]).map(Into::into),
        kind: EgressKind::of(&outputs),
        outputs,
        state: state(egress, &secrets(egress)),
    };
    Some(report.bounded())
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Protojson omits the first value of an enum, `EGRESS_STARTING`. A new value counts as active.
fn status(egress: &Value) -> EgressStatus {
    match egress["status"].as_str() {
        None | Some("EGRESS_STARTING") => EgressStatus::Starting,
        Some("EGRESS_ENDING") => EgressStatus::Ending,
        Some("EGRESS_COMPLETE") => EgressStatus::Complete,
        Some("EGRESS_FAILED") => EgressStatus::Failed,
        Some("EGRESS_ABORTED") => EgressStatus::Aborted,
        Some("EGRESS_LIMIT_REACHED") => EgressStatus::LimitReached,
        Some(_) => EgressStatus::Active,
    }
}

fn state(egress: &Value, secrets: &ErrorSecrets) -> EgressState {
    let status = status(egress);
    let time = |name: &str| integer(&egress[name]).map(|nanos| Timestamp::from_millis(nanos / 1_000_000));
    EgressState {
        status,
        error: error(egress, secrets),
        started_at: time("startedAt"),
        ended_at: time("endedAt"),
        files: items(&egress["fileResults"]).filter_map(file).collect(),
        hls: items(&egress["segmentResults"]).next().map(hls),
        targets: items(&egress["streamResults"]).map(|stream| target(stream, secrets)).collect(),
        time: EgressStateTime::of(status, integer(&egress["updatedAt"]).unwrap_or_default()),
    }
}

fn secrets(egress: &Value) -> ErrorSecrets {
    let results = items(&egress["streamResults"]).filter_map(|stream| stream["url"].as_str());
    ErrorSecrets::of_targets(requests(egress).flat_map(addresses).chain(results))
}

fn error(value: &Value, secrets: &ErrorSecrets) -> Option<String> {
    secrets.mask(value["error"].as_str().unwrap_or_default())
}

fn count(value: &Value) -> u64 {
    integer(value).and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
}

fn path(value: &Value) -> MediaPath {
    MediaPath::reported(text(value).unwrap_or_default())
}

/// LiveKit lists a file from the start of its egress, and gives it a location when it is complete.
fn file(file: &Value) -> Option<EgressFile> {
    Some(EgressFile {
        path: path(&file["filename"]),
        size: count(&file["size"]),
        duration: Duration::from_nanos(count(&file["duration"])),
        location: Some(text(&file["location"])?),
    })
}

fn hls(segments: &Value) -> HlsResult {
    HlsResult {
        playlist: path(&segments["playlistName"]),
        segments: count(&segments["segmentCount"]),
        size: count(&segments["size"]),
        duration: Duration::from_nanos(count(&segments["duration"])),
        location: text(&segments["playlistLocation"]),
    }
}

/// Protojson omits the first value of an enum, `ACTIVE`.
fn target(stream: &Value, secrets: &ErrorSecrets) -> EgressTarget {
    let url = stream["url"].as_str().unwrap_or_default();
    EgressTarget {
        fingerprint: AddressFingerprint::of_reported(url),
        url: MaskedUrl::of_target(url),
        status: match stream["status"].as_str() {
            Some("FINISHED") => TargetStatus::Finished,
            Some("FAILED") => TargetStatus::Failed,
            _ => TargetStatus::Active,
        },
        error: error(stream, secrets),
    }
}

fn requests(egress: &Value) -> impl Iterator<Item = &Value> {
    REQUESTS.iter().map(|name| &egress[*name]).filter(|request| request.is_object())
}

/// Addresses of the RTMP targets of a request.
fn addresses(request: &Value) -> impl Iterator<Item = &str> {
    let lists = items(&request["streamOutputs"]).chain(items(&request["outputs"]).map(|one| &one["stream"]));
    lists.chain([&request["stream"]]).flat_map(|stream| items(&stream["urls"])).filter_map(Value::as_str)
}

/// Returns the requested outputs. Requests have a list for each kind of output, a list of all, or one of each.
fn outputs(egress: &Value) -> EgressOutputs {
    let mut found = EgressOutputs::default();
    for request in requests(egress) {
        let lists = items(&request["fileOutputs"]).chain(items(&request["outputs"]).map(|one| &one["file"]));
        let files = lists.chain([&request["file"]]).filter_map(|file| text(&file["filepath"]));
        found.file = files.last().map(MediaPath::reported);
        let lists =
            items(&request["segmentOutputs"]).chain(items(&request["outputs"]).map(|one| &one["segments"]));
        let playlists = lists.chain([&request["segments"]]).filter_map(|one| text(&one["playlistName"]));
        found.playlist = playlists.last().map(MediaPath::reported);
        found.rtmp = addresses(request).map(AddressFingerprint::of_reported).collect();
    }
    found.rtmp.sort();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn omitted_values_are_the_first_of_their_enums() {
        let started = report(&json!({"egressId": "EG_1", "roomId": "RM_1", "roomName": "room"})).unwrap();
        assert_eq!((started.state.status, started.state.time.phase), (EgressStatus::Starting, 0));
        assert_eq!((started.kind, started.room_sid), (EgressKind::Broadcast, Some("RM_1".into())));
        let unknown = json!({"egressId": "EG_1", "status": "EGRESS_NEW", "streamResults": [{"url": 1}]});
        assert_eq!(report(&unknown).unwrap().state.status, EgressStatus::Active);
        assert_eq!(report(&json!({"status": "EGRESS_ACTIVE"})), None);
    }

    #[test]
    fn results_and_requested_outputs_are_read_without_secrets() {
        let file =
            json!({"filename": "out/a.mp4", "size": "4096", "duration": "61500000000", "location": "l"});
        let complete = json!({"egressId": "EG_1", "status": "EGRESS_COMPLETE", "updatedAt": "1795000000123456789",
            "error": "rtmp://a.example/live/unique-key failed, unique-key",
            "roomComposite": {"fileOutputs": [{"filepath": "out/a.mp4", "s3": {"secret": "hunter2"}}],
                "segmentOutputs": [{"playlistName": "live/index.m3u8"}],
                "streamOutputs": [{"urls": ["rtmp://a.example/live/{uni...key}"]}]},
            "fileResults": [file, {"filename": "not complete"}],
            "segmentResults": [{"playlistName": "live/index.m3u8", "segmentCount": "3"}],
            "streamResults": [{"url": "rtmp://a.example/live/{uni...key}", "status": "FAILED",
                "error": "unique-key is in use"}]});
        let report = report(&complete).unwrap();
        assert_eq!(report.kind, EgressKind::Recording);
        assert_eq!(report.state.files.len(), 1);
        assert_eq!(report.state.files[0].duration, Duration::from_millis(61_500));
        assert_eq!(report.state.hls.as_ref().unwrap().segments, 3);
        assert_eq!(report.state.time, EgressStateTime { phase: 3, report: 1_795_000_000_123_456 });
        assert_eq!(report.outputs.rtmp, [report.state.targets[0].fingerprint.clone()]);
        assert_eq!(report.state.targets[0].status, TargetStatus::Failed);
        assert_eq!(report.state.targets[0].error.as_deref(), Some("*** is in use"));
        assert_eq!(report.state.error.as_deref(), Some("rtmp://a.example/live/*** failed, ***"));
        let shown = format!("{report:?}");
        assert!(
            !shown.contains("unique-key") && !shown.contains("hunter2") && !shown.contains("{uni"),
            "{shown}"
        );
        let unified = json!({"egressId": "EG_1", "egress": {"outputs": [{"file": {"filepath": "a.mp4"}},
            {"stream": {"urls": ["rtmp://a.example/live/k"]}}]}});
        let unified = super::report(&unified).unwrap();
        assert_eq!((unified.kind, unified.outputs.rtmp.len()), (EgressKind::Recording, 1));
    }
}
