//! Ingress: a source outside of LiveKit (OBS, ffmpeg, a WHIP client, a URL) that takes part in a stream.

use std::{str::FromStr, time::Duration};

use serde::Serialize;

use super::{
    DisplayName, Identity, IngressId, JobId, JobMark, MaskedUrl, StreamId, Timestamp,
    name::{self, UnknownName},
};

/// Maximum number of ingresses of a stream, with those that are being created. Closing a stream tells the end of each
/// of them in one call.
pub const MAX_INGRESSES: usize = 32;

/// Age of an intent to create an ingress after which its request has died: LiveKit answers within seconds.
pub const INGRESS_PLAN_TTL: Duration = Duration::from_secs(60);

/// Protocol of an ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IngressKind {
    /// An encoder pushes RTMP.
    Rtmp,
    /// An encoder pushes WebRTC (WHIP, RFC 9725).
    Whip,
    /// LiveKit's worker pulls a URL.
    Url,
    /// Protocol that this version does not know. No request can ask for it.
    Unknown,
}

impl IngressKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Rtmp, Self::Whip, Self::Url, Self::Unknown];

    /// Returns the name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Whip => "whip",
            Self::Url => "url",
            Self::Unknown => "unknown",
        }
    }
}

impl FromStr for IngressKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        name::find(&Self::ALL, Self::as_str, text)
    }
}

/// State of an ingress, by LiveKit's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IngressStatus {
    /// Nothing is pushed or pulled.
    #[default]
    Inactive,
    /// The worker receives the source and does not publish it yet.
    Buffering,
    /// The source is a participant of the stream.
    Publishing,
    /// The source cannot be published.
    Error,
    /// The source has ended.
    Complete,
}

impl IngressStatus {
    /// All states.
    pub const ALL: [Self; 5] =
        [Self::Inactive, Self::Buffering, Self::Publishing, Self::Error, Self::Complete];

    /// Returns the name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Buffering => "buffering",
            Self::Publishing => "publishing",
            Self::Error => "error",
            Self::Complete => "complete",
        }
    }
}

impl FromStr for IngressStatus {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        name::find(&Self::ALL, Self::as_str, text)
    }
}

/// LiveKit's times of a state, in microseconds: the start of the session, and the report. LiveKit has nanoseconds,
/// which Lua's numbers cannot represent. A later state has a greater value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateTime {
    /// Start of the session; 0 before the first one.
    pub session: i64,
    /// Time of the report; 0 before the first one.
    pub report: i64,
}

/// State that LiveKit reports of an ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngressState {
    /// Status.
    pub status: IngressStatus,
    /// LiveKit's error text.
    pub error: Option<String>,
    /// Start of the session.
    pub started_at: Option<Timestamp>,
    /// End of the session.
    pub ended_at: Option<Timestamp>,
    /// Order among the states of the ingress.
    pub time: StateTime,
}

/// Ingress as LiveKit reports it, without its stream key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressReport {
    /// LiveKit's id.
    pub id: IngressId,
    /// Mark of the request that has created it; `None` if another tool has.
    pub mark: Option<JobMark>,
    /// Protocol.
    pub kind: IngressKind,
    /// Identity of its participant.
    pub identity: Identity,
    /// Display name of its participant.
    pub name: Option<DisplayName>,
    /// Address that encoders push to, or the masked address that the worker pulls.
    pub url: Option<MaskedUrl>,
    /// State.
    pub state: IngressState,
}

impl IngressReport {
    /// Returns the job of this stream that the ingress belongs to.
    pub fn job_of(&self, stream: StreamId) -> Option<JobId> {
        self.mark.filter(|mark| mark.stream == stream).map(|mark| mark.job)
    }
}

/// Ingress of a stream. Has no stream key, which only LiveKit keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// LiveKit's id.
    #[serde(rename = "ingressId")]
    pub id: IngressId,
    /// Protocol.
    #[serde(rename = "type")]
    pub kind: IngressKind,
    /// Identity of its participant.
    pub identity: Identity,
    /// Display name of its participant.
    pub name: Option<DisplayName>,
    /// Address that encoders push to, or the masked address that the worker pulls.
    pub url: Option<MaskedUrl>,
    /// Status.
    pub status: IngressStatus,
    /// Why the source cannot be published.
    pub error: Option<String>,
    /// Time at which the ingress was recorded.
    pub created_at: Timestamp,
    /// Start of the last session, by LiveKit's clock.
    pub started_at: Option<Timestamp>,
    /// End of the last session, by LiveKit's clock.
    pub ended_at: Option<Timestamp>,
    /// True in the last event of the ingress, which is deleted in LiveKit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Job of the request that has created it; `None` if another tool has.
    #[serde(skip)]
    pub job: Option<JobId>,
    /// Order of the recorded state among those that LiveKit reports.
    #[serde(skip)]
    pub state_time: StateTime,
    /// Time of the last change.
    #[serde(skip)]
    pub changed_at: Timestamp,
}

impl Ingress {
    /// Makes the record of an ingress that LiveKit reports.
    pub fn new(report: IngressReport, job: Option<JobId>, now: Timestamp) -> Self {
        let IngressReport { id, mark: _, kind, identity, name, url, state } = report;
        let IngressState { status, error, started_at, ended_at, time } = state;
        Self {
            id,
            kind,
            identity,
            name,
            url,
            status,
            error,
            created_at: now,
            started_at,
            ended_at,
            deleted: false,
            job,
            state_time: time,
            changed_at: now,
        }
    }

    /// Returns this record as a report leaves it.
    pub fn updated(&self, report: IngressReport, now: Timestamp) -> Self {
        let (created_at, job) = (self.created_at, self.job);
        Self { created_at, ..Self::new(report, job, now) }
    }

    /// Reports whether two records show the same ingress in the same state.
    pub fn is_same(&self, other: &Self) -> bool {
        *self == Self { changed_at: self.changed_at, ..other.clone() }
    }

    /// Returns a key that sorts lists of ingresses: by time, then by id.
    pub fn list_key(&self) -> String {
        format!("{:016}:{}", self.created_at.as_millis(), self.id)
    }
}

/// Intent to create an ingress. It exists while a request asks LiveKit for it, and has no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressPlan {
    /// Job of the request.
    pub job: JobId,
    /// Identity of the participant.
    pub identity: Identity,
    /// Time of the request's last attempt.
    pub planned_at: Timestamp,
}

/// Ingresses of a stream, and the intents to create some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamIngresses {
    /// Recorded ingresses, in no order.
    pub ingresses: Vec<Ingress>,
    /// Intents, in no order.
    pub plans: Vec<IngressPlan>,
}
