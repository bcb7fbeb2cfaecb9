//! Ingresses: the intent to create one, its record, and the reports of LiveKit.

use super::{
    recorder::{Applied, Recorder, UNCHANGED},
    state::Aggregate,
};
use crate::domain::{
    Identity, Ingress, IngressId, IngressPlan, IngressReport, JobId, Rejection, StreamIngresses,
    StreamStatus, Timestamp,
    change::Effect,
    event::{Draft, EventKind},
    ingress::{INGRESS_PLAN_TTL, MAX_INGRESSES},
};

impl Aggregate {
    /// Returns the ingresses and the intents to create some.
    pub fn stream_ingresses(&self) -> StreamIngresses {
        StreamIngresses {
            ingresses: self.ingresses.values().cloned().collect(),
            plans: self.ingress_plans.values().cloned().collect(),
        }
    }

    /// Records the intent to create an ingress, before LiveKit is asked for it. A repetition renews the intent, as long
    /// as the ingress is not recorded. Intents of requests that have died are removed.
    ///
    /// # Errors
    /// [`Rejection::NotActive`], [`Rejection::Blocked`], [`Rejection::IngressExists`], [`Rejection::TooManyIngresses`].
    pub(super) fn plan_ingress(&mut self, job: JobId, identity: Identity, now: Timestamp) -> Applied {
        self.require_active_for_ingress(&identity)?;
        if self.ingresses.values().any(|known| known.job == Some(job)) {
            return UNCHANGED;
        }
        let lasts = |plan: &IngressPlan| plan.planned_at.plus(INGRESS_PLAN_TTL) >= now;
        let others = || self.ingress_plans.values().filter(|plan| plan.job != job && lasts(plan));
        let is_taken = self.ingresses.values().any(|known| known.identity == identity)
            || others().any(|plan| plan.identity == identity);
        if is_taken {
            return Err(Rejection::IngressExists);
        }
        let known = self.ingress_plans.contains_key(&job);
        if !known && self.ingresses.len() + others().count() >= MAX_INGRESSES {
            return Err(Rejection::TooManyIngresses);
        }
        self.ingress_plans.retain(|_, plan| lasts(plan));
        self.ingress_plans.insert(job, IngressPlan { job, identity, planned_at: now });
        Ok((if known { Effect::Unchanged } else { Effect::Changed }, Vec::new()))
    }

    /// Records an ingress that LiveKit has created for a plan.
    ///
    /// # Errors
    /// [`Rejection::NotActive`], [`Rejection::Blocked`]; [`Rejection::NoIngressPlan`] if the plan was dropped.
    pub(super) fn confirm_ingress(
        &mut self,
        job: JobId,
        report: IngressReport,
        by: Option<Identity>,
        now: Timestamp,
    ) -> Applied {
        self.require_active_for_ingress(&report.identity)?;
        if self.ingresses.contains_key(&report.id) {
            return UNCHANGED;
        }
        self.ingress_plans.remove(&job).ok_or(Rejection::NoIngressPlan)?;
        Ok((Effect::Changed, self.put_ingress(Ingress::new(report, Some(job), now), by, now)))
    }

    /// Withdraws the intent to create an ingress, unless it was renewed since `before`.
    pub(super) fn drop_ingress_plan(&mut self, job: JobId, before: Option<Timestamp>) -> Applied {
        let is_due = |plan: &IngressPlan| before.is_none_or(|before| plan.planned_at < before);
        if !self.ingress_plans.get(&job).is_some_and(is_due) {
            return UNCHANGED;
        }
        self.ingress_plans.remove(&job);
        Ok((Effect::Changed, Vec::new()))
    }

