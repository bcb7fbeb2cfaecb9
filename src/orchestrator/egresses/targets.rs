//! Change of the RTMP targets of a broadcast.
//!
//! The intent is recorded before LiveKit is asked. LiveKit adds an address again that it has already, so an attempt
//! that continues an earlier one first reads what LiveKit has.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::timeout;

use super::view::EgressView;
use crate::{
    access::{Action, Caller},
    domain::{
        Egress, EgressChange, EgressId, EgressKind, Identity, JobId, Rejection, RtmpAddress, RtmpStatus,
        RtmpTarget, StreamRef, TargetId, TargetsPlan, Timestamp,
    },
    media::{MediaError, TargetChange},
    orchestrator::{error::Error, find::permit, policy::MEDIA_DEADLINE, service::Orchestrator},
    store::{DedupKey, Guard},
};

/// Age of a request for a target after which its request has ended or died.
const OTHERS_REQUEST: Duration = Duration::from_secs(10);

/// Target that a request names.
#[derive(Clone, Debug)]
pub enum TargetSelector {
    /// By its id within the broadcast.
    Id(TargetId),
    /// By its whole address.
    Address(RtmpAddress),
}

/// Request to change the RTMP targets of a broadcast.
#[derive(Clone, Debug)]
pub struct TargetsRequest {
    /// Addresses to add. One that the broadcast has already changes nothing.
    pub add: Vec<RtmpAddress>,
    /// Targets to remove. One that has ended changes nothing.
    pub remove: Vec<TargetSelector>,
    /// Job of the request, the same in each attempt. `None` generates one.
    pub job: Option<JobId>,
    /// Key under which the change is made at most once.
    pub dedup_key: Option<DedupKey>,
}

impl Orchestrator {
    /// Adds and removes RTMP targets of a broadcast that runs.
    ///
    /// # Errors
    /// [`Error::BroadcastNotFound`]; [`Rejection::BroadcastEnded`], [`Rejection::NoTarget`],
    /// [`Rejection::LastTarget`], [`Rejection::TooManyTargets`]; [`Error::Egress`] if LiveKit does not change them,
    /// within 5 s; [`Error::Forbidden`].
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn change_targets(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        id: &EgressId,
        request: TargetsRequest,
    ) -> Result<EgressView, Error> {
        permit(caller, Action::Record, &stream.room_name)?;
        let broadcast = (EgressKind::Broadcast, id);
        self.egress_view(caller, stream, broadcast).await?;
        let changed = self.change_within(caller, stream, id, request);
        let no_answer = |_| Err(Error::Egress(MediaError::no_answer()));
        timeout(MEDIA_DEADLINE, changed).await.unwrap_or_else(no_answer)?;
        self.egress_view(caller, stream, broadcast).await
    }

    async fn change_within(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        id: &EgressId,
        request: TargetsRequest,
    ) -> Result<(), Error> {
        self.refresh_egress(stream, id, Guard::default()).await?;
        let job = request.job.unwrap_or_else(JobId::generate);
        let known = self.known(stream, id).await?;
        if !known.egress.takes_targets() {
            return Err(Rejection::BroadcastEnded.into());
        }
        let removed = request.remove.iter().map(|selector| known.select(selector));
        // A request may name a target twice, by its id and by its address.
        let removed: BTreeMap<TargetId, RtmpAddress> = removed.collect::<Result<_, _>>()?;
        let plan = TargetsPlan {
            id: id.clone(),
            job,
            add: request.add.clone(),
            remove: removed.keys().copied().collect(),
            by: caller.named_identity().filter(Identity::is_within_limit),
        };
        let guard = Guard { dedup_key: request.dedup_key, ..Guard::default() };
        self.store.apply(stream, EgressChange::PlanTargets(plan).into(), guard).await?;
        let known = self.known(stream, id).await?;
        let now = self.store.time_of(stream.id).await?;
        let added = known.to_add(&request.add, job, now);
        let removed: Vec<_> = removed.into_iter().filter(|(id, _)| known.runs(*id)).collect();
        self.ask(stream, id, added, removed).await
    }

