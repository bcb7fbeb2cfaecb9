//! The scripts that change a recording or a broadcast of a stream.

use std::sync::LazyLock;

use redis::Script;

use super::{
    argument::Argument,
    change_script::{ChangeScript, PreparedChange, change_scripts},
    change_values::{ChangeArgs, ChangeKeys},
    definition::{ChangeFunction, Definition, Position, positions},
    sources::CHANGE,
};
use crate::domain::{EgressId, Identity, JobId, Timestamp};

change_scripts! {
    /// See [`crate::domain::EgressChange::Plan`].
    CHANGE PlanEgress = "plan_egress" {
        job: JobId,
        /// JSON, which the script only compares.
        outputs: String,
    }
    /// See [`crate::domain::EgressChange::Confirm`].
    CHANGE ConfirmEgress = "confirm_egress" {
        job: JobId,
        /// JSON object of texts: what LiveKit reports.
        egress: String,
        /// JSON, which the script does not read.
        spec: String,
        /// JSON array of the requested targets.
        targets: String,
        /// Identity of the caller.
        by: Option<Identity>,
    }
    /// See [`crate::domain::EgressChange::AbandonPlan`].
    CHANGE AbandonEgressPlan = "abandon_egress_plan" { job: JobId }
    /// See [`crate::domain::EgressChange::DropPlan`].
    CHANGE DropEgressPlan = "drop_egress_plan" { job: JobId, before: Option<Timestamp> }
    /// See [`crate::domain::EgressChange::Report`].
    CHANGE ReportEgress = "report_egress" {
        /// JSON object of texts: what LiveKit reports.
        egress: String,
        is_listed: bool,
    }
    /// See [`crate::domain::EgressChange::Fail`].
    CHANGE FailEgress = "fail_egress" {
        egress_id: EgressId,
        cause: &'static str,
        /// Error text of the record.
        error: &'static str,
        before: Timestamp,
    }
    /// See [`crate::domain::EgressChange::FindRecorder`].
    CHANGE FindRecorder = "find_recorder" { egress_id: EgressId }
    /// See [`crate::domain::EgressChange::PlanTargets`].
    CHANGE PlanTargets = "plan_targets" {
        egress_id: EgressId,
        job: JobId,
        /// JSON array of the requested targets.
        add: String,
        /// JSON array of ids.
        remove: String,
        /// Identity of the caller.
        by: Option<Identity>,
    }
    /// See [`crate::domain::EgressChange::DropTargets`].
    CHANGE DropTargets = "drop_targets" {
        egress_id: EgressId,
        /// JSON array of ids.
        targets: String,
        before: Option<Timestamp>,
    }
}
