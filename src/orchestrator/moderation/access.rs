//! Access of participants to their stream, and the exclusion of those that have none.

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

/// Maximum concurrent exclusions, each of which takes a LiveKit call and a change.
const CONCURRENCY: usize = 16;
/// Maximum participants in one read.
const PAGE: usize = 1_000;

/// Maximum calls of LiveKit with the role of one participant.
const MAX_ROLE_CALLS: usize = 5;

/// Session without access.
#[derive(Debug)]
pub(super) struct Exclusion {
    pub(super) identity: Identity,
    /// `None` for whichever session exists.
    pub(super) sid: Option<ParticipantSid>,
    pub(super) reason: LeaveReason,
}

impl Exclusion {
    /// Returns the exclusion of the session of an entry.
    fn of(entry: Participant, reason: LeaveReason) -> Self {
        Self { identity: entry.identity, sid: entry.sid, reason }
    }
}

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
    /// Returns the reason for which a participant has no access to the stream; `None` if it has access.
    ///
    /// # Errors
    /// Errors of the store.
    pub(in crate::orchestrator) async fn denial(
        &self,
        stream: &Stream,
        entry: &Participant,
    ) -> Result<Option<LeaveReason>, Error> {
        Ok(stream.denial(entry, self.is_blocked(stream, &entry.identity).await?))
    }

    /// As [`Self::denial`], of at most 1,000 entries.
    async fn exclusions(&self, stream: &Stream, entries: Vec<Participant>) -> Result<Vec<Exclusion>, Error> {
        let identities: Vec<_> = entries.iter().map(|entry| &entry.identity).collect();
        let blocked = self.blocked(stream, &identities).await?;
        let exclusion = |(entry, is_blocked): (Participant, bool)| {
            stream.denial(&entry, is_blocked).map(|reason| Exclusion::of(entry, reason))
        };
        Ok(entries.into_iter().zip(blocked).filter_map(exclusion).collect())
    }

    /// Removes a session from the LiveKit room and records its departure. A later session of the identity stays
    /// recorded, and is excluded when it arrives.
    ///
    /// # Errors
    /// Errors of LiveKit, which leave the record unchanged; errors of the store.
    pub(super) async fn exclude(
        &self,
        stream: &StreamRef,
        exclusion: Exclusion,
        lease: Option<Lease>,
    ) -> Result<(), Error> {
        let Exclusion { identity, sid, reason } = exclusion;
        self.rooms.remove_participant(&stream.room_name, &identity).await?;
        let disconnect = Change::Disconnect { identity, sid, at: None, reason: Some(reason) };
        match self.store.apply(stream, disconnect, Guard { lease, ..Guard::default() }).await {
            // The stream has ended in the meantime.
            Ok(_) | Err(StoreError::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Excludes a participant that has connected without access, or sends its recorded role to LiveKit if LiveKit has
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
        if let Some(entry) = entry.filter(|entry| entry.is_active() && entry.sid.as_ref() == Some(&sid)) {
            let is_other_role = entry.overrides(role);
            return self.enforce(stream, entry, is_other_role).await;
        }
        if is_listed || !self.is_blocked(stream, &identity).await? {
            return Ok(());
        }
        let exclusion = Exclusion { identity, sid: Some(sid), reason: LeaveReason::Blocked };
        self.exclude(&stream.reference(), exclusion, None).await
    }

    /// Makes LiveKit follow the record of a connected participant: excludes it if it has no access, or sends the
    /// recorded role if LiveKit has another.
    ///
    /// # Errors
    /// Errors of LiveKit and of the store.
    pub(super) async fn enforce(
        &self,
        stream: &Stream,
        entry: Participant,
        is_other_role: bool,
    ) -> Result<(), Error> {
        match self.denial(stream, &entry).await? {
            Some(reason) => self.exclude(&stream.reference(), Exclusion::of(entry, reason), None).await,
            None if is_other_role => self.send_role(stream, entry).await,
            None => Ok(()),
        }
    }

    /// Sends the recorded role of a connected participant to LiveKit. Repeats the call while the record has another
    /// role afterwards, so that the call of an older role does not undo a change made meanwhile.
    ///
    /// # Errors
    /// Errors of LiveKit and of the store.
    pub(in crate::orchestrator) async fn send_role(
        &self,
        stream: &Stream,
        mut entry: Participant,
    ) -> Result<(), Error> {
        for _ in 0..MAX_ROLE_CALLS {
            let (identity, sent) = (entry.identity, entry.role);
            let update = SessionUpdate { role: Some(sent), ..SessionUpdate::default() };
            self.rooms.update_participant(&stream.room_name, &identity, &update).await?;
            let current = self.store.participant(stream.id, identity.as_str()).await?;
            match current.filter(|current| current.is_active() && current.role != sent) {
                Some(changed) => entry = changed,
                None => return Ok(()),
            }
        }
        // The requests that have changed the role so often send it as well.
        Ok(())
    }

    /// Excludes a connected participant if it has no access. Reads its entry first, because a newer session may have
    /// access. Reports whether it has excluded the participant.
    ///
    /// # Errors
    /// Errors of LiveKit and of the store.
    pub(in crate::orchestrator) async fn exclude_one(
        &self,
        stream: &Stream,
        identity: &Identity,
        lease: Option<Lease>,
    ) -> Result<bool, Error> {
        let entry = self.store.participant(stream.id, identity.as_str()).await?;
        let Some(entry) = entry.filter(Participant::is_active) else { return Ok(false) };
        let Some(reason) = self.denial(stream, &entry).await? else { return Ok(false) };
        self.exclude(&stream.reference(), Exclusion::of(entry, reason), lease).await?;
        Ok(true)
    }

    /// Excludes all connected viewers of a stream that is backstage. A failure is only logged: the reconciler repeats
    /// the call.
    pub(in crate::orchestrator) async fn enforce_backstage(&self, stream: &Stream) {
        if let Err(error) = self.exclude_audience(stream, None).await {
            log_failure(stream, &error);
        }
    }

    /// Excludes all connected participants without access if the stream is backstage, and returns their number. Stops
    /// at the first failure, because the next calls would probably fail too.
    ///
    /// # Errors
    /// Errors of LiveKit and of the store.
    pub(in crate::orchestrator) async fn exclude_audience(
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
            let exclusions = self.exclusions(stream, page.items).await?;
            count += self.exclude_each(stream, exclusions, lease).await?;
            after = page.next;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    /// Excludes those of LiveKit's sessions whose identities are blocked, and returns their number. Stops at the first
    /// failure, as [`Self::exclude_audience`].
    ///
    /// # Errors
    /// Errors of LiveKit and of the store.
    pub(in crate::orchestrator) async fn exclude_blocked(
        &self,
        stream: &Stream,
        sessions: &[(Identity, ParticipantSid)],
        lease: Option<&Lease>,
    ) -> Result<u64, Error> {
        let mut count = 0;
        for page in sessions.chunks(PAGE) {
            let identities: Vec<_> = page.iter().map(|(identity, _)| identity).collect();
            let blocked = self.blocked(stream, &identities).await?;
            let blocked = page.iter().zip(blocked).filter(|(_, is_blocked)| *is_blocked);
            let exclusions = blocked.map(|((identity, sid), _)| Exclusion {
                identity: identity.clone(),
                sid: Some(sid.clone()),
                reason: LeaveReason::Blocked,
            });
            count += self.exclude_each(stream, exclusions.collect(), lease).await?;
        }
        Ok(count)
    }

    async fn exclude_each(
        &self,
        stream: &Stream,
        exclusions: Vec<Exclusion>,
        lease: Option<&Lease>,
    ) -> Result<u64, Error> {
        let reference = stream.reference();
        let excluded = stream::iter(exclusions)
            .map(|exclusion| self.exclude(&reference, exclusion, lease.cloned()))
            .buffer_unordered(CONCURRENCY);
        excluded.try_fold(0, async |count, ()| Ok(count + 1)).await
    }
}

pub(super) fn log_failure(stream: &Stream, error: &Error) {
    tracing::warn!(
        stream = %stream.id, %error,
        "LiveKit does not follow the recorded access and roles of participants; the reconciler retries"
    );
}
