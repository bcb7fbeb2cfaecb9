//! Sessions and their tracks, as LiveKit reports them.

use super::{
    departures::end_visit,
    recorder::{Applied, Recorder, UNCHANGED},
    state::Aggregate,
};
use crate::domain::{
    Identity, LeaveReason, Participant, ParticipantSid, ParticipantState, Rejection, Role, Session,
    StreamStatus, Timestamp, Track, TrackSid, Tracks,
    change::{CLOCK_SKEW, Effect},
    event::EventKind,
};

impl Aggregate {
    /// Records a session that LiveKit reports.
    ///
    /// `listed` is set for a session of LiveKit's list. Entries written before it may be corrected, even if LiveKit's
    /// clocks make another session the newer one.
    ///
    /// # Errors
    /// [`Rejection::NotActive`] while the stream is being created, because its room's sid is not known yet.
    pub(super) fn connect(&mut self, session: Session, listed: Option<Timestamp>, now: Timestamp) -> Applied {
        if self.stream.status == StreamStatus::Creating {
            return Err(Rejection::NotActive { status: self.stream.status });
        }
        let its_room = self.stream.room_sid.as_ref() == Some(&session.room_sid);
        let ended = self
            .ended_sessions
            .ended_at(&session.sid)
            .is_some_and(|at| listed.is_none_or(|before| at >= before));
        if self.stream.status != StreamStatus::Active || !its_room || ended {
            return UNCHANGED;
        }
        if session.is_listed() {
            self.connect_listed(session, listed, now)
        } else {
            self.connect_unlisted(session, listed, now)
        }
    }

    fn connect_listed(&mut self, session: Session, listed: Option<Timestamp>, now: Timestamp) -> Applied {
        let session_at = session_time(&session, now);
        let known = self.participants.get(&session.identity);
        let same = known.is_some_and(|known| known.sid.as_ref() == Some(&session.sid));
        if same && known.is_some_and(Participant::is_active) {
            return self.update_session(session, listed, now);
        }
        let hidden = self.unlisted.get(&session.identity);
        let older =
            [known, hidden].into_iter().flatten().any(|other| is_older(&session, session_at, other, listed));
        if older || (same && listed.is_none()) {
            return UNCHANGED;
        }
        let was_hidden = self.unlisted.remove(&session.identity).is_some();
        let recorded_role = self.recorded_role(&session.identity);
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        let is_known = known.is_some();
        let entry = self.participants.entry(session.identity.clone());
        let entry = entry.or_insert_with(|| Participant::joining(session.identity.clone(), Role::Host, now));
        (entry.role, entry.role_recorded) = (recorded_role.unwrap_or(entry.role), recorded_role.is_some());
        if entry.is_active() {
            let pending = entry.removals.complete_pending(entry.sid.clone());
            end_visit(&mut recorder, entry, &mut self.ended_sessions, now);
            if let Some(removal) = pending {
                recorder.explain_departure(Some(LeaveReason::Removed));
                recorder.attribute_to(removal.by);
            }
        }
        let was_told = is_known && recorder.is_told(entry);
        self.ended_sessions.remove(&session.sid);
        recorder.stream.uncounted -= u32::from(was_hidden);
        entry.removals.before_token = session.removals_before_token(recorder.stream.id);
        begin_session(entry, session, session_at, now);
        if entry.counts() {
            recorder.tally.add(entry.role);
            recorder.stream.empty_since = None;
        } else {
            recorder.stream.uncounted += 1;
        }
        recorder.tell(EventKind::ParticipantJoined, entry, was_told);
        Ok((Effect::Changed, recorder.drafts))
    }

    /// Corrects the description of a session that is active already.
    fn update_session(&mut self, session: Session, listed: Option<Timestamp>, now: Timestamp) -> Applied {
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        let Some(entry) = self.participants.get_mut(&session.identity) else { return UNCHANGED };
        let (role, was_told) = (entry.role, recorder.is_told(entry));
        if !corrects(listed, entry) || !describe(entry, session) {
            return UNCHANGED;
        }
        entry.changed_at = now;
        if entry.counts() {
            recorder.tally.remove(role);
            recorder.tally.add(entry.role);
        }
        recorder.tell(EventKind::ParticipantUpdated, entry, was_told);
        Ok((Effect::Changed, recorder.drafts))
    }

