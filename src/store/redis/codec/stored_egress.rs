//! Encodes and decodes recordings and broadcasts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    stored_spec::spec,
    stored_target::{ReportedTarget, StoredTarget},
    text::{decode, encode, optional, parsed, required_time, time},
};
use crate::{
    domain::{
        AddressFingerprint, Egress, EgressFile, EgressOutputs, EgressPlan, EgressReport, EgressStateTime,
        HlsResult, MediaPath, Timestamp,
    },
    store::StoreError,
};

/// What LiveKit reports of an egress, as texts. Absent values are omitted. No script reads `outputs`, `files` and
/// `hls`.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reported {
    egress_id: String,
    kind: String,
    /// JSON of [`StoredOutputs`].
    outputs: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    has_playlist: bool,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    /// JSON of a list of [`StoredFile`].
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<String>,
    /// JSON of [`StoredHls`].
    #[serde(skip_serializing_if = "Option::is_none")]
    hls: Option<String>,
    phase: String,
    report: String,
}

/// Argument of a script: what LiveKit reports.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    #[serde(flatten)]
    reported: Reported,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_sid: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    targets: Vec<ReportedTarget>,
}

/// Record of an egress.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredEgress {
    #[serde(flatten)]
    reported: Reported,
    /// JSON of a request, see `stored_spec`.
    spec: Option<String>,
    #[serde(default)]
    targets: Vec<StoredTarget>,
    last_target: String,
    reported_targets: String,
    created_at: String,
    status_since: String,
    changed_at: String,
    recorder_missing_since: Option<String>,
    job: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredPlan {
    job: String,
    outputs: String,
    planned_at: String,
    #[serde(default)]
    abandoned: bool,
}

#[derive(Deserialize, Serialize)]
struct StoredOutputs {
    file: Option<String>,
    playlist: Option<String>,
    rtmp: Vec<String>,
}

