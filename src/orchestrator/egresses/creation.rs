//! Start of recordings and broadcasts.
//!
//! The intent is recorded before LiveKit is asked. LiveKit's egress has no mark, so an attempt that continues an
//! earlier one finds by its outputs what that has started. An egress that LiveKit starts after its request has failed
//! is stopped, see `unwanted`.

use std::collections::HashSet;

use tokio::time::{Instant, timeout_at};

use super::{
    order::EgressOrder,
    view::{EgressView, not_found},
};
use crate::{
    access::{Action, Caller},
    domain::{
        EgressChange, EgressId, EgressKind, EgressSpec, Identity, JobId, StartedEgress, StreamRef,
        change::Effect,
    },
    media::{ListedEgress, MediaError, NewEgress},
    orchestrator::{error::Error, find::permit, policy::MEDIA_DEADLINE, service::Orchestrator},
    store::{DedupKey, Guard, StoreError},
};

/// Request for a recording or a broadcast.
#[derive(Clone, Debug)]
pub struct EgressRequest {
    /// What is asked for.
    pub order: EgressOrder,
    /// Job of the request, the same in each attempt. `None` generates one.
    pub job: Option<JobId>,
    /// Key under which the egress is recorded at most once.
    pub dedup_key: Option<DedupKey>,
    /// True if an earlier attempt of the request has recorded its egress.
    pub is_made: bool,
}

impl EgressRequest {
    const fn kind(&self) -> EgressKind {
        match self.order {
            EgressOrder::Recording(_) => EgressKind::Recording,
            EgressOrder::Broadcast(_) => EgressKind::Broadcast,
        }
    }
}

impl Orchestrator {
    /// Starts a recording or a broadcast in LiveKit and records it.
    ///
    /// # Errors
    /// [`Error::StorageNotConfigured`]; [`Error::InvalidField`]; [`crate::domain::Rejection::NotActive`],
    /// [`crate::domain::Rejection::TooManyEgresses`]; [`Error::ParticipantNotFound`], [`Error::TrackNotFound`];
    /// [`Error::Egress`] if LiveKit does not start it, within 5 s; [`Error::Forbidden`].
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn start_egress(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        request: EgressRequest,
    ) -> Result<EgressView, Error> {
        permit(caller, Action::Record, &stream.room_name)?;
        let (kind, job) = (request.kind(), request.job.unwrap_or_else(JobId::generate));
        let known = self.store.egresses(stream.id).await?.egresses;
        if let Some(known) = known.into_iter().find(|egress| egress.job == Some(job)) {
            return Ok(EgressView::of(caller, stream, known));
        }
        if request.is_made {
            return Err(not_found(kind));
        }
        let (new, spec) = self.settings_of(stream, job, request.order).await?;
        let plan = EgressChange::Plan { job, outputs: new.outputs() };
        let planned = self.store.apply(stream, plan.into(), Guard::default()).await?;
        let started = self.open_egress(stream, &new, planned.effect == Effect::Unchanged);
        let until = Instant::now() + MEDIA_DEADLINE;
        let no_answer = |_| Err(Error::Egress(MediaError::no_answer()));
        match timeout_at(until, started).await.unwrap_or_else(no_answer) {
            Ok(started) => {
                let guard = Guard { dedup_key: request.dedup_key, ..Guard::default() };
                let id = self.confirm_egress(caller, stream, (job, new, spec), started, guard).await?;
                // Webhooks that came before the record have changed nothing.
                self.try_refresh_egress(stream, &id, Guard::default(), until).await;
                self.egress_view(caller, stream, (kind, &id)).await
            }
            Err(error) => {
                self.give_up(stream, job, &error).await;
                Err(error)
            }
        }
    }

    /// Starts the egress in LiveKit, or returns the one that an earlier attempt has started.
    async fn open_egress(
        &self,
        stream: &StreamRef,
        new: &NewEgress,
        continues: bool,
    ) -> Result<ListedEgress, Error> {
        if continues {
            let listed = self.media.egresses(Some(&stream.room_name)).await.map_err(Error::Egress)?;
            // Read after the list: an egress of another request may be recorded in between.
            let recorded = self.store.egresses(stream.id).await?.egresses;
            let recorded: HashSet<EgressId> = recorded.into_iter().map(|egress| egress.id).collect();
            let room_sid = self.store.get(stream.id).await?.and_then(|stream| stream.room_sid);
            let outputs = new.outputs();
            let is_earlier = |ListedEgress { report, .. }: &ListedEgress| {
                let is_here = report.is_in(room_sid.as_ref()) && report.outputs == outputs;
                is_here && !report.state.status.is_over() && !recorded.contains(&report.id)
            };
            if let Some(earlier) = listed.into_iter().find(is_earlier) {
                return Ok(earlier);
            }
        }
        self.media.start_egress(new).await.map_err(Error::Egress)
    }

    async fn confirm_egress(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        (job, new, spec): (JobId, NewEgress, EgressSpec),
        started: ListedEgress,
        guard: Guard,
    ) -> Result<EgressId, Error> {
        let by = caller.named_identity().filter(Identity::is_within_limit);
        let (id, report) = (started.report.id.clone(), started.report);
        let confirm = EgressChange::Confirm(StartedEgress { job, report, spec, targets: new.rtmp, by });
        if let Err(error) = self.store.apply(stream, confirm.into(), guard).await {
            if matches!(error, StoreError::Rejected(_) | StoreError::NotFound) {
                self.discard_egress(stream, &id).await;
            }
            return Err(error.into());
        }
        Ok(id)
    }

    /// Withdraws the intent of a start that has failed. Keeps it as abandoned if LiveKit may still start the egress.
    async fn give_up(&self, stream: &StreamRef, job: JobId, error: &Error) {
        let may_start = !matches!(
            error,
            Error::Egress(MediaError::Unsupported | MediaError::NotFound | MediaError::Refused(_))
        );
        let change = match may_start {
            true => EgressChange::AbandonPlan { job },
            false => EgressChange::DropPlan { job, before: None },
        };
        if let Err(error) = self.store.apply(stream, change.into(), Guard::default()).await {
            tracing::warn!(stream = %stream.id, %error, "intent of an egress not withdrawn; it ends by itself");
        }
    }

    /// Stops an egress that the stream does not admit any more.
    async fn discard_egress(&self, stream: &StreamRef, id: &EgressId) {
        if let Err(error) = self.media.stop_egress(id).await {
            tracing::warn!(stream = %stream.id, egress = %id, %error, "egress not stopped; the reconciler retries");
        }
    }
}
