//! Who is there: tokens, sessions, tracks.

use std::collections::BTreeMap;

use super::{Aggregate, Applied, Recorder, UNCHANGED};
use crate::domain::{
    Change, Identity, Participant, ParticipantState, Rejection, Role, Session, StreamStatus, Timestamp,
    Tracks,
    change::{CLOCK_SKEW, CLOSE_BATCH, Effect},
    event::EventKind,
};

impl Aggregate {
    pub(super) fn issue_token(&mut self, change: Change, now: Timestamp) -> Applied {
        let Change::IssueToken { identity, name, role, metadata, joining_ttl } = change else {
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
            entry.session_at = known.session_at;
            entry.last_visit = known.left_at.map(|left| (known.joined_at, left)).or(known.last_visit);
        }
        entry.name = name.or(entry.name);
        entry.metadata = metadata.unwrap_or(entry.metadata);
        entry.expires_at = Some(now.plus(joining_ttl));
        self.participants.insert(identity, entry.clone());
        self.recorded(now, |recorder| recorder.record(EventKind::ParticipantUpdated, Some(&entry), None))
    }

    /// `listed` is set for a session of LiveKit's list: what was recorded before that may be corrected.
    pub(super) fn connect(&mut self, session: Session, listed: Option<Timestamp>, now: Timestamp) -> Applied {
        let its_room = self.stream.room_sid.as_ref() == Some(&session.room_sid);
        let corrects = |recorded: &Timestamp| listed.is_some_and(|before| *recorded < before);
        let ended = self.gone.get(&session.sid).is_some_and(|at| !corrects(at));
        if self.stream.status != StreamStatus::Active || !its_room || ended {
            return UNCHANGED;
        }
        let session_at = session.joined_at.unwrap_or(now).min(now.plus(CLOCK_SKEW));
        let mut recorder = Recorder { stream: &mut self.stream, drafts: Vec::new(), now };
        let entry = self.participants.entry(session.identity.clone());
        let entry = entry.or_insert_with(|| Participant::expected(session.identity.clone(), Role::Host, now));
        let same = entry.sid.as_deref() == Some(&session.sid);
        if same && entry.is_active() {
            if !corrects(&entry.changed_at) || !describe(entry, session) {
                return UNCHANGED;
            }
            entry.changed_at = now;
            recorder.record(EventKind::ParticipantUpdated, Some(entry), None);
            return Ok((Effect::Changed, recorder.drafts));
        }
        // What LiveKit lists is so, whatever its clocks say about which session is the newer one.
        let older =
            entry.session_at.is_some_and(|newest| session_at < newest) && !corrects(&entry.changed_at);
        if older || (same && listed.is_none()) {
            return UNCHANGED;
        }
        if entry.is_active() {
            end_visit(&mut recorder, entry, &mut self.gone, now);
        }
        self.gone.remove(&session.sid);
        entry.state = ParticipantState::Active;
        entry.joined_at = session_at.min(now);
        entry.left_at = None;
        entry.sid = Some(session.sid.clone());
        entry.session_at = Some(session_at);
        entry.changed_at = now;
        entry.expires_at = None;
        entry.last_visit = None;
        describe(entry, session);
        recorder.stream.participant_count += 1;
        recorder.stream.peak_participant_count =
            recorder.stream.peak_participant_count.max(recorder.stream.participant_count);
        recorder.stream.empty_since = None;
        recorder.record(EventKind::ParticipantJoined, Some(entry), None);
        Ok((Effect::Changed, recorder.drafts))
    }

    pub(super) fn lose(
        &mut self,
        identity: &Identity,
        sid: &str,
        before: Timestamp,
        now: Timestamp,
    ) -> Applied {
        let known = self.participants.get(identity).filter(|entry| entry.is_active());
        if known.is_none_or(|entry| entry.sid.as_deref() != Some(sid) || entry.changed_at >= before) {
            return UNCHANGED;
        }
        self.disconnect(identity, Some(sid), None, now)
    }

    pub(super) fn set_tracks(
        &mut self,
        identity: &Identity,
        sid: &str,
        now: Timestamp,
        change: impl FnOnce(&Tracks) -> Tracks,
    ) -> Applied {
        let Some(entry) = self.participants.get_mut(identity) else { return UNCHANGED };
        if !entry.is_active() || entry.sid.as_deref() != Some(sid) {
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
        sid: Option<&str>,
        at: Option<Timestamp>,
        now: Timestamp,
    ) -> Applied {
        if self.stream.status.is_final() {
            return UNCHANGED;
        }
        if let Some(sid) = sid {
            self.gone.insert(sid.to_owned(), now);
        }
        let mut recorder = Recorder { stream: &mut self.stream, drafts: Vec::new(), now };
        let Some(entry) = self.participants.get_mut(identity) else { return UNCHANGED };
        let other_session = sid.is_some() && entry.sid.as_deref() != sid;
        if other_session || entry.state == ParticipantState::Disconnected {
            return UNCHANGED;
        }
        end_visit(&mut recorder, entry, &mut self.gone, at.unwrap_or(now).min(now));
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

/// Takes over what LiveKit says about somebody; says whether that is anything new.
fn describe(entry: &mut Participant, session: Session) -> bool {
    let told =
        |entry: &Participant| (entry.name.clone(), entry.role, entry.metadata.clone(), entry.tracks.clone());
    let before = told(entry);
    entry.name = session.name.or(entry.name.take());
    entry.role = session.role.unwrap_or(entry.role);
    entry.metadata = session.metadata.unwrap_or_else(|| entry.metadata.clone());
    entry.tracks = session.tracks;
    told(entry) != before
}

/// Ends the visit of somebody who is active or joining, and records it: `participant_left` is said only of those who
/// really were connected.
pub(super) fn end_visit(
    recorder: &mut Recorder<'_>,
    entry: &mut Participant,
    gone: &mut BTreeMap<String, Timestamp>,
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
    gone.extend(entry.sid.clone().map(|sid| (sid, recorder.now)));
    recorder.stream.participant_count -= 1;
    if recorder.stream.participant_count == 0 {
        recorder.stream.empty_since = Some(recorder.now);
    }
    recorder.record(EventKind::ParticipantLeft, Some(entry), None);
}
