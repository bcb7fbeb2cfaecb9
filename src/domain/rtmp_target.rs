//! RTMP targets of a broadcast.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use super::{
    AddressFingerprint, EgressStatus, EgressTarget, JobId, MaskedUrl, RtmpAddress, TargetStatus, Timestamp,
    name::{self, UnknownName},
};

/// Maximum number of targets of a broadcast that run.
pub const MAX_TARGETS: usize = 8;

/// Maximum number of targets that a broadcast's record keeps. The oldest ended ones make room.
pub const MAX_KEPT_TARGETS: usize = 16;

/// Id of a target, unique within its broadcast: 1 for the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(pub u32);

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TargetId {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        text.parse().ok().filter(|_| is_number).map(Self).ok_or(UnknownName)
    }
}

impl Serialize for TargetId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// State of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RtmpStatus {
    /// LiveKit was asked for it, and has not reported it yet.
    Starting,
    /// Media are sent.
    Active,
    /// The target was removed, or the broadcast has ended.
    Finished,
    /// The target does not accept the media, or LiveKit has not added it.
    Failed,
}

impl RtmpStatus {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Starting, Self::Active, Self::Finished, Self::Failed];

    /// Returns the name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }

    /// Reports whether the target has not ended.
    pub const fn is_running(self) -> bool {
        matches!(self, Self::Starting | Self::Active)
    }
}

impl FromStr for RtmpStatus {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        name::find(&Self::ALL, Self::as_str, text)
    }
}

impl From<TargetStatus> for RtmpStatus {
    fn from(status: TargetStatus) -> Self {
        match status {
            TargetStatus::Active => Self::Active,
            TargetStatus::Finished => Self::Finished,
            TargetStatus::Failed => Self::Failed,
        }
    }
}

/// RTMP target of a broadcast. Its whole address is stored apart from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtmpTarget {
    /// Id within the broadcast.
    pub id: TargetId,
    /// What tells the target from others in LiveKit's reports. No reader sees it.
    pub fingerprint: AddressFingerprint,
    /// Masked address.
    pub url: MaskedUrl,
    /// State.
    pub status: RtmpStatus,
    /// Why the target has failed, with masked addresses.
    pub error: Option<String>,
    /// Number of times that LiveKit's reports have the target: one more after it was removed and added again.
    pub reports: u32,
    /// Time at which the target was last requested.
    pub planned_at: Timestamp,
    /// Job of that request; `None` if another tool has added the target.
    pub job: Option<JobId>,
    /// True while a request asks LiveKit to remove it.
    pub is_being_removed: bool,
}

impl RtmpTarget {
    /// Makes a target that is requested.
    pub fn requested(id: TargetId, address: &RtmpAddress, job: JobId, now: Timestamp) -> Self {
        let (fingerprint, url) = (address.fingerprint(), address.masked());
        Self { job: Some(job), ..Self::starting(id, fingerprint, url, now) }
    }

    const fn starting(
        id: TargetId,
        fingerprint: AddressFingerprint,
        url: MaskedUrl,
        planned_at: Timestamp,
    ) -> Self {
        Self {
            id,
            fingerprint,
            url,
            status: RtmpStatus::Starting,
            error: None,
            reports: 0,
            planned_at,
            job: None,
            is_being_removed: false,
        }
    }

    /// Returns what a reader sees.
    pub(super) fn shown(&self) -> impl PartialEq + '_ {
        (self.id, &self.url, self.status, &self.error)
    }

    /// Records that the target is requested again.
    pub(super) fn request_again(&mut self, job: JobId, now: Timestamp) {
        self.status = RtmpStatus::Starting;
        self.error = None;
        (self.job, self.planned_at, self.is_being_removed) = (Some(job), now, false);
    }

    /// Reports whether LiveKit has never reported the target, although it was asked for it.
    pub fn is_waiting(&self) -> bool {
        self.status == RtmpStatus::Starting && self.reports == 0
    }

    /// Records what LiveKit reports of the target: the last entry of its address counts. A target that is requested
    /// again waits for an entry of its own.
    fn report(&mut self, reported: &[EgressTarget]) {
        let entries = || reported.iter().filter(|one| one.fingerprint == self.fingerprint);
        let count = u32::try_from(entries().count()).unwrap_or(u32::MAX);
        let is_known = count == self.reports && self.status != RtmpStatus::Starting;
        let Some(last) = entries().next_back().filter(|_| count > self.reports || is_known) else { return };
        let (status, error) = (last.status.into(), last.error.clone());
        self.reports = count;
        (self.status, self.error) = (status, error);
        self.is_being_removed &= self.status.is_running();
    }
}

/// Adds a target, for which the oldest ended one makes room if necessary. Does nothing if none has ended.
pub(super) fn push(targets: &mut Vec<RtmpTarget>, target: RtmpTarget) {
    if targets.len() >= MAX_KEPT_TARGETS {
        let Some(ended) = targets.iter().position(|one| !one.status.is_running()) else { return };
        targets.remove(ended);
    }
    targets.push(target);
}

/// Brings the targets to a report of LiveKit. A target that another tool has added is found when it is active. LiveKit
/// rewrites some addresses: a target that it reports under another one is the only one that waits for a report.
pub(super) fn merge(
    targets: &mut Vec<RtmpTarget>,
    last: &mut u32,
    reported: &[EgressTarget],
    now: Timestamp,
) {
    for target in &mut *targets {
        target.report(reported);
    }
    for (at, entry) in reported.iter().enumerate() {
        let is_last = reported[at + 1..].iter().all(|other| other.fingerprint != entry.fingerprint);
        let is_known = targets.iter().any(|target| target.fingerprint == entry.fingerprint);
        if !is_last || is_known || entry.status != TargetStatus::Active {
            continue;
        }
        let mut waiting = targets.iter_mut().filter(|target| target.is_waiting());
        if let (Some(rewritten), None) = (waiting.next(), waiting.next()) {
            rewritten.fingerprint = entry.fingerprint.clone();
            rewritten.report(reported);
            continue;
        }
        *last += 1;
        let (fingerprint, url) = (entry.fingerprint.clone(), entry.url.clone());
        let mut found = RtmpTarget::starting(TargetId(*last), fingerprint, url, now);
        found.report(reported);
        push(targets, found);
    }
}

/// Ends all targets, because the broadcast has ended in `status`.
pub(super) fn end_all(targets: &mut [RtmpTarget], status: EgressStatus) {
    for target in targets.iter_mut().filter(|target| target.status.is_running()) {
        let is_lost = target.status == RtmpStatus::Starting && status == EgressStatus::Failed;
        target.status = if is_lost { RtmpStatus::Failed } else { RtmpStatus::Finished };
        target.is_being_removed = false;
    }
}
