//! Changes of a stream's recordings and broadcasts.

use super::{
    EgressFailure, EgressId, EgressOutputs, EgressReport, EgressSpec, Identity, JobId, RtmpAddress, TargetId,
    Timestamp,
};

/// Change of a recording or a broadcast.
#[derive(Clone, Debug, PartialEq)]
pub enum EgressChange {
    /// Records the intent to start an egress. A repetition renews the intent, with the effect `Unchanged`.
    Plan {
        /// Job of the request.
        job: JobId,
        /// Requested outputs.
        outputs: EgressOutputs,
    },
    /// Records an egress that LiveKit has started for an intent.
    Confirm(StartedEgress),
    /// Records that a request has failed for which LiveKit may still start an egress.
    AbandonPlan {
        /// Job of the request.
        job: JobId,
    },
    /// Withdraws the intent to start an egress.
    DropPlan {
        /// Job of the request.
        job: JobId,
        /// Restricts the change to an intent that was last renewed before this time.
        before: Option<Timestamp>,
    },
    /// Records what LiveKit reports of an egress.
    Report {
        /// The egress as LiveKit reports it.
        report: EgressReport,
        /// True for a report of LiveKit's list, which shows egresses of other tools.
        is_listed: bool,
    },
    /// Records that an egress has failed, which LiveKit has not reported, or that its recorder is missing.
    Fail {
        /// LiveKit's id of the egress.
        id: EgressId,
        /// Reason. [`EgressFailure::RecorderGone`] fails an egress whose recorder was missing before.
        cause: EgressFailure,
        /// Time before which the reason must have held.
        before: Timestamp,
    },
    /// Records that the recorder of an egress is in the room.
    FindRecorder {
        /// LiveKit's id of the egress.
        id: EgressId,
    },
    /// Records the intent to change the RTMP targets of a broadcast.
    PlanTargets(TargetsPlan),
    /// Withdraws [`Self::PlanTargets`] of these targets: those that LiveKit has not added end.
    DropTargets {
        /// LiveKit's id of the egress.
        id: EgressId,
        /// Ids of the targets.
        targets: Vec<TargetId>,
        /// Restricts the change to targets that were last requested before this time.
        before: Option<Timestamp>,
    },
}

/// Egress that LiveKit has started for an intent.
#[derive(Clone, Debug, PartialEq)]
pub struct StartedEgress {
    /// Job of the request.
    pub job: JobId,
    /// LiveKit's answer.
    pub report: EgressReport,
    /// What was requested besides the outputs.
    pub spec: EgressSpec,
    /// Requested RTMP targets.
    pub targets: Vec<RtmpAddress>,
    /// Identity of the caller, if its token has one.
    pub by: Option<Identity>,
}

/// Intent to change the RTMP targets of a broadcast.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetsPlan {
    /// LiveKit's id of the egress.
    pub id: EgressId,
    /// Job of the request.
    pub job: JobId,
    /// Addresses to add. One that the broadcast has already changes nothing.
    pub add: Vec<RtmpAddress>,
    /// Targets to remove. One that has ended changes nothing.
    pub remove: Vec<TargetId>,
    /// Identity of the caller, if its token has one.
    pub by: Option<Identity>,
}
