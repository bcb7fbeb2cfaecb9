//! Who is there: tokens, sessions, tracks.

use std::collections::BTreeMap;

use super::{Aggregate, Applied, Recorder, UNCHANGED};
use crate::domain::{
    Change, Identity, Participant, ParticipantSid, ParticipantState, Rejection, Role, Session, StreamStatus,
    Timestamp, Tracks,
    change::{CLOCK_SKEW, CLOSE_BATCH, Effect},
    event::EventKind,
};

impl Aggregate {
    pub(super) fn issue_token(&mut self, change: Change, now: Timestamp) -> Applied {
        let Change::IssueToken { identity, name, role, metadata, attributes, joining_ttl } = change else {
            return UNCHANGED;
        };
        if self.stream.status != StreamStatus::Active {
            return Err(Rejection::NotActive { status: self.stream.status });
        }
        let known = self.participants.get(&identity);
        if known.is_some_and(Participant::is_active) {
            return UNCHANGED;
        }
        if let Some(max) = self.stream.max_participants.filter(|max| self.stream.participant_count >= *max) {
            return Err(Rejection::Full { max });
        }
        let mut entry = Participant::expected(identity.clone(), role, now);
        if let Some(known) = known {
            entry.name.clone_from(&known.name);
            entry.metadata = known.metadata.clone();
            entry.attributes = known.attributes.clone();
            entry.session_at = known.session_at;
            entry.last_visit = known.left_at.map(|left| (known.joined_at, left)).or(known.last_visit);
        }
        entry.name = name.or(entry.name);
        entry.metadata = metadata.map_or(entry.metadata, Into::into);
        entry.attributes = attributes.unwrap_or(entry.attributes);
        entry.expires_at = Some(now.plus(joining_ttl));
        self.participants.insert(identity, entry.clone());
        self.recorded(now, |recorder| recorder.record(EventKind::ParticipantUpdated, Some(&entry), None))
    }

    /// Records a session of LiveKit's. `listed` is set for a session of its list: what was recorded before that may be
    /// corrected, whatever LiveKit's clocks say about which of two sessions is the newer one.
    ///
    /// # Errors
    /// [`Rejection::NotActive`] while the stream is being created, because its room's sid is not known yet.
    pub(super) fn connect(&mut self, session: Session, listed: Option<Timestamp>, now: Timestamp) -> Applied {
        if self.stream.status == StreamStatus::Creating {
            return Err(Rejection::NotActive { status: self.stream.status });
        }
        let its_room = self.stream.room_sid.as_ref() == Some(&session.room_sid);
        let ended =
            self.ended_sessions.get(&session.sid).is_some_and(|at| listed.is_none_or(|before| *at >= before));
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
        let mut recorder = Recorder { stream: &mut self.stream, drafts: Vec::new(), now };
        let entry = self.participants.entry(session.identity.clone());
        let entry = entry.or_insert_with(|| Participant::expected(session.identity.clone(), Role::Host, now));
        if entry.is_active() {
            end_visit(&mut recorder, entry, &mut self.ended_sessions, now);
        }
        self.ended_sessions.remove(&session.sid);
        recorder.stream.uncounted -= u32::from(was_hidden);
        begin_session(entry, session, session_at, now);
        if entry.counts() {
            recorder.stream.participant_count += 1;
            recorder.stream.peak_participant_count =
                recorder.stream.peak_participant_count.max(recorder.stream.participant_count);
            recorder.stream.empty_since = None;
        } else {
            recorder.stream.uncounted += 1;
        }
        recorder.record(EventKind::ParticipantJoined, Some(entry), None);
        Ok((Effect::Changed, recorder.drafts))
    }

    /// A session that is recorded as active already: a list may correct what is known of it.
    fn update_session(&mut self, session: Session, listed: Option<Timestamp>, now: Timestamp) -> Applied {
        let mut recorder = Recorder { stream: &mut self.stream, drafts: Vec::new(), now };
        let Some(entry) = self.participants.get_mut(&session.identity) else { return UNCHANGED };
        if !corrects(listed, entry) || !describe(entry, session) {
            return UNCHANGED;
        }
        entry.changed_at = now;
        recorder.record(EventKind::ParticipantUpdated, Some(entry), None);
        Ok((Effect::Changed, recorder.drafts))
    }

    /// Records a session of a recorder or a hidden participant, without an event. Should the same session have been
    /// listed before, its visit ends.
    fn connect_unlisted(&mut self, session: Session, listed: Option<Timestamp>, now: Timestamp) -> Applied {
        let session_at = session_time(&session, now);
        let mut entry = Participant::expected(session.identity.clone(), Role::Host, now);
        if let Some(known) = self.unlisted.get(&session.identity) {
            let same = known.sid.as_ref() == Some(&session.sid);
            let mut described = known.clone();
            let told = same && corrects(listed, known) && describe(&mut described, session.clone());
            if (same && !told) || is_older(&session, session_at, known, listed) {
                return UNCHANGED;
            }
            if same {
                entry = known.clone();
            }
        }
        let mut recorder = Recorder { stream: &mut self.stream, drafts: Vec::new(), now };
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

    /// Forgets an unlisted session; says whether there was one.
    fn forget_unlisted(&mut self, identity: &Identity, sid: Option<&ParticipantSid>) -> bool {
        let known = self.unlisted.get(identity);
        let found = known.is_some_and(|known| sid.is_some() && known.sid.as_ref() == sid);
        if found {
            self.unlisted.remove(identity);
            self.stream.uncounted -= 1;
        }
        found
    }

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
        self.disconnect(identity, Some(sid), None, now)
    }

