//! Removal of a participant. Its earlier tokens do not admit it any more; a new token does.

use super::{
    access::log_failure,
    participant::{ChangedParticipant, require_active},
};
use crate::{
    access::{Action, Caller},
    domain::{Change, Removal, Stream, StreamRef},
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
        self.remove_from_room(&reference, &removal).await?;
        let identity = removal.identity.clone();
        let guard = Guard { dedup_key: request.dedup_key, ..Guard::default() };
        self.store.apply(&reference, Change::Remove(removal), guard).await?;
        // A session that has begun since LiveKit made the removal may have an older token.
        if let Err(error) = self.put_out_one(&stream, &identity, None).await {
            log_failure(&stream, &error);
        }
        self.changed_participant(stream.id, &identity).await
    }

    async fn remove_from_room(&self, stream: &StreamRef, removal: &Removal) -> Result<(), Error> {
        let apply = async |change| self.store.apply(stream, change, Guard::default()).await;
        if removal.sid.is_some() {
            apply(Change::BeginRemoval(removal.clone())).await?;
        }
        let removed = self.rooms.remove_participant(&stream.room_name, &removal.identity).await;
        if let (Err(_), Some(_)) = (&removed, &removal.sid)
            && let Err(error) = apply(Change::CancelRemoval(removal.clone())).await
        {
            tracing::warn!(stream = %stream.id, %error, "failed removal not withdrawn; the reconciler repeats it");
        }
        Ok(removed?)
    }
}
