//! Creation of ingresses.
//!
//! The intent is recorded before LiveKit is asked, and the mark in LiveKit's name of the ingress has the id of the
//! intent. An attempt that continues an earlier one therefore finds what that has created. The reconciler deletes a
//! marked ingress that has neither an intent nor a record.

use secrecy::SecretString;
use tokio::time::timeout;

use super::IngressWithKey;
use crate::{
    access::{Action, Caller},
    domain::{
        Change, DisplayName, Identity, IngressId, IngressKind, JobId, JobMark, StreamRef, change::Effect,
    },
    media::{ListedIngress, MediaError, NewIngress},
    orchestrator::{error::Error, find::permit, policy::MEDIA_DEADLINE, service::Orchestrator},
    store::{DedupKey, Guard, StoreError},
};

/// Request for an ingress.
#[derive(Clone, Debug)]
pub struct IngressRequest {
    /// Protocol.
    pub kind: IngressKind,
    /// Identity of its participant.
    pub identity: Identity,
    /// Display name of its participant.
    pub name: Option<DisplayName>,
    /// Address that LiveKit pulls, for [`IngressKind::Url`].
    pub source: Option<SecretString>,
    /// Job of the request, the same in each attempt. `None` generates one.
    pub job: Option<JobId>,
    /// Key under which the ingress is recorded at most once.
    pub dedup_key: Option<DedupKey>,
    /// True if an earlier attempt of the request has recorded its ingress.
    pub is_made: bool,
}

impl Orchestrator {
    /// Creates an ingress in LiveKit and records it.
    ///
    /// # Errors
    /// [`crate::domain::Rejection::NotActive`], [`crate::domain::Rejection::Blocked`],
    /// [`crate::domain::Rejection::IngressExists`], [`crate::domain::Rejection::TooManyIngresses`];
    /// [`Error::Ingress`] if LiveKit does not create it, within 5 s; [`Error::IngressNotFound`] if an earlier attempt
    /// has created it, and it is deleted by now; [`Error::Forbidden`].
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn create_ingress(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        request: IngressRequest,
    ) -> Result<IngressWithKey, Error> {
        permit(caller, Action::ManageIngresses, &stream.room_name)?;
        let job = request.job.unwrap_or_else(JobId::generate);
        if let Some(known) = self.created_by(stream, job).await? {
            return self.with_key(stream, &known).await;
        }
        if request.is_made {
            return Err(Error::IngressNotFound);
        }
        let plan = Change::PlanIngress { job, identity: request.identity.clone() };
        let planned = self.store.apply(stream, plan, Guard::default()).await?;
        let new = NewIngress {
            kind: request.kind,
            room: stream.room_name.clone(),
            identity: request.identity,
            name: request.name,
            source: request.source,
            mark: JobMark { stream: stream.id, job },
        };
        let created = self.open_ingress(&new, planned.effect == Effect::Unchanged);
        let created = timeout(MEDIA_DEADLINE, created).await;
        match created.unwrap_or_else(|_| Err(MediaError::no_answer())) {
            Ok(created) => {
                let guard = Guard { dedup_key: request.dedup_key, ..Guard::default() };
                self.confirm_ingress(caller, stream, (job, created), guard).await
            }
            Err(error) => {
                self.abandon_plan(stream, job).await;
                Err(error.into())
            }
        }
    }

    /// Returns the recorded ingress of a job.
    async fn created_by(&self, stream: &StreamRef, job: JobId) -> Result<Option<IngressId>, Error> {
        let known = self.store.ingresses(stream.id).await?.ingresses;
        Ok(known.into_iter().find(|ingress| ingress.job == Some(job)).map(|ingress| ingress.id))
    }

    /// Creates the ingress in LiveKit, or returns the one that an earlier attempt has created.
    async fn open_ingress(&self, new: &NewIngress, continues: bool) -> Result<ListedIngress, MediaError> {
        if continues {
            let listed = self.media.ingresses(Some(&new.room)).await?;
            let earlier = listed.into_iter().find(|listed| listed.report.mark == Some(new.mark));
            if let Some(earlier) = earlier {
                return Ok(earlier);
            }
        }
        self.media.create_ingress(new).await
    }

    async fn confirm_ingress(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        (job, created): (JobId, ListedIngress),
        guard: Guard,
    ) -> Result<IngressWithKey, Error> {
        let by = caller.named_identity().filter(Identity::is_within_limit);
        let (id, report) = (created.report.id.clone(), created.report);
        let confirm = Change::ConfirmIngress { job, report, by };
        if let Err(error) = self.store.apply(stream, confirm, guard).await {
            if matches!(error, StoreError::Rejected(_) | StoreError::NotFound) {
                self.discard_ingress(stream, &id).await;
            }
            return Err(error.into());
        }
        let ingress = self.store.ingress(stream.id, &id).await?.ok_or(Error::IngressNotFound)?;
        Ok(IngressWithKey { stream: stream.id, ingress, stream_key: created.stream_key })
    }

    async fn with_key(&self, stream: &StreamRef, id: &IngressId) -> Result<IngressWithKey, Error> {
        let ingress = self.store.ingress(stream.id, id).await?.ok_or(Error::IngressNotFound)?;
        Ok(IngressWithKey { stream: stream.id, ingress, stream_key: self.stream_key(id).await? })
    }

    /// Withdraws the intent of a creation that has failed. LiveKit may still create the ingress, which the reconciler
    /// then deletes.
    async fn abandon_plan(&self, stream: &StreamRef, job: JobId) {
        let drop = Change::DropIngressPlan { job, before: None };
        if let Err(error) = self.store.apply(stream, drop, Guard::default()).await {
            tracing::warn!(stream = %stream.id, %error, "intent of an ingress not withdrawn; it ends by itself");
        }
    }

    /// Deletes an ingress that the stream does not admit any more.
    async fn discard_ingress(&self, stream: &StreamRef, id: &IngressId) {
        if let Err(error) = self.media.delete_ingress(id).await {
            tracing::warn!(stream = %stream.id, ingress = %id, %error, "ingress not deleted; the reconciler retries");
        }
    }
}
