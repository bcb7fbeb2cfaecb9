//! Recordings and broadcasts of a stream, and the intents to start some.

use std::time::Duration;

use super::{
    EgressFile, EgressId, EgressKind, EgressOutputs, EgressPreset, EgressReport, EgressSource, EgressState,
    EgressStateTime, EgressStatus, HlsResult, Identity, JobId, RtmpTarget, Timestamp, rtmp_target,
};

/// Maximum number of recordings and broadcasts of a stream that run, with those that are being started.
pub const MAX_RUNNING_EGRESSES: usize = 8;

/// Maximum number of intents to start a recording or broadcast, with those of requests that have failed.
pub const MAX_EGRESS_PLANS: usize = 32;

/// Maximum number of recordings and broadcasts that a stream's record keeps. The oldest ended ones make room.
pub const MAX_KEPT_EGRESSES: usize = 32;

/// How long an intent to start an egress is kept after its last attempt. LiveKit may start an egress up to 22 s after a
/// call that it has not answered.
pub const EGRESS_PLAN_TTL: Duration = Duration::from_secs(60);

/// What a request asks for besides the outputs. Unknown of an egress that another tool has started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressSpec {
    /// Media that are taken; `None` if another tool has started the egress.
    pub source: Option<EgressSource>,
    /// True if video is left out.
    pub audio_only: bool,
    /// Size and rate of the encoded video; LiveKit's default without one.
    pub preset: Option<EgressPreset>,
    /// Duration of an HLS segment in seconds; LiveKit's default without one.
    pub segment_seconds: Option<u32>,
    /// Public address of the HLS playlist, if the deployment has one.
    pub playlist_url: Option<String>,
    /// Public address of the live playlist, if the deployment has one.
    pub live_playlist_url: Option<String>,
}

/// Recording or broadcast of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Egress {
    /// LiveKit's id, which is that of the recording or broadcast too.
    pub id: EgressId,
    /// Recording or broadcast.
    pub kind: EgressKind,
    /// Requested outputs.
    pub outputs: EgressOutputs,
    /// What was requested besides.
    pub spec: EgressSpec,
    /// Status.
    pub status: EgressStatus,
    /// Why it has failed, with masked addresses.
    pub error: Option<String>,
    /// Time from which media flow, by LiveKit's clock.
    pub started_at: Option<Timestamp>,
    /// End, by LiveKit's clock.
    pub ended_at: Option<Timestamp>,
    /// Written files.
    pub files: Vec<EgressFile>,
    /// HLS output.
    pub hls: Option<HlsResult>,
    /// RTMP targets of a broadcast, oldest first.
    pub targets: Vec<RtmpTarget>,
    /// Number of targets that the broadcast ever had, from which the next id follows.
    pub last_target: u32,
    /// Number of targets in the recorded report of LiveKit.
    pub reported_targets: u32,
    /// Order of the recorded state among those that LiveKit reports.
    pub state_time: EgressStateTime,
    /// Time at which the egress was recorded.
    pub created_at: Timestamp,
    /// Time of the last change of the status.
    pub status_since: Timestamp,
    /// Time of the last change.
    pub changed_at: Timestamp,
    /// Time from which LiveKit calls the egress active although its recorder is not in the room.
    pub recorder_missing_since: Option<Timestamp>,
    /// Job of the request that has started it; `None` if another tool has.
    pub job: Option<JobId>,
}

impl Egress {
    /// Makes the record of an egress that LiveKit reports. Targets follow, see [`Self::updated`].
    pub fn new(report: &EgressReport, spec: EgressSpec, job: Option<JobId>, now: Timestamp) -> Self {
        Self {
            id: report.id.clone(),
            kind: report.kind,
            outputs: report.outputs.clone(),
            spec,
            status: report.state.status,
            error: None,
            started_at: None,
            ended_at: None,
            files: Vec::new(),
            hls: None,
            targets: Vec::new(),
            last_target: 0,
            reported_targets: 0,
            state_time: EgressStateTime::default(),
            created_at: now,
            status_since: now,
            changed_at: now,
            recorder_missing_since: None,
            job,
        }
    }

    /// Reports whether the egress has not ended.
    pub const fn is_running(&self) -> bool {
        !self.status.is_over()
    }

    /// Reports whether LiveKit calls the egress active.
    pub fn is_active(&self) -> bool {
        self.status == EgressStatus::Active
    }

    /// Reports whether LiveKit changes the targets of the egress in this state.
    pub const fn takes_targets(&self) -> bool {
        matches!(self.status, EgressStatus::Starting | EgressStatus::Active)
    }

    /// Reports whether a report of LiveKit is later than the recorded one. LiveKit may report a new target without
    /// another time.
    pub fn is_before(&self, state: &EgressState) -> bool {
        let reported = u32::try_from(state.targets.len()).unwrap_or(u32::MAX);
        (state.time, reported) > (self.state_time, self.reported_targets)
    }