    /// Records what LiveKit reports of an ingress: a webhook, or LiveKit's list if there is `before`.
    ///
    /// A later state replaces an earlier one. A list also replaces what was recorded before it, and shows ingresses
    /// that are not recorded, because another tool has created them.
    pub(super) fn report_ingress(
        &mut self,
        report: IngressReport,
        before: Option<Timestamp>,
        now: Timestamp,
    ) -> Applied {
        if self.stream.status != StreamStatus::Active {
            return UNCHANGED;
        }
        let Some(known) = self.ingresses.get(&report.id) else {
            return self.find_ingress(report, before, now);
        };
        let is_corrected = before.is_some_and(|before| known.changed_at < before);
        if report.state.time <= known.state_time && !is_corrected {
            return UNCHANGED;
        }
        let updated = known.updated(report, now);
        if updated.is_same(known) {
            return UNCHANGED;
        }
        Ok((Effect::Changed, self.put_ingress(updated, None, now)))
    }

    /// Records an ingress of LiveKit's list that another tool has created.
    fn find_ingress(&mut self, report: IngressReport, before: Option<Timestamp>, now: Timestamp) -> Applied {
        let is_ours = report.job_of(self.stream.id).is_some();
        let ended = self.ended_ingresses.get(&report.id);
        let has_ended = ended.is_some_and(|ended| before.is_none_or(|before| *ended >= before));
        let is_full = self.ingresses.len() + self.ingress_plans.len() >= MAX_INGRESSES;
        if before.is_none() || is_ours || has_ended || is_full {
            return UNCHANGED;
        }
        self.ended_ingresses.remove(&report.id);
        Ok((Effect::Changed, self.put_ingress(Ingress::new(report, None, now), None, now)))
    }

    /// Records that an ingress is deleted in LiveKit, unless it has changed since `before`.
    pub(super) fn remove_ingress(
        &mut self,
        id: &IngressId,
        before: Option<Timestamp>,
        by: Option<Identity>,
        now: Timestamp,
    ) -> Applied {
        let is_due = |known: &Ingress| before.is_none_or(|before| known.changed_at < before);
        if !self.ingresses.get(id).is_some_and(is_due) {
            return UNCHANGED;
        }
        let drafts = self.end_ingress(id, by, now);
        Ok((Effect::Changed, drafts))
    }

    /// Records the end of all ingresses, because the stream ends.
    pub(super) fn end_ingresses(&mut self, now: Timestamp) -> Vec<Draft> {
        self.ingress_plans.clear();
        let ids: Vec<_> = self.ingresses.keys().cloned().collect();
        ids.iter().flat_map(|id| self.end_ingress(id, None, now)).collect()
    }

    fn end_ingress(&mut self, id: &IngressId, by: Option<Identity>, now: Timestamp) -> Vec<Draft> {
        let Some(ended) = self.ingresses.remove(id) else { return Vec::new() };
        self.ended_ingresses.insert(id.clone(), now);
        self.tell_ingress(Ingress { deleted: true, changed_at: now, ..ended }, by, now)
    }

    fn put_ingress(&mut self, ingress: Ingress, by: Option<Identity>, now: Timestamp) -> Vec<Draft> {
        self.ingresses.insert(ingress.id.clone(), ingress.clone());
        self.tell_ingress(ingress, by, now)
    }

    fn tell_ingress(&mut self, ingress: Ingress, by: Option<Identity>, now: Timestamp) -> Vec<Draft> {
        self.stream.ingresses = u32::try_from(self.ingresses.len()).unwrap_or(u32::MAX);
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        recorder.record(EventKind::IngressUpdated, None);
        recorder.attribute_to(by);
        if let Some(draft) = recorder.drafts.last_mut() {
            draft.ingress = Some(ingress.into());
        }
        recorder.drafts
    }

    fn require_active_for_ingress(&self, identity: &Identity) -> Result<(), Rejection> {
        match self.stream.status {
            StreamStatus::Active if self.blocks.contains_key(identity) => Err(Rejection::Blocked),
            StreamStatus::Active => Ok(()),
            status => Err(Rejection::NotActive { status }),
        }
    }
}