#[derive(Deserialize, Serialize)]
struct StoredFile {
    path: String,
    size: u64,
    nanos: u64,
    location: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct StoredHls {
    playlist: String,
    segments: u64,
    size: u64,
    nanos: u64,
    location: Option<String>,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Encodes outputs. Equal outputs have equal texts.
pub fn egress_outputs(outputs: &EgressOutputs) -> String {
    let EgressOutputs { file, playlist, rtmp } = outputs;
    let text = |path: &Option<MediaPath>| path.as_ref().map(ToString::to_string);
    let rtmp = rtmp.iter().map(ToString::to_string).collect();
    encode(&StoredOutputs { file: text(file), playlist: text(playlist), rtmp })
}

fn outputs(json: &str) -> Result<EgressOutputs, StoreError> {
    let StoredOutputs { file, playlist, rtmp } = decode("outputs", json)?;
    Ok(EgressOutputs {
        file: file.map(MediaPath::reported),
        playlist: playlist.map(MediaPath::reported),
        rtmp: rtmp.into_iter().map(AddressFingerprint::stored).collect(),
    })
}

fn encoded_files(files: &[EgressFile]) -> Option<String> {
    let stored = |file: &EgressFile| StoredFile {
        path: file.path.to_string(),
        size: file.size,
        nanos: nanos(file.duration),
        location: file.location.clone(),
    };
    (!files.is_empty()).then(|| encode(&files.iter().map(stored).collect::<Vec<_>>()))
}

fn files(json: Option<&str>) -> Result<Vec<EgressFile>, StoreError> {
    let stored: Vec<StoredFile> = json.map(|json| decode("files", json)).transpose()?.unwrap_or_default();
    let file = |StoredFile { path, size, nanos, location }| EgressFile {
        path: MediaPath::reported(path),
        size,
        duration: Duration::from_nanos(nanos),
        location,
    };
    Ok(stored.into_iter().map(file).collect())
}

fn encoded_hls(hls: &HlsResult) -> String {
    let HlsResult { playlist, segments, size, duration, location } = hls;
    let (playlist, location) = (playlist.to_string(), location.clone());
    encode(&StoredHls { playlist, segments: *segments, size: *size, nanos: nanos(*duration), location })
}

fn hls(json: &str) -> Result<HlsResult, StoreError> {
    let StoredHls { playlist, segments, size, nanos, location } = decode("hls", json)?;
    let (playlist, duration) = (MediaPath::reported(playlist), Duration::from_nanos(nanos));
    Ok(HlsResult { playlist, segments, size, duration, location })
}

/// Encodes what LiveKit reports of an egress, for the argument of a script.
pub fn reported_egress(report: &EgressReport) -> String {
    let EgressReport { id, room_sid, kind, outputs, state } = report;
    let millis = |time: Option<Timestamp>| time.map(|time| time.as_millis().to_string());
    let reported = Reported {
        egress_id: id.to_string(),
        kind: kind.as_str().to_owned(),
        outputs: egress_outputs(outputs),
        has_playlist: outputs.playlist.is_some(),
        status: state.status.as_str().to_owned(),
        error: state.error.clone(),
        started_at: millis(state.started_at),
        ended_at: millis(state.ended_at),
        files: encoded_files(&state.files),
        hls: state.hls.as_ref().map(encoded_hls),
        phase: state.time.phase.to_string(),
        report: state.time.report.to_string(),
    };
    let targets = state.targets.iter().map(ReportedTarget::of).collect();
    encode(&Argument { reported, room_sid: room_sid.as_ref().map(ToString::to_string), targets })
}

impl StoredEgress {
    pub(super) fn into_domain(self) -> Result<Egress, StoreError> {
        let Self { reported, created_at, status_since, changed_at, .. } = self;
        let text = Option::unwrap_or_default;
        Ok(Egress {
            id: reported.egress_id.into(),
            kind: parsed("kind", &reported.kind)?,
            outputs: outputs(&reported.outputs)?,
            spec: spec(self.spec.as_deref())?,
            status: parsed("status", &reported.status)?,
            error: reported.error,
            started_at: time("startedAt", &text(reported.started_at))?,
            ended_at: time("endedAt", &text(reported.ended_at))?,
            files: files(reported.files.as_deref())?,
            hls: reported.hls.as_deref().map(hls).transpose()?,
            targets: self.targets.into_iter().map(StoredTarget::into_domain).collect::<Result<_, _>>()?,
            last_target: parsed("lastTarget", &self.last_target)?,
            reported_targets: parsed("reportedTargets", &self.reported_targets)?,
            state_time: EgressStateTime {
                phase: parsed("phase", &reported.phase)?,
                report: parsed("report", &reported.report)?,
            },
            created_at: required_time("createdAt", &created_at)?,
            status_since: required_time("statusSince", &status_since)?,
            changed_at: required_time("changedAt", &changed_at)?,
            recorder_missing_since: time("recorderMissingSince", &text(self.recorder_missing_since))?,
            job: optional("job", &text(self.job))?,
        })
    }
}

/// Decodes a recording or a broadcast from its JSON.
///
/// # Errors
/// [`StoreError::Corrupt`] for invalid JSON or an invalid field.
pub fn egress(json: &str) -> Result<Egress, StoreError> {
    decode::<StoredEgress>("egress", json)?.into_domain()
}

/// Decodes an intent to start an egress from its JSON.
///
/// # Errors
/// [`StoreError::Corrupt`] for invalid JSON or an invalid field.
pub fn egress_plan(json: &str) -> Result<EgressPlan, StoreError> {
    let stored: StoredPlan = decode("egress plan", json)?;
    Ok(EgressPlan {
        job: parsed("job", &stored.job)?,
        outputs: outputs(&stored.outputs)?,
        planned_at: required_time("plannedAt", &stored.planned_at)?,
        is_abandoned: stored.abandoned,
    })
}
