//! Recordings and broadcasts: the intent to start one, its record, and the reports of LiveKit.

use super::{
    recorder::{Applied, Recorder, UNCHANGED},
    state::Aggregate,
};
use crate::domain::{
    Egress, EgressChange, EgressFailure, EgressId, EgressKind, EgressOutputs, EgressPlan, EgressReport,
    EgressSpec, Identity, JobId, Rejection, RtmpTarget, StartedEgress, StreamEgresses, StreamStatus,
    TargetId, Timestamp,
    change::Effect,
    egress_record::{EGRESS_PLAN_TTL, MAX_EGRESS_PLANS, MAX_KEPT_EGRESSES, MAX_RUNNING_EGRESSES},
    event::Draft,
};

impl Aggregate {
    /// Returns the recordings and broadcasts, and the intents to start some.
    pub fn stream_egresses(&self) -> StreamEgresses {
        StreamEgresses {
            egresses: self.egresses.values().cloned().collect(),
            plans: self.egress_plans.values().cloned().collect(),
        }
    }

    /// Makes a change of a recording or a broadcast.
    pub(super) fn change_egress(&mut self, change: EgressChange, now: Timestamp) -> Applied {
        let silent = |effect| Ok((effect, Vec::new()));
        match change {
            EgressChange::Plan { job, outputs } => self.plan_egress(job, outputs, now),
            EgressChange::Confirm(started) => self.confirm_egress(started, now),
            EgressChange::AbandonPlan { job } => silent(self.abandon_egress_plan(job)),
            EgressChange::DropPlan { job, before } => silent(self.drop_egress_plan(job, before)),
            EgressChange::Report { report, is_listed } => self.report_egress(report, is_listed, now),
            EgressChange::Fail { id, cause, before } => self.fail_egress(&id, cause, before, now),
            EgressChange::FindRecorder { id } => silent(self.find_recorder(&id)),
            EgressChange::PlanTargets(plan) => self.plan_targets(plan, now),
            EgressChange::DropTargets { id, targets, before } => {
                self.drop_targets(&id, &targets, before, now)
            }
        }
    }

    /// Records the intent to start an egress, before LiveKit is asked for it. A repetition renews the intent, as long
    /// as the egress is not recorded. Old intents are removed.
    ///
    /// # Errors
    /// [`Rejection::NotActive`], [`Rejection::TooManyEgresses`].
    fn plan_egress(&mut self, job: JobId, outputs: EgressOutputs, now: Timestamp) -> Applied {
        self.require_active()?;
        if self.egresses.values().any(|known| known.job == Some(job)) {
            return UNCHANGED;
        }
        let lasts = |plan: &EgressPlan| plan.planned_at.plus(EGRESS_PLAN_TTL) >= now;
        let others = || self.egress_plans.values().filter(|plan| plan.job != job && lasts(plan));
        let pending = others().filter(|plan| !plan.is_abandoned).count();
        let known = self.egress_plans.contains_key(&job);
        let is_full = self.running_egresses() + pending >= MAX_RUNNING_EGRESSES;
        if !known && (is_full || others().count() >= MAX_EGRESS_PLANS) {
            return Err(Rejection::TooManyEgresses);
        }
        self.egress_plans.retain(|_, plan| lasts(plan));
        self.egress_plans.insert(job, EgressPlan { job, outputs, planned_at: now, is_abandoned: false });
        Ok((if known { Effect::Unchanged } else { Effect::Changed }, Vec::new()))
    }

    fn running_egresses(&self) -> usize {
        self.egresses.values().filter(|egress| egress.is_running()).count()
    }

    fn require_active(&self) -> Result<(), Rejection> {
        let status = self.stream.status;
        if status == StreamStatus::Active { Ok(()) } else { Err(Rejection::NotActive { status }) }
    }

    /// Records an egress that LiveKit has started for an intent.
    ///
    /// # Errors
    /// [`Rejection::NotActive`]; [`Rejection::NoEgressPlan`] if the intent was dropped.
    fn confirm_egress(&mut self, started: StartedEgress, now: Timestamp) -> Applied {
        let StartedEgress { job, report, spec, targets, by } = started;
        self.require_active()?;
        if self.egresses.contains_key(&report.id) {
            return UNCHANGED;
        }
        self.egress_plans.remove(&job).ok_or(Rejection::NoEgressPlan)?;
        let mut egress = Egress::new(&report, spec, Some(job), now);
        if egress.kind == EgressKind::Broadcast {
            let addresses = self.egress_addresses.entry(egress.id.clone()).or_default();
            for address in targets {
                egress.last_target += 1;
                let id = TargetId(egress.last_target);
                egress.targets.push(RtmpTarget::requested(id, &address, job, now));
                addresses.insert(id, address);
            }
        }
        self.forget_ended_egress();
        let egress = egress.updated(report.state, now);
        Ok((Effect::Changed, self.put_egress(egress, by, now)))
    }

