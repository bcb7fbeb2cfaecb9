//! Removals of participants at callers' requests.

use super::{
    departures::end_visit,
    recorder::{Applied, Recorder, UNCHANGED},
    state::Aggregate,
};
use crate::domain::{
    Identity, LeaveReason, Participant, ParticipantState, Rejection, Removal, StreamStatus, Timestamp,
    change::Effect, removal::PendingRemoval,
};

impl Aggregate {
    /// Records that LiveKit is about to be asked for the removal of a connected session.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub(super) fn begin_removal(&mut self, removal: Removal, now: Timestamp) -> Applied {
        let entry = self.removable(&removal.identity)?;
        if !entry.is_active() || entry.sid != removal.sid {
            return UNCHANGED;
        }
        entry.removals.pending = Some(PendingRemoval { by: removal.by });
        entry.changed_at = now;
        Ok((Effect::Changed, Vec::new()))
    }

    /// Withdraws a removal that LiveKit has not made.
    pub(super) fn cancel_removal(&mut self, removal: &Removal, now: Timestamp) -> Applied {
        let entry = self.participants.get_mut(&removal.identity);
        let is_pending =
            |entry: &&mut Participant| entry.removals.pending.is_some() && entry.sid == removal.sid;
        let Some(entry) = entry.filter(is_pending) else { return UNCHANGED };
        entry.removals.pending = None;
        entry.changed_at = now;
        Ok((Effect::Changed, Vec::new()))
    }

    /// Records a removal, unless a report of LiveKit has completed it. Ends the removed session or the joining entry. A
    /// session that has begun since then stays, until LiveKit has removed it too.
    ///
    /// # Errors
    /// [`Rejection::NotActive`] if the stream is not active, [`Rejection::NoParticipant`] without an entry.
    pub(super) fn remove(&mut self, removal: Removal, now: Timestamp) -> Applied {
        let entry = self.removable(&removal.identity)?;
        if removal.sid.is_some() && entry.removals.last == removal.sid {
            return UNCHANGED;
        }
        let ends = match entry.state {
            ParticipantState::Joining => true,
            ParticipantState::Active => entry.sid == removal.sid,
            ParticipantState::Disconnected => false,
        };
        entry.removals.complete(removal.sid);
        entry.changed_at = now;
        if !ends {
            return Ok((Effect::Changed, Vec::new()));
        }
        let Some(entry) = self.participants.get_mut(&removal.identity) else { return UNCHANGED };
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        end_visit(&mut recorder, entry, &mut self.ended_sessions, now);
        recorder.explain_departure(Some(LeaveReason::Removed));
        recorder.attribute_to(removal.by);
        Ok((Effect::Changed, recorder.drafts))
    }

    fn removable(&mut self, identity: &Identity) -> Result<&mut Participant, Rejection> {
        if self.stream.status != StreamStatus::Active {
            return Err(Rejection::NotActive { status: self.stream.status });
        }
        self.participants.get_mut(identity).ok_or(Rejection::NoParticipant)
    }
}