    async fn known(&self, stream: &StreamRef, id: &EgressId) -> Result<Known, Error> {
        let egress = self.store.egress(stream.id, id).await?.ok_or(Error::BroadcastNotFound)?;
        Ok(Known { egress, addresses: self.store.egress_addresses(stream.id, id).await? })
    }

    /// Asks LiveKit for the change and records its answer.
    async fn ask(
        &self,
        stream: &StreamRef,
        id: &EgressId,
        added: Vec<(TargetId, RtmpAddress)>,
        removed: Vec<(TargetId, RtmpAddress)>,
    ) -> Result<(), Error> {
        if added.is_empty() && removed.is_empty() {
            return Ok(());
        }
        let (added_ids, add): (Vec<_>, Vec<_>) = added.into_iter().unzip();
        let (removed_ids, remove): (Vec<_>, Vec<_>) = removed.into_iter().unzip();
        match self.media.change_targets(id, &TargetChange { add, remove }).await {
            Ok(listed) => {
                self.record_egress(stream, listed, Guard::default()).await?;
                Ok(())
            }
            // LiveKit may have made the change. The reconciler ends what it has not added.
            Err(error @ MediaError::Unavailable(_)) => Err(Error::Egress(error)),
            Err(error) => {
                let targets = added_ids.into_iter().chain(removed_ids).collect();
                self.withdraw(stream, id, targets).await;
                Err(refused(error))
            }
        }
    }

    /// Records what LiveKit has made of a change that it has refused, and withdraws the rest.
    async fn withdraw(&self, stream: &StreamRef, id: &EgressId, targets: Vec<TargetId>) {
        let withdrawn = async {
            self.refresh_egress(stream, id, Guard::default()).await?;
            let drop = EgressChange::DropTargets { id: id.clone(), targets, before: None };
            self.store.apply(stream, drop.into(), Guard::default()).await.map_err(Error::from)
        };
        if let Err(error) = withdrawn.await {
            tracing::warn!(stream = %stream.id, egress = %id, %error, "refused targets not withdrawn yet");
        }
    }
}

/// Returns the error of a change that LiveKit has refused.
fn refused(error: MediaError) -> Error {
    match error {
        MediaError::Ended => Rejection::BroadcastEnded.into(),
        MediaError::NotFound => Rejection::NoTarget.into(),
        error => Error::Egress(error),
    }
}

/// Record of a broadcast with the whole addresses of its targets.
struct Known {
    egress: Egress,
    addresses: BTreeMap<TargetId, RtmpAddress>,
}

impl Known {
    /// Returns the target that a request names, with its whole address. That of a target of another tool is only known
    /// from a request.
    fn select(&self, selector: &TargetSelector) -> Result<(TargetId, RtmpAddress), Rejection> {
        let mut newest_first = self.egress.targets.iter().rev();
        match selector {
            TargetSelector::Id(id) => {
                let address = self.addresses.get(id).ok_or(Rejection::NoTarget)?;
                Ok((*id, address.clone()))
            }
            TargetSelector::Address(address) => {
                let has_address = |target: &&RtmpTarget| match self.addresses.get(&target.id) {
                    Some(known) => known == address,
                    None => target.fingerprint == address.fingerprint(),
                };
                let target = newest_first.find(has_address).ok_or(Rejection::NoTarget)?;
                Ok((target.id, address.clone()))
            }
        }
    }

    fn runs(&self, id: TargetId) -> bool {
        self.egress.targets.iter().any(|target| target.id == id && target.status.is_running())
    }

    /// Returns the requested targets that LiveKit is to be asked for: not those that another request is asking for.
    fn to_add(&self, add: &[RtmpAddress], job: JobId, now: Timestamp) -> Vec<(TargetId, RtmpAddress)> {
        let is_mine =
            |target: &RtmpTarget| target.job == Some(job) || target.planned_at.plus(OTHERS_REQUEST) < now;
        let due = self.egress.targets.iter().filter(|target| target.status == RtmpStatus::Starting);
        let with_address = due.filter(|target| is_mine(target)).filter_map(|target| {
            let address = self.addresses.get(&target.id).filter(|address| add.contains(address))?;
            Some((target.id, address.clone()))
        });
        with_address.collect()
    }
}
