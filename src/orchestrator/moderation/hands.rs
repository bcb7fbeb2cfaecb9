//! Raising and lowering of hands: viewers ask to come on stage.

use super::participant::ChangedParticipant;
use crate::{
    access::Caller,
    domain::{Change, Identity, StreamRef},
    orchestrator::{error::Error, find::permit, service::Orchestrator},
    store::Guard,
};

impl Orchestrator {
    /// Raises or lowers a participant's hand. LiveKit has no raised hands, so only the record changes. A host's hand
    /// stays down, because a host is on stage already.
    ///
    /// # Errors
    /// [`crate::domain::Rejection::NoParticipant`]; [`crate::domain::Rejection::Blocked`] and
    /// [`crate::domain::Rejection::NotPresent`] to raise the hand of a participant that is blocked or has left;
    /// [`crate::domain::Rejection::TooManyHands`]; [`crate::domain::Rejection::HandsTooFrequent`];
    /// [`crate::domain::Rejection::NotActive`]; [`Error::Forbidden`] if the caller may not change this identity's hand.
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn set_hand(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        identity: Identity,
        is_raised: bool,
        guard: Guard,
    ) -> Result<ChangedParticipant, Error> {
        permit(caller, caller.hand_action(&identity), &stream.room_name)?;
        let change = Change::SetHand { identity: identity.clone(), is_raised, by: caller.named_identity() };
        let applied = self.store.apply(stream, change, guard).await?;
        let participant = self.entry_after(stream, &identity, applied.participant).await?;
        Ok(ChangedParticipant { stream: applied.stream, participant })
    }
}
