//! Removal of participants that have no access to their stream.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    domain::{Change, LeaveReason, Participant, ParticipantState, Stream, StreamRef},
    orchestrator::{error::Error, service::Orchestrator},
    store::{Applied, Guard, Lease, ParticipantFilter, StoreError},
};

/// Maximum concurrent removals, each of which takes a LiveKit call and a change.
const CONCURRENCY: usize = 16;
/// Maximum participants in one read.
const PAGE: usize = 1_000;

impl Orchestrator {
    /// Removes a participant from the LiveKit room and records the departure of this session. A later session of the
    /// identity stays recorded, and is removed when it arrives.
    ///
    /// # Errors
    /// Errors of LiveKit, which leave the record unchanged; errors of the store.
    async fn put_out(
        &self,
        stream: &StreamRef,
        entry: Participant,
        reason: LeaveReason,
        lease: Option<Lease>,
    ) -> Result<(), Error> {
        self.rooms.remove_participant(&stream.room_name, &entry.identity).await?;
        let (identity, sid, reason) = (entry.identity, entry.sid, Some(reason));
        let disconnect = Change::Disconnect { identity, sid, at: None, reason };
        match self.store.apply(stream, disconnect, Guard { lease, ..Guard::default() }).await {
            // The stream has ended in the meantime.
            Ok(_) | Err(StoreError::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a participant that has connected without access. A failure is only logged: the reconciler repeats the
    /// removal.
    pub(in crate::orchestrator) async fn admit(&self, connected: Applied) {
        let Applied { stream, participant, .. } = connected;
        let Some(entry) = participant.filter(Participant::is_active) else { return };
        let Some(reason) = stream.denies(&entry) else { return };
        if let Err(error) = self.put_out(&stream.reference(), entry, reason, None).await {
            log_failure(&stream, &error);
        }
    }

    /// Removes all connected participants without access. A failure is only logged: the reconciler repeats the
    /// removal.
    pub(in crate::orchestrator) async fn enforce_access(&self, stream: &Stream) {
        if let Err(error) = self.put_out_all(stream, None).await {
            log_failure(stream, &error);
        }
    }

    /// Removes all connected participants without access and returns their number. Stops at the first failure, because
    /// the next calls would probably fail too.
    ///
    /// # Errors
    /// Errors of LiveKit and of the store.
    pub(in crate::orchestrator) async fn put_out_all(
        &self,
        stream: &Stream,
        lease: Option<&Lease>,
    ) -> Result<u64, Error> {
        if !stream.backstage {
            return Ok(0);
        }
        let filter = ParticipantFilter::state(ParticipantState::Active);
        let (mut count, mut after) = (0, None);
        loop {
            let page = match self.store.participants(stream.id, filter, PAGE, after.as_deref()).await {
                // The stream has expired in the meantime.
                Err(StoreError::NotFound) => return Ok(count),
                other => other?,
            };
            count += self.put_out_denied(stream, page.items, lease).await?;
            after = page.next;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    async fn put_out_denied(
        &self,
        stream: &Stream,
        present: Vec<Participant>,
        lease: Option<&Lease>,
    ) -> Result<u64, Error> {
        let reference = stream.reference();
        let denied = present.into_iter().filter_map(|entry| Some((stream.denies(&entry)?, entry)));
        let removals = stream::iter(denied)
            .map(|(reason, entry)| self.put_out(&reference, entry, reason, lease.cloned()))
            .buffer_unordered(CONCURRENCY);
        removals.try_fold(0, async |count, ()| Ok(count + 1)).await
    }
}

fn log_failure(stream: &Stream, error: &Error) {
    tracing::warn!(
        stream = %stream.id, %error,
        "participants without access not removed from the LiveKit room; the reconciler retries"
    );
}
