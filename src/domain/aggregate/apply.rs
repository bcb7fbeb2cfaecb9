//! Dispatch of a change to its rule, and what follows any change.

use std::time::Duration;

use super::{
    recorder::{Applied, Recorder, UNCHANGED},
    state::Aggregate,
};
use crate::domain::{
    Audience, Change, StreamStatus, Timestamp,
    change::Effect,
    event::{Draft, EventKind},
};

impl Aggregate {
    /// Makes one change at the time `now`. The counts of a counted stream are told `count_interval` after its newest
    /// event at the earliest.
    ///
    /// # Errors
    /// [`Rejection`](crate::domain::Rejection) if a precondition fails. Nothing has changed then.
    pub fn apply(&mut self, change: Change, now: Timestamp, count_interval: Duration) -> Applied {
        let is_count = change == Change::TellCounts;
        let (mut effect, mut drafts) = self.make(change, now)?;
        if effect != Effect::Unchanged || is_count {
            drafts.extend(self.settle(now, count_interval));
        }
        if is_count && !drafts.is_empty() {
            effect = Effect::Changed;
        }
        Ok((effect, drafts))
    }

    fn make(&mut self, change: Change, now: Timestamp) -> Applied {
        match change {
            Change::Activate { room_sid } => self.activate(room_sid, now),
            Change::BeginStop { reason, room_sid } => self.begin_stop(reason, room_sid.as_ref(), now),
            Change::AcquireLock => Ok((self.acquire_lock(now), Vec::new())),
            Change::ReleaseLock { until } => Ok((self.release_lock(until), Vec::new())),
            Change::RenewLock { until } => Ok((self.renew_lock(until, now), Vec::new())),
            Change::Close => self.close(StreamStatus::Stopped, None, now),
            Change::Fail { reason } => self.close(StreamStatus::Error, Some(reason), now),
            change @ Change::IssueToken { .. } => self.issue_token(change, now),
            Change::Connect(session) => self.connect(session, None, now),
            Change::Observe { session, before } => self.connect(session, Some(before), now),
            Change::Lose { identity, sid, before } => self.lose(&identity, &sid, before, now),
            Change::Publish { .. } | Change::Unpublish { .. } if self.stream.status.is_final() => UNCHANGED,
            Change::Publish { identity, sid, track, by } => self.publish(&identity, &sid, track, by, now),
            Change::Unpublish { identity, sid, track } => self.unpublish(&identity, &sid, track, now),
            Change::Disconnect { identity, sid, at, reason } => {
                self.disconnect(&identity, sid.as_ref(), at, reason, now)
            }
            Change::ExpireJoining => self.expire_joining(now),
            // Every change tells counts that are due, see `settle`.
            Change::TellCounts => UNCHANGED,
            Change::SetMetadata { expected, metadata } => self.set_metadata(&expected, metadata, now),
            Change::UpdateParticipant(update) => self.update_participant(update, now),
            Change::SetHand { identity, is_raised, by } => self.set_hand(&identity, is_raised, by, now),
            Change::BeginRemoval(removal) => self.begin_removal(removal, now),
            Change::CancelRemoval(removal) => self.cancel_removal(&removal, now),
            Change::Remove(removal) => self.remove(removal, now),
            Change::Block { identity, reason, expires_in, by } => {
                self.block(&identity, reason, expires_in, by, now)
            }
            Change::Unblock { identity, by } => self.unblock(identity, by, now),
            Change::ExpireBlocks => self.expire_blocks(now),
            Change::PlanIngress { job, identity } => self.plan_ingress(job, identity, now),
            Change::ConfirmIngress { job, report, by } => self.confirm_ingress(job, report, by, now),
            Change::DropIngressPlan { job, before } => self.drop_ingress_plan(job, before),
            Change::ReportIngress { report, before } => self.report_ingress(report, before, now),
            Change::RemoveIngress { id, before, by } => self.remove_ingress(&id, before, by, now),
            Change::Egress(change) => self.change_egress(*change, now),
            Change::SetBackstage { backstage, by } => self.set_backstage(backstage, by, now),
        }
    }

    /// Makes a stream with too many viewers counted, and tells counts that are due.
    fn settle(&mut self, now: Timestamp, count_interval: Duration) -> Vec<Draft> {
        let has_due_counts = self.counts_due_at(count_interval).is_some_and(|due| due <= now);
        let max = self.listed_max.filter(|_| self.stream.audience == Audience::Listed);
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        if max.is_some_and(|max| recorder.tally.counts.viewers > max) {
            recorder.stream.audience = Audience::Counted;
            recorder.record(EventKind::StreamUpdated, None);
        } else if has_due_counts {
            recorder.record(EventKind::ParticipantCountUpdated, None);
        }
        recorder.drafts
    }

    /// Returns the time at which the counts of a counted stream are to be told; `None` if they are told.
    pub fn counts_due_at(&self, count_interval: Duration) -> Option<Timestamp> {
        let Self { stream, tally, .. } = self;
        let is_told = tally.counts == stream.counts || stream.status != StreamStatus::Active;
        (!is_told).then(|| stream.updated_at.plus(count_interval))
    }
}
