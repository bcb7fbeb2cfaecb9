//! Raised hands: viewers who ask to come on stage.

use super::{
    recorder::{Applied, Recorder, UNCHANGED},
    state::Aggregate,
};
use crate::domain::{
    Identity, Participant, ParticipantState, Rejection, Role, StreamStatus, Timestamp, change::Effect,
    event::EventKind, participant::MAX_HANDS,
};

impl Aggregate {
    /// Raises or lowers a participant's hand. A host is on stage already, so its hand stays down.
    ///
    /// # Errors
    /// [`Rejection::NotActive`] if the stream is not active, [`Rejection::NoParticipant`] without an entry,
    /// [`Rejection::Blocked`] and [`Rejection::NotPresent`] to raise the hand of a participant that is blocked or has
    /// left, [`Rejection::TooManyHands`] above [`MAX_HANDS`], [`Rejection::HandsTooFrequent`] beyond the rates of
    /// [`crate::domain::hand_rate`].
    pub(super) fn set_hand(
        &mut self,
        identity: &Identity,
        is_raised: bool,
        by: Option<Identity>,
        now: Timestamp,
    ) -> Applied {
        if self.stream.status != StreamStatus::Active {
            return Err(Rejection::NotActive { status: self.stream.status });
        }
        let hands = self.participants.values().filter(|one| one.hand_raised_at.is_some()).count();
        let entry = self.participants.get_mut(identity).ok_or(Rejection::NoParticipant)?;
        if is_raised && self.blocks.contains_key(identity) {
            return Err(Rejection::Blocked);
        }
        if is_raised && entry.state == ParticipantState::Disconnected {
            return Err(Rejection::NotPresent);
        }
        if entry.hand_raised_at.is_some() == is_raised || (is_raised && entry.role == Role::Host) {
            return UNCHANGED;
        }
        if is_raised && hands >= MAX_HANDS {
            return Err(Rejection::TooManyHands { max: u32::try_from(MAX_HANDS).unwrap_or(u32::MAX) });
        }
        if is_raised && !self.raisings.take(identity, now) {
            return Err(Rejection::HandsTooFrequent);
        }
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        put_hand(&mut recorder, entry, is_raised.then_some(now), by);
        Ok((Effect::Changed, recorder.drafts))
    }
}

/// Records that a hand was raised at a time; `None` for a hand that was lowered.
pub(super) fn put_hand(
    recorder: &mut Recorder<'_>,
    entry: &mut Participant,
    raised_at: Option<Timestamp>,
    by: Option<Identity>,
) {
    let was_told = recorder.is_told(entry);
    (entry.hand_raised_at, entry.changed_at) = (raised_at, recorder.now);
    recorder.tell(EventKind::ParticipantUpdated, entry, was_told);
    recorder.attribute_to(by);
}