    /// Returns this record as a report leaves it.
    pub fn updated(&self, state: EgressState, now: Timestamp) -> Self {
        let mut updated = self.clone();
        if self.kind == EgressKind::Broadcast {
            rtmp_target::merge(&mut updated.targets, &mut updated.last_target, &state.targets, now);
        }
        updated.reported_targets = u32::try_from(state.targets.len()).unwrap_or(u32::MAX);
        updated.error = state.error;
        updated.started_at = state.started_at;
        updated.ended_at = state.ended_at;
        updated.files = state.files;
        updated.hls = state.hls;
        updated.state_time = state.time;
        updated.turn(state.status, now);
        updated
    }

    /// Returns this record after it has failed for a reason that LiveKit has not reported.
    pub fn failed(&self, error: &str, now: Timestamp) -> Self {
        let mut failed = self.clone();
        failed.error = Some(error.to_owned());
        failed.ended_at = Some(now);
        failed.state_time = EgressStateTime::of(EgressStatus::Failed, 0);
        failed.turn(EgressStatus::Failed, now);
        failed
    }

    fn turn(&mut self, status: EgressStatus, now: Timestamp) {
        if status != self.status {
            self.status_since = now;
            self.recorder_missing_since = None;
        }
        self.status = status;
        self.changed_at = now;
        if status.is_over() {
            rtmp_target::end_all(&mut self.targets, status);
        }
    }

    /// Returns what a reader sees and a report can change.
    pub fn shown(&self) -> impl PartialEq + '_ {
        let targets: Vec<_> = self.targets.iter().map(RtmpTarget::shown).collect();
        (self.status, &self.error, self.started_at, self.ended_at, &self.files, &self.hls, targets)
    }

    /// Returns the participant that a recording takes alone.
    pub const fn recorded_participant(&self) -> Option<&Identity> {
        match &self.spec.source {
            Some(EgressSource::Participant(identity)) => Some(identity),
            _ => None,
        }
    }

    /// Reports whether a target or HLS remains as an output.
    pub fn has_output(&self) -> bool {
        let remains = |target: &RtmpTarget| target.status.is_running() && !target.is_being_removed;
        self.outputs.playlist.is_some() || self.targets.iter().any(remains)
    }

    /// Returns a key that sorts lists: by time, then by id.
    pub fn list_key(&self) -> String {
        format!("{:016}:{}", self.created_at.as_millis(), self.id)
    }
}

/// Intent to start an egress. It exists while a request asks LiveKit for it, and as long as LiveKit may start the
/// egress of a request that has failed. LiveKit's egress has no mark, so that its outputs tell the intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressPlan {
    /// Job of the request.
    pub job: JobId,
    /// Requested outputs.
    pub outputs: EgressOutputs,
    /// Time of the request's last attempt.
    pub planned_at: Timestamp,
    /// True if the last attempt has failed, and no request waits for the egress any more.
    pub is_abandoned: bool,
}

/// Recordings and broadcasts of a stream, and the intents to start some.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamEgresses {
    /// Records, in no order.
    pub egresses: Vec<Egress>,
    /// Intents, in no order.
    pub plans: Vec<EgressPlan>,
}

/// Reason for which an egress is recorded as failed although LiveKit has not reported that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EgressFailure {
    /// LiveKit has called it starting for too long.
    NotStarted,
    /// LiveKit calls it active, and its recorder has left the room.
    RecorderGone,
    /// LiveKit has called it ending for too long.
    NotEnded,
    /// LiveKit does not know it any more.
    Lost,
}

impl EgressFailure {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::NotStarted, Self::RecorderGone, Self::NotEnded, Self::Lost];

    /// Returns the name in scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::RecorderGone => "recorder_gone",
            Self::NotEnded => "not_ended",
            Self::Lost => "lost",
        }
    }

    /// Returns the error text of the record.
    pub const fn error(self) -> &'static str {
        match self {
            Self::NotStarted => "LiveKit's egress service has not started it in time",
            Self::RecorderGone => "the recorder has left the room: its worker has probably died",
            Self::NotEnded => "LiveKit's egress service has not reported the end",
            Self::Lost => "LiveKit does not know it any more",
        }
    }

    /// Reports whether a record has failed for this reason, if it was so before a time.
    pub fn applies_to(self, egress: &Egress, before: Timestamp) -> bool {
        match self {
            Self::NotStarted => egress.status == EgressStatus::Starting && egress.status_since < before,
            Self::RecorderGone => {
                egress.status == EgressStatus::Active
                    && egress.recorder_missing_since.is_some_and(|since| since < before)
            }
            Self::NotEnded => egress.status == EgressStatus::Ending && egress.status_since < before,
            Self::Lost => egress.is_running() && egress.changed_at < before,
        }
    }
}