    pub(super) fn set_tracks(
        &mut self,
        identity: &Identity,
        sid: &ParticipantSid,
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
        self.recorded(now, |recorder| recorder.record(EventKind::ParticipantUpdated, Some(&entry), None))
    }

    pub(super) fn disconnect(
        &mut self,
        identity: &Identity,
        sid: Option<&ParticipantSid>,
        at: Option<Timestamp>,
        now: Timestamp,
    ) -> Applied {
        if self.stream.status.is_final() {
            return UNCHANGED;
        }
        if let Some(sid) = sid {
            self.ended_sessions.insert(sid.clone(), now);
        }
        if self.forget_unlisted(identity, sid) {
            return Ok((Effect::Changed, Vec::new()));
        }
        let mut recorder = Recorder { stream: &mut self.stream, drafts: Vec::new(), now };
        let Some(entry) = self.participants.get_mut(identity) else { return UNCHANGED };
        let other_session = sid.is_some() && entry.sid.as_ref() != sid;
        if other_session || entry.state == ParticipantState::Disconnected {
            return UNCHANGED;
        }
        end_visit(&mut recorder, entry, &mut self.ended_sessions, at.unwrap_or(now).min(now));
        Ok((Effect::Changed, recorder.drafts))
    }

    pub(super) fn expire_joining(&mut self, now: Timestamp) -> Applied {
        let due = |entry: &&Participant| entry.expires_at.is_some_and(|at| at <= now);
        let mut expired: Vec<_> = self.participants.values().filter(due).cloned().collect();
        expired.sort_by(|a, b| (a.expires_at, &a.identity).cmp(&(b.expires_at, &b.identity)));
        let more = expired.len() > CLOSE_BATCH;
        let mut recorder = Recorder { stream: &mut self.stream, drafts: Vec::new(), now };
        for mut entry in expired.into_iter().take(CLOSE_BATCH) {
            entry.state = ParticipantState::Disconnected;
            entry.expires_at = None;
            match entry.last_visit.take() {
                Some((joined, left)) => {
                    (entry.joined_at, entry.left_at, entry.changed_at) = (joined, Some(left), now);
                    self.participants.insert(entry.identity.clone(), entry.clone());
                }
                None => {
                    entry.left_at = Some(now);
                    self.participants.remove(&entry.identity);
                }
            }
            recorder.record(EventKind::ParticipantUpdated, Some(&entry), None);
        }
        let drafts = recorder.drafts;
        let effect = match (drafts.is_empty(), more) {
            (true, _) => Effect::Unchanged,
            (false, true) => Effect::Partial,
            (false, false) => Effect::Changed,
        };
        Ok((effect, drafts))
    }
}

/// LiveKit's time of a session, which may be ahead of the store's by [`CLOCK_SKEW`] at most.
fn session_time(session: &Session, now: Timestamp) -> Timestamp {
    session.joined_at.unwrap_or(now).min(now.plus(CLOCK_SKEW))
}

/// Whether a list that decides about everything before `listed` corrects an entry.
fn corrects(listed: Option<Timestamp>, entry: &Participant) -> bool {
    listed.is_some_and(|before| entry.changed_at < before)
}

/// Whether a session is older than another one of the same identity, and no list says otherwise.
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

/// Takes over what LiveKit says about a participant; says whether that is anything new.
fn describe(entry: &mut Participant, session: Session) -> bool {
    let told = |entry: &Participant| {
        let Participant { name, role, metadata, attributes, tracks, .. } = entry.clone();
        (name, role, metadata, attributes, tracks)
    };
    let before = told(entry);
    // An absent text is an empty one: LiveKit writes both alike.
    entry.name = session.name;
    entry.role = session.role.unwrap_or(entry.role);
    entry.metadata = session.metadata.unwrap_or_default();
    entry.attributes = session.attributes;
    entry.tracks = session.tracks;
    told(entry) != before
}

/// Ends the visit of somebody who is active or joining, and records it: `participant_left` is said only of those who
/// really were connected.
pub(super) fn end_visit(
    recorder: &mut Recorder<'_>,
    entry: &mut Participant,
    ended_sessions: &mut BTreeMap<ParticipantSid, Timestamp>,
    at: Timestamp,
) {
    let was_active = entry.is_active();
    entry.state = ParticipantState::Disconnected;
    entry.left_at = Some(at.max(entry.joined_at));
    entry.tracks = Tracks::default();
    entry.changed_at = recorder.now;
    entry.expires_at = None;
    entry.last_visit = None;
    if !was_active {
        recorder.record(EventKind::ParticipantUpdated, Some(entry), None);
        return;
    }
    ended_sessions.extend(entry.sid.clone().map(|sid| (sid, recorder.now)));
    if entry.counts() {
        recorder.stream.participant_count -= 1;
        if recorder.stream.participant_count == 0 {
            recorder.stream.empty_since = Some(recorder.now);
        }
    } else {
        recorder.stream.uncounted -= 1;
    }
    recorder.record(EventKind::ParticipantLeft, Some(entry), None);
}
