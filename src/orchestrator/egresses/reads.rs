//! Reads of recordings and broadcasts.

use std::time::Duration;

use tokio::time::timeout;

use super::view::EgressView;
use crate::{
    access::{Action, Caller},
    domain::{Egress, EgressId, EgressKind, Stream},
    orchestrator::{error::Error, service::Orchestrator},
    store::Guard,
};

/// Maximum time in which LiveKit is asked for results of egresses whose stream has ended.
const DEADLINE: Duration = Duration::from_secs(2);

impl Orchestrator {
    /// Returns the recordings or broadcasts of a stream, oldest first, also those that have ended.
    ///
    /// # Errors
    /// As [`Self::find`].
    #[tracing::instrument(level = "debug", skip_all, fields(stream = id_or_room))]
    pub async fn egresses(
        &self,
        caller: &Caller,
        id_or_room: &str,
        kind: EgressKind,
    ) -> Result<Vec<EgressView>, Error> {
        let stream = self.find(caller, Action::ReadEgresses, id_or_room).await?;
        let mut known = self.store.egresses(stream.id).await?.egresses;
        if self.complete_after_end(&stream, &known).await? {
            known = self.store.egresses(stream.id).await?.egresses;
        }
        known.retain(|egress| egress.kind == kind);
        known.sort_by_cached_key(Egress::list_key);
        let reference = stream.reference();
        Ok(known.into_iter().map(|egress| EgressView::of(caller, &reference, egress)).collect())
    }

    /// Returns a recording or a broadcast.
    ///
    /// # Errors
    /// [`Error::RecordingNotFound`], [`Error::BroadcastNotFound`]; as [`Self::find`].
    #[tracing::instrument(level = "debug", skip_all, fields(stream = id_or_room))]
    pub async fn egress(
        &self,
        caller: &Caller,
        id_or_room: &str,
        kind: EgressKind,
        id: &EgressId,
    ) -> Result<EgressView, Error> {
        let stream = self.find(caller, Action::ReadEgresses, id_or_room).await?;
        let known = self.store.egress(stream.id, id).await?;
        self.complete_after_end(&stream, known.as_slice()).await?;
        self.egress_view(caller, &stream.reference(), (kind, id)).await
    }

    /// Asks LiveKit for the results of egresses that have outlived their stream, because the reconciler compares live
    /// streams only. Returns whether it has asked. Without an answer the records stay as they are.
    async fn complete_after_end(&self, stream: &Stream, known: &[Egress]) -> Result<bool, Error> {
        let running: Vec<_> = known.iter().filter(|egress| egress.is_running()).collect();
        if !stream.status.is_final() || running.is_empty() {
            return Ok(false);
        }
        let reference = stream.reference();
        let refresh = async {
            for Egress { id, .. } in running {
                self.refresh_egress(&reference, id, Guard::default()).await?;
            }
            Ok(())
        };
        match timeout(DEADLINE, refresh).await {
            Ok(Ok(())) => {}
            Ok(Err(Error::Egress(error))) => {
                tracing::debug!(stream = %stream.id, %error, "results of egresses not read");
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => tracing::debug!(stream = %stream.id, "results of egresses not read in time"),
        }
        Ok(true)
    }
}