    /// Records a session of a recorder or a hidden participant, without an event.
    ///
    /// If the same session was listed before, its visit ends.
    fn connect_unlisted(&mut self, session: Session, listed: Option<Timestamp>, now: Timestamp) -> Applied {
        let session_at = session_time(&session, now);
        let mut entry = Participant::joining(session.identity.clone(), Role::Host, now);
        if let Some(known) = self.unlisted.get(&session.identity) {
            let same = known.sid.as_ref() == Some(&session.sid);
            let mut described = known.clone();
            let is_corrected = same && corrects(listed, known) && describe(&mut described, session.clone());
            if (same && !is_corrected) || is_older(&session, session_at, known, listed) {
                return UNCHANGED;
            }
            if same {
                entry = known.clone();
            }
        }
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        let shown = self.participants.get_mut(&session.identity);
        if let Some(shown) =
            shown.filter(|shown| shown.is_active() && shown.sid.as_ref() == Some(&session.sid))
        {
            end_visit(&mut recorder, shown, &mut self.ended_sessions, now);
        }
        self.ended_sessions.remove(&session.sid);
        entry.hidden = session.hidden;
        begin_session(&mut entry, session, session_at, now);
        if self.unlisted.insert(entry.identity.clone(), entry).is_none() {
            recorder.stream.uncounted += 1;
        }
        Ok((Effect::Changed, recorder.drafts))
    }

    /// Records a track of an active session.
    pub(super) fn publish(
        &mut self,
        identity: &Identity,
        sid: &ParticipantSid,
        track: Track,
        by: Option<Identity>,
        now: Timestamp,
    ) -> Applied {
        if self.ended_tracks.contains(&track.sid) {
            return UNCHANGED;
        }
        self.set_tracks(identity, sid, by, now, |tracks| tracks.with(track))
    }

    /// Removes a track of an active session. A later report of its publication changes nothing.
    pub(super) fn unpublish(
        &mut self,
        identity: &Identity,
        sid: &ParticipantSid,
        track: TrackSid,
        now: Timestamp,
    ) -> Applied {
        let applied = self.set_tracks(identity, sid, None, now, |tracks| tracks.without(&track));
        self.ended_tracks.insert(track);
        applied
    }

    fn set_tracks(
        &mut self,
        identity: &Identity,
        sid: &ParticipantSid,
        by: Option<Identity>,
        now: Timestamp,
        change: impl FnOnce(&Tracks) -> Tracks,
    ) -> Applied {
        let Some(entry) = self.participants.get_mut(identity) else { return UNCHANGED };
        if !entry.is_active() || entry.sid.as_ref() != Some(sid) {
            return UNCHANGED;
        }
        let tracks = change(&entry.tracks);
        if tracks == entry.tracks {
            return UNCHANGED;
        }
        (entry.tracks, entry.changed_at) = (tracks, now);
        let entry = entry.clone();
        self.recorded(now, |recorder| {
            let is_told = recorder.is_told(&entry);
            recorder.tell(EventKind::ParticipantUpdated, &entry, is_told);
            recorder.attribute_to(by);
        })
    }
}

/// Returns LiveKit's time of a session, limited to [`CLOCK_SKEW`] after the store's time.
fn session_time(session: &Session, now: Timestamp) -> Timestamp {
    session.joined_at.unwrap_or(now).min(now.plus(CLOCK_SKEW))
}

/// Reports whether a list may correct an entry: the entry was written before `listed`.
fn corrects(listed: Option<Timestamp>, entry: &Participant) -> bool {
    listed.is_some_and(|before| entry.changed_at < before)
}

/// Reports whether a session is older than another session of the identity and no list corrects that.
fn is_older(session: &Session, at: Timestamp, other: &Participant, listed: Option<Timestamp>) -> bool {
    let newer = other.session_at.is_some_and(|newest| at < newest);
    let another = other.is_listed() || other.sid.as_ref() != Some(&session.sid);
    another && newer && !corrects(listed, other)
}

fn begin_session(entry: &mut Participant, session: Session, at: Timestamp, now: Timestamp) {
    entry.kind = session.kind;
    entry.state = ParticipantState::Active;
    entry.sid = Some(session.sid.clone());
    (entry.joined_at, entry.session_at) = (at.min(now), Some(at));
    (entry.left_at, entry.expires_at, entry.last_visit) = (None, None, None);
    entry.changed_at = now;
    describe(entry, session);
}

/// Applies LiveKit's description of a participant; returns true if it differs from the entry.
fn describe(entry: &mut Participant, session: Session) -> bool {
    let description = |entry: &Participant| {
        let Participant { name, role, metadata, attributes, tracks, .. } = entry.clone();
        (name, role, metadata, attributes, tracks)
    };
    let before = description(entry);
    // An absent text replaces the old one, because LiveKit does not distinguish absent and empty texts.
    entry.name = session.name;
    if !entry.role_recorded {
        entry.set_role(session.role.unwrap_or(entry.role));
    }
    entry.metadata = session.metadata.unwrap_or_default();
    entry.attributes = session.attributes;
    entry.tracks = session.tracks;
    description(entry) != before
}
