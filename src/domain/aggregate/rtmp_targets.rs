//! Intents to change the RTMP targets of a broadcast.

use super::{
    recorder::{Applied, UNCHANGED},
    state::Aggregate,
};
use crate::domain::{
    Egress, EgressId, EgressKind, Rejection, RtmpStatus, RtmpTarget, TargetId, TargetsPlan, Timestamp,
    change::Effect,
    rtmp_target::{self, MAX_TARGETS},
};

impl Aggregate {
    /// Records the intent to add and remove targets, before LiveKit is asked. A target that is to be removed stays as
    /// it is until LiveKit reports its end.
    ///
    /// # Errors
    /// [`Rejection::NoBroadcast`], [`Rejection::BroadcastEnded`], [`Rejection::NoTarget`],
    /// [`Rejection::TooManyTargets`], [`Rejection::LastTarget`].
    pub(super) fn plan_targets(&mut self, plan: TargetsPlan, now: Timestamp) -> Applied {
        let is_broadcast = |known: &&Egress| known.kind == EgressKind::Broadcast;
        let known = self.egresses.get(&plan.id).filter(is_broadcast).ok_or(Rejection::NoBroadcast)?;
        if !known.takes_targets() {
            return Err(Rejection::BroadcastEnded);
        }
        let mut planned = known.clone();
        let mut removes = false;
        for id in &plan.remove {
            let target = planned.targets.iter_mut().find(|target| target.id == *id);
            let target = target.ok_or(Rejection::NoTarget)?;
            let is_running = target.status.is_running();
            target.is_being_removed |= is_running;
            removes |= is_running;
        }
        let mut addresses = self.egress_addresses.get(&plan.id).cloned().unwrap_or_default();
        for address in plan.add {
            let has_address = |target: &&mut RtmpTarget| addresses.get(&target.id) == Some(&address);
            match planned.targets.iter_mut().rev().find(has_address) {
                Some(target) if target.status.is_running() => {}
                Some(target) => target.request_again(plan.job, now),
                None => {
                    planned.last_target += 1;
                    let id = TargetId(planned.last_target);
                    let target = RtmpTarget::requested(id, &address, plan.job, now);
                    rtmp_target::push(&mut planned.targets, target);
                    addresses.insert(id, address);
                }
            }
        }
        if planned.targets.iter().filter(|target| target.status.is_running()).count() > MAX_TARGETS {
            return Err(Rejection::TooManyTargets);
        }
        if removes && !planned.has_output() {
            return Err(Rejection::LastTarget);
        }
        addresses.retain(|id, _| planned.targets.iter().any(|target| target.id == *id));
        self.egress_addresses.insert(plan.id, addresses);
        if planned.shown() == known.shown() {
            self.egresses.insert(planned.id.clone(), planned);
            return UNCHANGED;
        }
        planned.changed_at = now;
        Ok((Effect::Changed, self.put_egress(planned, plan.by, now)))
    }

    /// Withdraws the intent to change targets, unless they were requested since `before`. A target that LiveKit has
    /// never reported disappears, and one that was requested again ends as before.
    pub(super) fn drop_targets(
        &mut self,
        id: &EgressId,
        targets: &[TargetId],
        before: Option<Timestamp>,
        now: Timestamp,
    ) -> Applied {
        let Some(known) = self.egresses.get(id).filter(|known| known.is_running()) else { return UNCHANGED };
        let is_due = |target: &RtmpTarget| {
            targets.contains(&target.id) && before.is_none_or(|before| target.planned_at < before)
        };
        let mut dropped = known.clone();
        dropped.targets.retain(|target| !(is_due(target) && target.is_waiting()));
        for target in dropped.targets.iter_mut().filter(|target| is_due(target)) {
            target.is_being_removed = false;
            if target.status == RtmpStatus::Starting {
                target.status = RtmpStatus::Finished;
            }
        }
        if let Some(addresses) = self.egress_addresses.get_mut(id) {
            addresses.retain(|id, _| dropped.targets.iter().any(|target| target.id == *id));
        }
        if dropped.shown() == known.shown() {
            self.egresses.insert(id.clone(), dropped);
            return UNCHANGED;
        }
        dropped.changed_at = now;
        Ok((Effect::Changed, self.put_egress(dropped, None, now)))
    }
}
