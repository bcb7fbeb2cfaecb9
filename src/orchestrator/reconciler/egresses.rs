//! Comparison of the recorded recordings and broadcasts with LiveKit's.
//!
//! LiveKit keeps the last state that a worker has sent. A worker that was killed sends no further one, so the recorder
//! in the room, and the time in one state, decide.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{
    egress_listing::{EgressListing, is_running},
    report::{Repairs, count},
    service::Reconciler,
};
use crate::{
    domain::{
        Change, Egress, EgressChange, EgressFailure, EgressReport, EgressStatus, Participant, RtmpStatus,
        Stream, StreamEgresses, StreamRef, Timestamp, change::Effect,
    },
    orchestrator::{egresses::Unrecorded, error::Error},
    store::{Guard, Lease, StoreError},
};

/// Age of an intent from which its request has died, and no repetition of it takes over the egress any more: the
/// idempotency key of a dead request is free again within 15 s.
const REPETITION_WINDOW: Duration = Duration::from_secs(20);

/// Comparison of one stream's egresses.
struct Comparison<'a> {
    reconciler: &'a Reconciler,
    stream: &'a Stream,
    reference: StreamRef,
    listing: &'a EgressListing,
    lease: &'a Lease,
    repairs: &'a Repairs,
}

impl Reconciler {
    /// Compares the recordings and broadcasts of one stream. Its participants are compared already, so their records
    /// show which recorders are in the room.
    ///
    /// # Errors
    /// Errors of the store.
    pub(super) async fn compare_egresses(
        &self,
        stream: &Stream,
        listing: &EgressListing,
        lease: &Lease,
        repairs: &Repairs,
    ) -> Result<(), Error> {
        let reference = stream.reference();
        let comparison = Comparison { reconciler: self, stream, reference, listing, lease, repairs };
        // Read after the listing: what is listed and neither recorded nor planned is not awaited.
        let known = self.store.egresses(stream.id).await?;
        let mut recorded: HashMap<_, _> =
            known.egresses.iter().map(|egress| (egress.id.clone(), egress)).collect();
        for listed in listing.of(stream) {
            match recorded.remove(&listed.report.id) {
                Some(recorded) => comparison.compare_one(recorded, &listed.report).await?,
                None if is_running(listed) => comparison.compare_unknown(&known, &listed.report).await?,
                None => {}
            }
        }
        for missing in recorded.into_values().filter(|egress| egress.is_running()) {
            comparison.fail(missing, EgressFailure::Lost, listing.before).await?;
        }
        Ok(())
    }

    /// Stops an egress. A worker that has died does not answer, and LiveKit lists its egress for a day.
    pub(super) async fn stop_listed(
        &self,
        report: &EgressReport,
        lease: &Lease,
        counter: &AtomicU64,
    ) -> Result<(), Error> {
        self.renew_lease(lease).await?;
        match self.orchestrator.media.stop_egress(&report.id).await {
            Ok(()) => {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => tracing::debug!(egress = %report.id, %error, "egress not stopped"),
        }
        Ok(())
    }
}

impl Comparison<'_> {
    /// Compares a recorded egress.
    async fn compare_one(&self, recorded: &Egress, report: &EgressReport) -> Result<(), Error> {
        if recorded.is_before(&report.state) {
            let change = EgressChange::Report { report: report.clone(), is_listed: false };
            return self.repair(change).await.map(drop);
        }
        match recorded.status {
            EgressStatus::Starting => self.compare_starting(recorded, report).await,
            EgressStatus::Active => self.compare_active(recorded).await,
            EgressStatus::Ending => {
                let before = self.listing.now.minus(self.reconciler.policy.egress_end_timeout);
                self.fail_due(recorded, EgressFailure::NotEnded, before).await
            }
            _ => self.compare_ended(recorded, report).await,
        }
    }

    /// Fails an egress that does not start. It is stopped, so that it does not start later.
    async fn compare_starting(&self, recorded: &Egress, report: &EgressReport) -> Result<(), Error> {
        let before = self.listing.now.minus(self.reconciler.policy.egress_start_timeout);
        if !EgressFailure::NotStarted.applies_to(recorded, before) {
            return Ok(());
        }
        self.reconciler.stop_listed(report, self.lease, &AtomicU64::new(0)).await?;
        self.refresh(recorded).await?;
        self.fail(recorded, EgressFailure::NotStarted, before).await
    }

    /// Compares an active egress with its recorder, and its RTMP targets with those that LiveKit has.
    async fn compare_active(&self, recorded: &Egress) -> Result<(), Error> {
        self.drop_targets(recorded).await?;
        let is_missing = recorded.recorder_missing_since.is_some();
        if self.has_recorder(recorded).await? {
            let found = EgressChange::FindRecorder { id: recorded.id.clone() };
            return if is_missing { self.apply(found).await.map(drop) } else { Ok(()) };
        }
        if EgressFailure::RecorderGone.applies_to(recorded, self.listing.before) {
            // The egress may have ended since the listing.
            self.refresh(recorded).await?;
        }
        self.fail(recorded, EgressFailure::RecorderGone, self.listing.before).await
    }

