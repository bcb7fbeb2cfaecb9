//! What a caller sees of a recording or a broadcast, and how its record follows LiveKit.

use tokio::time::{Instant, timeout_at};

use crate::{
    access::{Action, Caller},
    domain::{Change, Egress, EgressChange, EgressId, EgressKind, EgressReport, StreamId, StreamRef},
    media::{ListedEgress, MediaError},
    orchestrator::{error::Error, service::Orchestrator},
    store::{Applied, Guard},
};

/// Recording or broadcast with what the caller may see.
pub struct EgressView {
    /// Stream of the egress.
    pub stream: StreamId,
    /// The recording or broadcast.
    pub egress: Egress,
    /// True if the caller may see where its files are.
    pub shows_location: bool,
}

impl EgressView {
    pub(super) fn of(caller: &Caller, stream: &StreamRef, egress: Egress) -> Self {
        let shows_location = caller.is_allowed_in(Action::Record, &stream.room_name);
        Self { stream: stream.id, egress, shows_location }
    }
}

/// Returns the error for a recording or a broadcast that a stream does not have.
pub(super) const fn not_found(kind: EgressKind) -> Error {
    match kind {
        EgressKind::Recording => Error::RecordingNotFound,
        EgressKind::Broadcast => Error::BroadcastNotFound,
    }
}

impl Orchestrator {
    /// Returns a recording or a broadcast as the caller sees it.
    ///
    /// # Errors
    /// [`Error::RecordingNotFound`], [`Error::BroadcastNotFound`]; errors of the store.
    pub(super) async fn egress_view(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        (kind, id): (EgressKind, &EgressId),
    ) -> Result<EgressView, Error> {
        let known = self.store.egress(stream.id, id).await?.filter(|known| known.kind == kind);
        Ok(EgressView::of(caller, stream, known.ok_or_else(|| not_found(kind))?))
    }

    /// Returns a report of a webhook with paths as requests have them.
    pub(in crate::orchestrator) fn relative(&self, report: EgressReport) -> EgressReport {
        match &self.storage {
            Some(storage) => report.relative_to(storage.prefix()),
            None => report,
        }
    }

    /// Records what LiveKit answers about an egress.
    ///
    /// # Errors
    /// Errors of the store.
    pub(in crate::orchestrator) async fn record_egress(
        &self,
        stream: &StreamRef,
        listed: ListedEgress,
        guard: Guard,
    ) -> Result<Applied, Error> {
        let change: Change = EgressChange::Report { report: listed.report, is_listed: false }.into();
        Ok(self.store.apply(stream, change, guard).await?)
    }

    /// Reads an egress from LiveKit and records its state.
    ///
    /// # Errors
    /// [`Error::Egress`] if LiveKit does not answer; errors of the store.
    pub(in crate::orchestrator) async fn refresh_egress(
        &self,
        stream: &StreamRef,
        id: &EgressId,
        guard: Guard,
    ) -> Result<(), Error> {
        if let Some(listed) = self.media.egress(id).await.map_err(Error::Egress)? {
            self.record_egress(stream, listed, guard).await?;
        }
        Ok(())
    }

    /// As [`Self::refresh_egress`], for callers that can do without the state: the webhook or the reconciler records it
    /// otherwise. Waits until a time at most.
    pub(super) async fn try_refresh_egress(
        &self,
        stream: &StreamRef,
        id: &EgressId,
        guard: Guard,
        until: Instant,
    ) {
        let refreshed = timeout_at(until, self.refresh_egress(stream, id, guard)).await;
        if let Err(error) = refreshed.unwrap_or_else(|_| Err(Error::Egress(MediaError::no_answer()))) {
            tracing::debug!(stream = %stream.id, egress = %id, %error, "state of an egress not read");
        }
    }
}