    /// Makes room for another record.
    fn forget_ended_egress(&mut self) {
        let mut ended: Vec<_> = self.egresses.values().filter(|egress| !egress.is_running()).collect();
        ended.sort_by_cached_key(|egress| egress.list_key());
        let oldest = ended.first().map(|egress| egress.id.clone());
        if let Some(oldest) = oldest.filter(|_| self.egresses.len() >= MAX_KEPT_EGRESSES) {
            self.egresses.remove(&oldest);
        }
    }

    /// Records that no request waits for an egress any more, which LiveKit may still start.
    fn abandon_egress_plan(&mut self, job: JobId) -> Effect {
        match self.egress_plans.get_mut(&job) {
            Some(plan) if !plan.is_abandoned => {
                plan.is_abandoned = true;
                Effect::Changed
            }
            _ => Effect::Unchanged,
        }
    }

    /// Withdraws the intent to start an egress, unless it was renewed since `before`.
    fn drop_egress_plan(&mut self, job: JobId, before: Option<Timestamp>) -> Effect {
        let is_due = |plan: &EgressPlan| before.is_none_or(|before| plan.planned_at < before);
        if !self.egress_plans.get(&job).is_some_and(is_due) {
            return Effect::Unchanged;
        }
        self.egress_plans.remove(&job);
        Effect::Changed
    }

    /// Records what LiveKit reports of an egress: a webhook, an answer, or LiveKit's list. A later state replaces an
    /// earlier one. After the end of the stream it is recorded without an event.
    fn report_egress(&mut self, report: EgressReport, is_listed: bool, now: Timestamp) -> Applied {
        let Some(known) = self.egresses.get(&report.id) else {
            return if is_listed { self.find_egress(report, now) } else { UNCHANGED };
        };
        if !known.is_before(&report.state) {
            return UNCHANGED;
        }
        let updated = known.updated(report.state, now);
        if updated.shown() == known.shown() {
            self.egresses.insert(report.id, updated);
            return UNCHANGED;
        }
        Ok((Effect::Changed, self.put_egress(updated, None, now)))
    }

    /// Records an egress of LiveKit's list that another tool has started: one that runs in the stream's room, and whose
    /// outputs no request asks for.
    fn find_egress(&mut self, report: EgressReport, now: Timestamp) -> Applied {
        let is_here = report.is_in(self.stream.room_sid.as_ref());
        let is_planned = self.egress_plans.values().any(|plan| plan.outputs == report.outputs);
        let is_full = self.running_egresses() >= MAX_RUNNING_EGRESSES;
        let is_found =
            self.stream.status == StreamStatus::Active && is_here && !report.state.status.is_over();
        if !is_found || is_planned || is_full {
            return UNCHANGED;
        }
        self.forget_ended_egress();
        let egress = Egress::new(&report, EgressSpec::default(), None, now).updated(report.state, now);
        Ok((Effect::Changed, self.put_egress(egress, None, now)))
    }

    /// Records that an egress has failed for a reason that LiveKit has not reported. A recorder must be missing for
    /// some time.
    fn fail_egress(
        &mut self,
        id: &EgressId,
        cause: EgressFailure,
        before: Timestamp,
        now: Timestamp,
    ) -> Applied {
        let Some(known) = self.egresses.get_mut(id) else { return UNCHANGED };
        if cause.applies_to(known, before) {
            let failed = known.failed(cause.error(), now);
            return Ok((Effect::Changed, self.put_egress(failed, None, now)));
        }
        if cause == EgressFailure::RecorderGone && known.is_active() {
            known.recorder_missing_since = known.recorder_missing_since.or(Some(now));
        }
        UNCHANGED
    }

    /// Records that the recorder of an egress is in the room.
    fn find_recorder(&mut self, id: &EgressId) -> Effect {
        let missing = self.egresses.get_mut(id).map(|known| &mut known.recorder_missing_since);
        if missing.and_then(Option::take).is_some() { Effect::Changed } else { Effect::Unchanged }
    }

    /// Records that the stream ends. Later reports change the records, and not the stream.
    pub(super) fn end_egresses(&mut self) {
        self.egress_plans.clear();
        (self.stream.recording, self.stream.broadcasting) = (false, false);
    }

    /// Writes the record of an egress and tells it, unless the stream has ended: then a recording is kept for
    /// [`Self::take_late_recordings`].
    pub(super) fn put_egress(&mut self, egress: Egress, by: Option<Identity>, now: Timestamp) -> Vec<Draft> {
        if !egress.is_running() {
            self.egress_addresses.remove(&egress.id);
        }
        self.egresses.insert(egress.id.clone(), egress.clone());
        if self.stream.status.is_final() {
            self.late_recordings.extend((egress.kind == EgressKind::Recording).then_some(egress));
            return Vec::new();
        }
        let runs = |kind| self.egresses.values().any(|known| known.is_running() && known.kind == kind);
        self.stream.recording = runs(EgressKind::Recording);
        self.stream.broadcasting = runs(EgressKind::Broadcast);
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        recorder.record(egress.kind.into(), None);
        recorder.attribute_to(by);
        if let Some(draft) = recorder.drafts.last_mut() {
            draft.egress = Some(egress.into());
        }
        recorder.drafts
    }
}