    /// Reports whether the recorder of an egress is in the room. A simulated one has none.
    async fn has_recorder(&self, recorded: &Egress) -> Result<bool, Error> {
        if self.reconciler.orchestrator.media.simulated() {
            return Ok(true);
        }
        let entry = self.reconciler.store.unlisted(self.stream.id, recorded.id.as_str()).await?;
        Ok(entry.as_ref().is_some_and(Participant::is_active))
    }

    /// Ends targets that LiveKit was asked for, and does not have although its answer is due.
    async fn drop_targets(&self, recorded: &Egress) -> Result<(), Error> {
        let is_open = |status| status == RtmpStatus::Starting;
        let targets = recorded.targets.iter().filter(|one| is_open(one.status) || one.is_being_removed);
        let due = targets.filter(|target| target.planned_at < self.listing.before);
        let targets: Vec<_> = due.map(|target| target.id).collect();
        if targets.is_empty() {
            return Ok(());
        }
        let before = Some(self.listing.before);
        self.repair(EgressChange::DropTargets { id: recorded.id.clone(), targets, before }).await.map(drop)
    }

    /// Stops an egress that goes on although it was recorded as failed.
    async fn compare_ended(&self, recorded: &Egress, report: &EgressReport) -> Result<(), Error> {
        let takes_media = matches!(report.state.status, EgressStatus::Starting | EgressStatus::Active);
        if takes_media
            && !self.reconciler.orchestrator.media.simulated()
            && self.has_recorder(recorded).await?
        {
            self.reconciler.stop_listed(report, self.lease, &self.repairs.egresses).await?;
        }
        Ok(())
    }

    /// Compares an egress that is not recorded: takes over one of another tool, and stops one that no request awaits.
    /// That of an earlier stream with the same room name may still be ending.
    async fn compare_unknown(&self, known: &StreamEgresses, report: &EgressReport) -> Result<(), Error> {
        if !report.is_in(self.stream.room_sid.as_ref()) {
            return Ok(());
        }
        match Unrecorded::of(report, known, self.listing.now) {
            Unrecorded::Foreign => {
                let change = EgressChange::Report { report: report.clone(), is_listed: true };
                self.repair(change).await.map(drop)
            }
            Unrecorded::Planned(plan) => {
                let before = match plan.is_abandoned {
                    true => plan.planned_at.plus(Duration::from_millis(1)),
                    false => self.listing.now.minus(REPETITION_WINDOW).min(self.listing.before),
                };
                let drop = EgressChange::DropPlan { job: plan.job, before: Some(before) };
                if self.apply(drop).await? != Effect::Changed {
                    count(&self.repairs.undecided);
                    return Ok(());
                }
                self.reconciler.stop_listed(report, self.lease, &self.repairs.egresses).await
            }
            Unrecorded::Second => {
                self.reconciler.stop_listed(report, self.lease, &self.repairs.egresses).await
            }
        }
    }

    /// Reads the state of an egress again and records it.
    async fn refresh(&self, recorded: &Egress) -> Result<(), Error> {
        let refreshed =
            self.reconciler.orchestrator.refresh_egress(&self.reference, &recorded.id, self.guard()).await;
        match refreshed {
            Err(Error::Store(StoreError::NotFound | StoreError::Rejected(_))) => Ok(()),
            refreshed => refreshed,
        }
    }

    async fn fail_due(
        &self,
        recorded: &Egress,
        cause: EgressFailure,
        before: Timestamp,
    ) -> Result<(), Error> {
        if cause.applies_to(recorded, before) { self.fail(recorded, cause, before).await } else { Ok(()) }
    }

    /// Records a failure; what is too young for it is compared again.
    async fn fail(&self, recorded: &Egress, cause: EgressFailure, before: Timestamp) -> Result<(), Error> {
        let id = recorded.id.clone();
        if self.repair(EgressChange::Fail { id, cause, before }).await? != Effect::Changed {
            count(&self.repairs.undecided);
        }
        Ok(())
    }

    /// Makes a change, and counts it as a repair if it has an effect.
    async fn repair(&self, change: EgressChange) -> Result<Effect, Error> {
        let effect = self.apply(change).await?;
        if effect == Effect::Changed {
            count(&self.repairs.egresses);
        }
        Ok(effect)
    }

    fn guard(&self) -> Guard {
        Guard { lease: Some(self.lease.clone()), ..Guard::default() }
    }

    async fn apply(&self, change: EgressChange) -> Result<Effect, Error> {
        let change: Change = change.into();
        match self.reconciler.store.apply(&self.reference, change, self.guard()).await {
            Ok(applied) => Ok(applied.effect),
            // The stream has ended in the meantime.
            Err(StoreError::NotFound | StoreError::Rejected(_)) => Ok(Effect::Unchanged),
            Err(error) => Err(error.into()),
        }
    }
}
