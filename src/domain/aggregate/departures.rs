//! Departures: ends of sessions and of visits.

use super::{
    ended_sessions::EndedSessions,
    recorder::{Applied, Recorder, UNCHANGED},
    state::Aggregate,
};
use crate::domain::{
    Identity, LeaveReason, Participant, ParticipantSid, ParticipantState, Timestamp, Tracks, change::Effect,
    event::EventKind,
};

impl Aggregate {
    /// Removes an unlisted session; returns true if it existed.
    fn remove_unlisted(&mut self, identity: &Identity, sid: Option<&ParticipantSid>) -> bool {
        let known = self.unlisted.get(identity);
        let found = known.is_some_and(|known| sid.is_some() && known.sid.as_ref() == sid);
        if found {
            self.unlisted.remove(identity);
            self.stream.uncounted -= 1;
        }
        found
    }

    /// Disconnects a session that LiveKit's list of the time `before` does not contain.
    pub(super) fn lose(
        &mut self,
        identity: &Identity,
        sid: &ParticipantSid,
        before: Timestamp,
        now: Timestamp,
    ) -> Applied {
        let entries = [&self.participants, &self.unlisted].into_iter().filter_map(|all| all.get(identity));
        let known = entries.into_iter().find(|entry| entry.is_active() && entry.sid.as_ref() == Some(sid));
        if known.is_none_or(|entry| entry.sid.as_ref() != Some(sid) || entry.changed_at >= before) {
            return UNCHANGED;
        }
        self.disconnect(identity, Some(sid), None, None, now)
    }

    /// Disconnects a session, or the current session if `sid` is `None`.
    pub(super) fn disconnect(
        &mut self,
        identity: &Identity,
        sid: Option<&ParticipantSid>,
        at: Option<Timestamp>,
        reason: Option<LeaveReason>,
        now: Timestamp,
    ) -> Applied {
        if self.stream.status.is_final() {
            return UNCHANGED;
        }
        if let Some(sid) = sid {
            self.ended_sessions.insert(sid.clone(), now);
        }
        if self.remove_unlisted(identity, sid) {
            return Ok((Effect::Changed, Vec::new()));
        }
        let denial = self.participants.get(identity).and_then(|entry| self.denial(entry));
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        let Some(entry) = self.participants.get_mut(identity) else { return UNCHANGED };
        let other_session = sid.is_some() && entry.sid.as_ref() != sid;
        if other_session || entry.state == ParticipantState::Disconnected {
            return UNCHANGED;
        }
        // A webhook about the departure may precede the change of the request that removed the participant.
        let pending = entry.removals.complete_pending(entry.sid.clone());
        let reason = reason.or(pending.as_ref().map(|_| LeaveReason::Removed)).or(denial);
        end_visit(&mut recorder, entry, &mut self.ended_sessions, at.unwrap_or(now).min(now));
        recorder.explain_departure(reason);
        if let Some(pending) = pending {
            recorder.attribute_to(pending.by);
        }
        Ok((Effect::Changed, recorder.drafts))
    }
}

/// Ends the visit of an active or joining participant and records it.
///
/// Only a participant that was connected gets a `participant_left`.
pub(super) fn end_visit(
    recorder: &mut Recorder<'_>,
    entry: &mut Participant,
    ended_sessions: &mut EndedSessions,
    at: Timestamp,
) {
    let (was_active, was_told) = (entry.is_active(), recorder.is_told(entry));
    entry.state = ParticipantState::Disconnected;
    entry.left_at = Some(at.max(entry.joined_at));
    entry.tracks = Tracks::default();
    entry.hand_raised_at = None;
    entry.changed_at = recorder.now;
    entry.expires_at = None;
    entry.last_visit = None;
    if !was_active {
        recorder.tell(EventKind::ParticipantUpdated, entry, was_told);
        return;
    }
    ended_sessions.record(recorder.stream.id, entry, recorder.now);
    if entry.counts() {
        recorder.tally.remove(entry.role);
        if recorder.tally.counts.total() == 0 {
            recorder.stream.empty_since = Some(recorder.now);
        }
    } else {
        recorder.stream.uncounted -= 1;
    }
    recorder.tell(EventKind::ParticipantLeft, entry, was_told);
}
