//! The script and the arguments of each change of a recording or a broadcast.

use super::{
    codec,
    scripts::{
        AbandonEgressPlan, ChangeScript, ConfirmEgress, DropEgressPlan, DropTargets, FailEgress,
        FindRecorder, PlanEgress, PlanTargets, PreparedChange, ReportEgress,
    },
};
use crate::domain::{EgressChange, StartedEgress, TargetsPlan};

/// The script of a change with its own arguments, and its name in the metrics.
pub(super) fn prepared_egress(change: EgressChange) -> (&'static str, PreparedChange) {
    match change {
        EgressChange::Plan { job, outputs } => {
            ("plan_egress", PlanEgress { job, outputs: codec::egress_outputs(&outputs) }.prepare())
        }
        EgressChange::Confirm(started) => ("confirm_egress", confirm_egress(started).prepare()),
        EgressChange::AbandonPlan { job } => ("abandon_egress_plan", AbandonEgressPlan { job }.prepare()),
        EgressChange::DropPlan { job, before } => {
            ("drop_egress_plan", DropEgressPlan { job, before }.prepare())
        }
        EgressChange::Report { report, is_listed } => {
            let egress = codec::reported_egress(&report);
            ("report_egress", ReportEgress { egress, is_listed }.prepare())
        }
        EgressChange::Fail { id, cause, before } => {
            let (egress_id, error, cause) = (id, cause.error(), cause.as_str());
            ("fail_egress", FailEgress { egress_id, cause, error, before }.prepare())
        }
        EgressChange::FindRecorder { id } => ("find_recorder", FindRecorder { egress_id: id }.prepare()),
        EgressChange::PlanTargets(plan) => ("plan_targets", plan_targets(plan).prepare()),
        EgressChange::DropTargets { id, targets, before } => {
            let targets = codec::target_ids(&targets);
            ("drop_targets", DropTargets { egress_id: id, targets, before }.prepare())
        }
    }
}

fn confirm_egress(started: StartedEgress) -> ConfirmEgress {
    let StartedEgress { job, report, spec, targets, by } = started;
    let (egress, spec) = (codec::reported_egress(&report), codec::egress_spec(&spec));
    ConfirmEgress { job, egress, spec, targets: codec::requested_targets(&targets), by }
}

fn plan_targets(plan: TargetsPlan) -> PlanTargets {
    let TargetsPlan { id, job, add, remove, by } = plan;
    let (add, remove) = (codec::requested_targets(&add), codec::target_ids(&remove));
    PlanTargets { egress_id: id, job, add, remove, by }
}
