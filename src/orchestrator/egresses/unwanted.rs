//! Egresses that LiveKit starts although no request waits for them any more: up to 22 s after a call that it has not
//! answered.

use crate::{
    domain::{
        Egress, EgressChange, EgressPlan, EgressReport, StreamEgresses, StreamRef, Timestamp, change::Effect,
        egress_record::EGRESS_PLAN_TTL,
    },
    orchestrator::{error::Error, service::Orchestrator},
    store::Guard,
};

/// Why an egress runs that is not recorded.
#[derive(Debug)]
pub(in crate::orchestrator) enum Unrecorded<'a> {
    /// A request asks for it, or has asked.
    Planned(&'a EgressPlan),
    /// A request got another egress with the same outputs a moment ago.
    Second,
    /// Another tool has started it.
    Foreign,
}

impl<'a> Unrecorded<'a> {
    /// Finds out why an egress runs that is not among the records.
    pub(in crate::orchestrator) fn of(
        report: &EgressReport,
        known: &'a StreamEgresses,
        now: Timestamp,
    ) -> Self {
        let has_outputs = |egress: &&Egress| egress.job.is_some() && egress.outputs == report.outputs;
        let is_recent = |egress: &Egress| egress.created_at.plus(EGRESS_PLAN_TTL) > now;
        let plan = known.plans.iter().find(|plan| plan.outputs == report.outputs);
        match plan {
            Some(plan) => Self::Planned(plan),
            None if known.egresses.iter().filter(has_outputs).any(is_recent) => Self::Second,
            None => Self::Foreign,
        }
    }
}

impl Orchestrator {
    /// Stops an egress that LiveKit has started for a request that has failed, or a second time for one request.
    /// Returns whether it was stopped.
    ///
    /// # Errors
    /// [`Error::Egress`] if LiveKit does not stop it; errors of the store.
    pub(in crate::orchestrator) async fn stop_unwanted(
        &self,
        stream: &StreamRef,
        report: &EgressReport,
        guard: Guard,
    ) -> Result<bool, Error> {
        let known = self.store.egresses(stream.id).await?;
        let now = self.store.time_of(stream.id).await?;
        if report.state.status.is_over() || known.egresses.iter().any(|egress| egress.id == report.id) {
            return Ok(false);
        }
        let room_sid = self.store.get(stream.id).await?.and_then(|stream| stream.room_sid);
        if !report.is_in(room_sid.as_ref()) {
            return Ok(false);
        }
        match Unrecorded::of(report, &known, now) {
            Unrecorded::Planned(plan) if plan.is_abandoned => {
                // The intent goes first, so that no attempt takes over what is stopped.
                let before = Some(plan.planned_at.plus(std::time::Duration::from_millis(1)));
                let drop = EgressChange::DropPlan { job: plan.job, before };
                if self.store.apply(stream, drop.into(), guard).await?.effect != Effect::Changed {
                    return Ok(false);
                }
            }
            Unrecorded::Second => {}
            Unrecorded::Planned(_) | Unrecorded::Foreign => return Ok(false),
        }
        self.media.stop_egress(&report.id).await.map_err(Error::Egress)?;
        Ok(true)
    }
}
