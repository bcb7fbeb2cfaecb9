//! Comparison of the recorded ingresses with LiveKit's.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::Ordering,
};

use super::{
    report::{Repairs, count},
    service::Reconciler,
};
use crate::{
    domain::{
        Change, Ingress, IngressKind, IngressPlan, IngressReport, IngressStatus, Participant,
        ParticipantKind, Stream, StreamId, StreamIngresses, Timestamp, change::Effect,
    },
    media::{ListedIngress, MediaError},
    orchestrator::error::Error,
    store::{Guard, Lease, StoreError},
};

/// Error text of a pulled source whose participant has left.
const PARTICIPANT_GONE: &str = "the participant of the ingress has left";

/// LiveKit's ingresses by room.
pub(super) struct IngressListing {
    by_room: HashMap<String, Vec<ListedIngress>>,
    /// Records after this time may be newer than the listing.
    before: Timestamp,
}

/// Comparison of one stream's ingresses.
struct Comparison<'a> {
    stream: &'a Stream,
    before: Timestamp,
    lease: &'a Lease,
    repairs: &'a Repairs,
}

impl IngressListing {
    fn of(&self, stream: &Stream) -> &[ListedIngress] {
        self.by_room.get(stream.room_name.as_str()).map(Vec::as_slice).unwrap_or_default()
    }

    /// Reports whether a stream's ingresses need a comparison.
    pub(super) fn concerns(&self, stream: &Stream) -> bool {
        stream.ingresses > 0 || !self.of(stream).is_empty()
    }
}

impl Reconciler {
    /// Lists all ingresses of LiveKit. Returns `None` if LiveKit runs without Redis.
    ///
    /// # Errors
    /// [`Error::Ingress`] if LiveKit does not answer; errors of the store.
    pub(super) async fn list_ingresses(&self) -> Result<Option<IngressListing>, Error> {
        let before = self.store.now().await?.minus(self.policy.listing_grace);
        let listed = match self.orchestrator.media.ingresses(None).await {
            Err(MediaError::Unsupported) => return Ok(None),
            listed => listed?,
        };
        let mut by_room: HashMap<String, Vec<ListedIngress>> = HashMap::new();
        for ingress in listed {
            by_room.entry(ingress.room.clone()).or_default().push(ingress);
        }
        Ok(Some(IngressListing { by_room, before }))
    }

    /// Compares the ingresses of one stream. Its participants are compared already, so their records show which
    /// participants of ingresses are connected.
    ///
    /// # Errors
    /// Errors of LiveKit and of the store.
    pub(super) async fn compare_ingresses(
        &self,
        stream: &Stream,
        listing: &IngressListing,
        lease: &Lease,
        repairs: &Repairs,
    ) -> Result<(), Error> {
        let comparison = Comparison { stream, before: listing.before, lease, repairs };
        // Read after the listing: what is listed and neither recorded nor planned has been withdrawn or deleted.
        let StreamIngresses { ingresses, plans } = self.store.ingresses(stream.id).await?;
        let mut known: HashMap<_, _> = ingresses.into_iter().map(|one| (one.id.clone(), one)).collect();
        for listed in listing.of(stream) {
            match known.remove(&listed.report.id) {
                Some(recorded) => comparison.compare_one(self, recorded, listed.report.clone()).await?,
                None => comparison.compare_unknown(self, &plans, listed).await?,
            }
        }
        for missing in known.into_values() {
            let remove = Change::RemoveIngress { id: missing.id, before: Some(listing.before), by: None };
            comparison.repair(self, remove).await?;
        }
        for plan in plans {
            comparison
                .apply(self, Change::DropIngressPlan { job: plan.job, before: Some(listing.before) })
                .await?;
        }
        self.remove_blocked_ingresses(stream, lease, repairs).await
    }

    /// Deletes ingresses whose identity is blocked, where the deletion of the request has failed.
    async fn remove_blocked_ingresses(
        &self,
        stream: &Stream,
        lease: &Lease,
        repairs: &Repairs,
    ) -> Result<(), Error> {
        if stream.blocks == 0 {
            return Ok(());
        }
        let known = self.store.ingresses(stream.id).await?.ingresses;
        let identities: Vec<_> = known.iter().map(|ingress| &ingress.identity).collect();
        let flags = self.store.blocked(stream.id, &identities).await?;
        let blocked: HashSet<_> = identities
            .into_iter()
            .zip(flags)
            .filter(|(_, is_blocked)| *is_blocked)
            .map(|(one, _)| one)
            .collect();
        let is_blocked = |identity: &_| blocked.contains(identity);
        let reference = stream.reference();
        let removed =
            self.orchestrator.remove_ingresses_of(&reference, is_blocked, None, Some(lease)).await?;
        repairs.ingresses.fetch_add(removed, Ordering::Relaxed);
        Ok(())
    }

