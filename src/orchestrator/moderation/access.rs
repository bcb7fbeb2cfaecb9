//! Removal of participants that have no access to their stream.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    domain::{
        Change, Identity, LeaveReason, Participant, ParticipantSid, ParticipantState, Role, Session, Stream,
        StreamRef,
    },
    orchestrator::{error::Error, service::Orchestrator},
    rooms::SessionUpdate,
    store::{Applied, Guard, Lease, ParticipantFilter, StoreError},
};

/// Maximum concurrent removals, each of which takes a LiveKit call and a change.
const CONCURRENCY: usize = 16;
/// Maximum participants in one read.
const PAGE: usize = 1_000;

/// Session that LiveKit reports as connected.
pub(in crate::orchestrator) struct Arrival {
    pub(in crate::orchestrator) identity: Identity,
    pub(in crate::orchestrator) sid: ParticipantSid,
    /// Role of LiveKit's permission, if LiveKit reports it.
    pub(in crate::orchestrator) role: Option<Role>,
    /// See [`Session::is_listed`].
    pub(in crate::orchestrator) is_listed: bool,
}

impl Arrival {
    /// Returns the arrival of a session.
    pub(in crate::orchestrator) fn of(session: &Session) -> Self {
        let (identity, sid) = (session.identity.clone(), session.sid.clone());
        Self { identity, sid, role: session.role, is_listed: session.is_listed() }
    }
}

impl Orchestrator {
    /// Removes a participant from the LiveKit room and records the departure of this session. A later session of the
    /// identity stays recorded, and is removed when it arrives.
    ///
    /// # Errors
    /// Errors of LiveKit, which leave the record unchanged; errors of the store.
    pub(in crate::orchestrator) async fn put_out(
        &self,
        stream: &StreamRef,
        (identity, sid): (Identity, Option<ParticipantSid>),
        reason: LeaveReason,
        lease: Option<Lease>,
    ) -> Result<(), Error> {
        self.rooms.remove_participant(&stream.room_name, &identity).await?;
        let disconnect = Change::Disconnect { identity, sid, at: None, reason: Some(reason) };
        match self.store.apply(stream, disconnect, Guard { lease, ..Guard::default() }).await {
            // The stream has ended in the meantime.
            Ok(_) | Err(StoreError::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a participant that has connected without access, or sends its recorded role to LiveKit if LiveKit has
    /// admitted it in another. A failure is only logged: the reconciler repeats the call.
    pub(in crate::orchestrator) async fn admit(&self, connected: Applied, arrival: Arrival) {
        let Applied { stream, participant, .. } = connected;
        if let Err(error) = self.try_admit(&stream, participant, arrival).await {
            log_failure(&stream, &error);
        }
    }

    async fn try_admit(
        &self,
        stream: &Stream,
        entry: Option<Participant>,
        arrival: Arrival,
    ) -> Result<(), Error> {
        let Arrival { identity, sid, role, is_listed } = arrival;
        let entry = entry.filter(|entry| entry.is_active() && entry.sid.as_ref() == Some(&sid));
        if (entry.is_some() || !is_listed) && self.is_blocked(stream, &identity).await? {
            let session = (identity, Some(sid));
            return self.put_out(&stream.reference(), session, LeaveReason::Blocked, None).await;
        }
        let Some(entry) = entry else { return Ok(()) };
        self.align(stream, entry, role).await
    }

    /// Makes LiveKit follow the record of a connected participant, which LiveKit reports in the role `reported`:
    /// removes it if it has no access, or sends the recorded role if that is another.
    ///
    /// # Errors
    /// Errors of LiveKit and of the store.
    pub(super) async fn align(
        &self,
        stream: &Stream,
        entry: Participant,
        reported: Option<Role>,
    ) -> Result<(), Error> {
        if let Some(reason) = stream.denies(&entry) {
            return self.put_out(&stream.reference(), (entry.identity, entry.sid), reason, None).await;
        }
        if entry.overrides(reported) { self.send_role(stream, &entry).await } else { Ok(()) }
    }

    /// Sends the recorded role of a connected participant to LiveKit.
    ///
    /// # Errors
    /// Errors of LiveKit.
    pub(in crate::orchestrator) async fn send_role(
        &self,
        stream: &Stream,
        entry: &Participant,
    ) -> Result<(), Error> {
        let update = SessionUpdate { role: Some(entry.role), ..SessionUpdate::default() };
        Ok(self.rooms.update_participant(&stream.room_name, &entry.identity, &update).await?)
    }

    /// Removes a connected participant if it has no access. Reads its entry first, because a newer session may have
    /// access. Reports whether it has removed the participant.
    ///
    /// # Errors
    /// Errors of LiveKit and of the store.
    pub(in crate::orchestrator) async fn put_out_one(
        &self,
        stream: &Stream,
        identity: &Identity,
        lease: Option<Lease>,
    ) -> Result<bool, Error> {
        let entry = self.store.participant(stream.id, identity.as_str()).await?;
        let denied = |entry: Participant| Some((stream.denies(&entry)?, entry));
        let Some((reason, entry)) = entry.filter(Participant::is_active).and_then(denied) else {
            return Ok(false);
        };
        self.put_out(&stream.reference(), (entry.identity, entry.sid), reason, lease).await?;
        Ok(true)
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
            .map(|(reason, entry)| {
                self.put_out(&reference, (entry.identity, entry.sid), reason, lease.cloned())
            })
            .buffer_unordered(CONCURRENCY);
        removals.try_fold(0, async |count, ()| Ok(count + 1)).await
    }
}

pub(super) fn log_failure(stream: &Stream, error: &Error) {
    tracing::warn!(
        stream = %stream.id, %error,
        "LiveKit does not follow the recorded access and roles of participants; the reconciler retries"
    );
}
