//! Deletion of ingresses: by a caller, with a block of their identity, and with their stream.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;

use crate::{
    access::{Action, Caller},
    domain::{Change, Identity, Ingress, IngressId, StreamRef, ingress::MAX_INGRESSES},
    media::{ListedIngress, MediaError},
    orchestrator::{error::Error, find::permit, policy::MEDIA_DEADLINE, service::Orchestrator},
    store::{Guard, Lease, StoreError},
};

impl Orchestrator {
    /// Deletes an ingress in LiveKit and records that. Succeeds if the stream has no such ingress.
    ///
    /// # Errors
    /// [`Error::Ingress`] if LiveKit does not delete it, within 5 s: nothing is recorded then; [`Error::Forbidden`].
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn delete_ingress(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        id: &IngressId,
        guard: Guard,
    ) -> Result<(), Error> {
        permit(caller, Action::ManageIngresses, &stream.room_name)?;
        let by = caller.named_identity().filter(Identity::is_within_limit);
        let deletion = async {
            let is_known = self.store.ingress(stream.id, id).await?.is_some();
            if !is_known && !self.is_ingress_of(stream, id).await? {
                return Ok(());
            }
            self.remove_ingress(stream, id, by, guard).await
        };
        timeout(MEDIA_DEADLINE, deletion).await.unwrap_or_else(|_| Err(MediaError::no_answer().into()))
    }

    /// Reports whether LiveKit has this ingress in the room of a stream. It may have been created by another tool a
    /// moment ago. After the end of the stream, its room's name may be that of another stream.
    async fn is_ingress_of(&self, stream: &StreamRef, id: &IngressId) -> Result<bool, Error> {
        if self.store.get(stream.id).await?.is_none_or(|stream| stream.status.is_final()) {
            return Ok(false);
        }
        match self.media.ingress(id).await {
            Ok(found) => Ok(found.is_some_and(|found| found.room == stream.room_name.as_str())),
            Err(MediaError::Unsupported) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn remove_ingress(
        &self,
        stream: &StreamRef,
        id: &IngressId,
        by: Option<Identity>,
        guard: Guard,
    ) -> Result<(), Error> {
        self.media.delete_ingress(id).await?;
        let remove = Change::RemoveIngress { id: id.clone(), before: None, by };
        match self.store.apply(stream, remove, guard).await {
            // The stream has ended in the meantime.
            Ok(_) | Err(StoreError::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes the ingresses of an identity that is blocked. Returns their number.
    ///
    /// # Errors
    /// Errors of LiveKit and of the store.
    pub(in crate::orchestrator) async fn remove_ingresses_of(
        &self,
        stream: &StreamRef,
        is_blocked: impl Fn(&Identity) -> bool,
        by: Option<&Identity>,
        lease: Option<&Lease>,
    ) -> Result<u64, Error> {
        let known = self.store.ingresses(stream.id).await?.ingresses;
        let mut count = 0;
        for Ingress { id, .. } in known.into_iter().filter(|ingress| is_blocked(&ingress.identity)) {
            let guard = Guard { lease: lease.cloned(), ..Guard::default() };
            self.remove_ingress(stream, &id, by.cloned(), guard).await?;
            count += 1;
        }
        Ok(count)
    }

    /// Deletes all ingresses of a stream's room in LiveKit, because the stream ends. Their last events follow when the
    /// stream is closed.
    ///
    /// # Errors
    /// [`Error::Ingress`] if LiveKit does not delete one of them; errors of the store.
    pub(in crate::orchestrator) async fn end_ingresses(&self, stream: &StreamRef) -> Result<(), Error> {
        let listed = match self.media.ingresses(Some(&stream.room_name)).await {
            // Without Redis LiveKit has no ingress.
            Err(MediaError::Unsupported) => return Ok(()),
            listed => listed?,
        };
        let recorded = self.store.ingresses(stream.id).await?.ingresses.into_iter();
        let listed = listed.into_iter().map(|ListedIngress { report, .. }| report.id);
        let ids: BTreeSet<IngressId> = recorded.map(|ingress| ingress.id).chain(listed).collect();
        // LiveKit waits 3 s for a worker that has died, so the calls are made at once.
        let deletions = stream::iter(ids).map(async |id| self.media.delete_ingress(&id).await);
        Ok(deletions.buffer_unordered(MAX_INGRESSES).try_collect::<()>().await?)
    }
}