    /// Deletes marked ingresses whose stream has ended: LiveKit has created them after the stop.
    ///
    /// # Errors
    /// Errors of LiveKit and of the store.
    pub(super) async fn delete_orphaned_ingresses(
        &self,
        listing: &IngressListing,
        lease: &Lease,
        repairs: &Repairs,
    ) -> Result<(), Error> {
        let marked = listing.by_room.values().flatten();
        let mut ended: HashMap<StreamId, bool> = HashMap::new();
        for ListedIngress { report, .. } in marked {
            let Some(mark) = report.mark else { continue };
            let has_ended = match ended.get(&mark.stream) {
                Some(known) => *known,
                None => {
                    let stream = self.store.get(mark.stream).await?;
                    *ended.entry(mark.stream).or_insert(stream.is_some_and(|stream| stream.status.is_final()))
                }
            };
            if has_ended {
                self.renew_lease(lease).await?;
                self.orchestrator.media.delete_ingress(&report.id).await?;
                count(&repairs.ingresses);
            }
        }
        Ok(())
    }
}

impl Comparison<'_> {
    /// Compares a recorded ingress. LiveKit calls an ingress publishing for ever whose worker has died, so its
    /// participant decides.
    async fn compare_one(
        &self,
        reconciler: &Reconciler,
        recorded: Ingress,
        mut report: IngressReport,
    ) -> Result<(), Error> {
        let is_later = report.state.time > recorded.state_time;
        let is_recent = recorded.changed_at >= self.before;
        if report.state.status == IngressStatus::Publishing && !self.is_present(reconciler, &report).await? {
            if is_later || is_recent {
                count(&self.repairs.undecided);
            } else {
                end_session(&mut report);
            }
        }
        let is_same = recorded.updated(report.clone(), recorded.changed_at).is_same(&recorded);
        if is_same || (is_recent && !is_later) {
            return Ok(());
        }
        self.repair(reconciler, Change::ReportIngress { report, before: Some(self.before) }).await
    }

    /// Reports whether the participant of an ingress is recorded as connected.
    async fn is_present(&self, reconciler: &Reconciler, report: &IngressReport) -> Result<bool, Error> {
        let entry = reconciler.store.participant(self.stream.id, report.identity.as_str()).await?;
        let is_ingress = |entry: &Participant| entry.is_active() && entry.kind == ParticipantKind::Ingress;
        Ok(entry.as_ref().is_some_and(is_ingress))
    }

    /// Compares an ingress that is not recorded: takes over one of another tool, and deletes one that a request has
    /// abandoned.
    async fn compare_unknown(
        &self,
        reconciler: &Reconciler,
        plans: &[IngressPlan],
        listed: &ListedIngress,
    ) -> Result<(), Error> {
        let report = listed.report.clone();
        let Some(mark) = report.mark else {
            return self
                .repair(reconciler, Change::ReportIngress { report, before: Some(self.before) })
                .await;
        };
        let is_planned = mark.stream == self.stream.id && plans.iter().any(|plan| plan.job == mark.job);
        let drop = Change::DropIngressPlan { job: mark.job, before: Some(self.before) };
        if is_planned && self.apply(reconciler, drop).await? != Effect::Changed {
            count(&self.repairs.undecided);
            return Ok(());
        }
        reconciler.renew_lease(self.lease).await?;
        reconciler.orchestrator.media.delete_ingress(&report.id).await?;
        count(&self.repairs.ingresses);
        Ok(())
    }

    /// Makes a change, and counts it as a repair, or as undecided if the record may be newer than the listing.
    async fn repair(&self, reconciler: &Reconciler, change: Change) -> Result<(), Error> {
        match self.apply(reconciler, change).await? {
            Effect::Changed => count(&self.repairs.ingresses),
            _ => count(&self.repairs.undecided),
        }
        Ok(())
    }

    async fn apply(&self, reconciler: &Reconciler, change: Change) -> Result<Effect, Error> {
        let guard = Guard { lease: Some(self.lease.clone()), ..Guard::default() };
        match reconciler.store.apply(&self.stream.reference(), change, guard).await {
            Ok(applied) => Ok(applied.effect),
            // The stream has ended in the meantime.
            Err(StoreError::NotFound | StoreError::Rejected(_)) => Ok(Effect::Unchanged),
            Err(error) => Err(error.into()),
        }
    }
}

/// Replaces the state of an ingress whose participant has left.
fn end_session(report: &mut IngressReport) {
    let pulls = report.kind == IngressKind::Url;
    report.state.status = if pulls { IngressStatus::Error } else { IngressStatus::Inactive };
    report.state.error = pulls.then(|| PARTICIPANT_GONE.to_owned());
}
