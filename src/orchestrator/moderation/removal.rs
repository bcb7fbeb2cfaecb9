//! Removal of a participant. Its earlier tokens do not admit it any more; a new token does.

use super::{
    access::log_failure,
    participant::{ChangedParticipant, require_active},
};
use crate::{
    access::{Action, Caller},
    domain::{Change, Participant, Removal, Stream, StreamRef, change::Effect},
    orchestrator::{error::Error, find::permit, leave_request::LeaveRequest, service::Orchestrator},
    store::Guard,
};

impl Orchestrator {
    /// Removes a participant from the LiveKit room and records the removal.
    ///
    /// The request is recorded first, without an event, because LiveKit's report of the departure may precede the
    /// record of the removal. If the instance ends in between, that report or the reconciler completes the removal.
    ///
    /// # Errors
    /// [`Error::ParticipantNotFound`]; [`crate::domain::Rejection::NotActive`]; [`Error::Rooms`] if LiveKit does not
    /// make the removal, which is then not recorded either; [`Error::Forbidden`].
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn remove(
        &self,
        caller: &Caller,
        stream: Stream,
        request: LeaveRequest,
    ) -> Result<ChangedParticipant, Error> {
        permit(caller, Action::Remove, &stream.room_name)?;
        let known = self.store.participant(stream.id, request.identity.as_str()).await?;
        let known = known.ok_or(Error::ParticipantNotFound)?;
        require_active(&stream)?;
        if request.is_done(Some(&known)) {
            return Ok(ChangedParticipant { stream, participant: known });
        }
        let sid = known.is_active().then_some(known.sid).flatten();
        let removal = Removal { identity: request.identity, sid, by: caller.named_identity() };
        let reference = stream.reference();
        let removal = self.remove_from_room(&reference, removal).await?;
        let identity = removal.identity.clone();
        let guard = Guard { dedup_key: request.dedup_key, ..Guard::default() };
        self.store.apply(&reference, Change::Remove(removal), guard).await?;
        // A session that has begun since LiveKit made the removal may have an older token.
        if let Err(error) = self.exclude_one(&stream, &identity, None).await {
            log_failure(&stream, &error);
        }
        self.changed_participant(stream.id, &identity).await
    }

    /// Removes a participant from the LiveKit room and returns the removal of the session that it had then.
    async fn remove_from_room(&self, stream: &StreamRef, removal: Removal) -> Result<Removal, Error> {
        let removal = self.begin_removal(stream, removal).await?;
        let removed = self.rooms.remove_participant(&stream.room_name, &removal.identity).await;
        if let (Err(_), Some(_)) = (&removed, &removal.sid) {
            let cancel = Change::CancelRemoval(removal.clone());
            if let Err(error) = self.store.apply(stream, cancel, Guard::default()).await {
                tracing::warn!(
                    stream = %stream.id, %error,
                    "failed removal not withdrawn; the reconciler repeats it"
                );
            }
        }
        removed?;
        Ok(removal)
    }

    /// Records that LiveKit is about to be asked for the removal of the present session. Returns the removal of that
    /// session, which may be a newer one than that of `removal`, or of no session.
    async fn begin_removal(&self, stream: &StreamRef, mut removal: Removal) -> Result<Removal, Error> {
        while removal.sid.is_some() {
            let begin = Change::BeginRemoval(removal.clone());
            let begun = self.store.apply(stream, begin, Guard::default()).await?;
            if begun.effect == Effect::Changed {
                break;
            }
            // The session has ended or was replaced since it was read.
            removal.sid = begun.participant.filter(Participant::is_active).and_then(|entry| entry.sid);
        }
        Ok(removal)
    }
}
