//! The rules of [`Change`] in their plainest form: a stream, its participants, and what each change does to them.
//!
//! The memory store runs this code. The Redis store runs the same rules as Lua scripts, and one test makes random
//! changes on both and compares.

use std::collections::BTreeMap;

use super::{
    Change, Identity, Participant, ParticipantState, Rejection, Role, Session, StopReason, Stream,
    StreamStatus, Timestamp, Tracks,
    change::{CLOCK_SKEW, CLOSE_BATCH, Effect},
    event::{Draft, EventKind},
    stream::{CLAIM, NewStream},
};

/// A stream with everybody in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The stream.
    pub stream: Stream,
    /// Everybody who ever was expected here and did not expire.
    pub participants: BTreeMap<Identity, Participant>,
    /// LiveKit participant sids that have ended. A late `participant_joined` of one of them brings nobody back.
    /// So do tracks. The value is when.
    gone: BTreeMap<String, Timestamp>,
}

/// The drafts of one change in the making.
struct Recorder<'a> {
    stream: &'a mut Stream,
    drafts: Vec<Draft>,
    now: Timestamp,
}

impl Recorder<'_> {
    fn record(&mut self, kind: EventKind, participant: Option<&Participant>, previous: Option<StreamStatus>) {
        self.stream.version += 1;
        self.stream.updated_at = self.now;
        let status_change = previous.is_some();
        self.drafts.push(Draft {
            kind,
            stream: self.stream.clone(),
            participant: participant.cloned(),
            previous_status: previous,
            reason: self.stream.reason.clone().filter(|_| status_change),
        });
    }

    fn move_to(&mut self, status: StreamStatus, kind: EventKind) {
        let previous = self.stream.status;
        self.stream.status = status;
        self.record(kind, None, Some(previous));
    }
}

type Applied = Result<(Effect, Vec<Draft>), Rejection>;

const UNCHANGED: Applied = Ok((Effect::Unchanged, Vec::new()));

impl Aggregate {
    /// A new stream and its first event.
    pub fn create(new: NewStream, now: Timestamp) -> (Self, Draft) {
        let mut stream = Stream::begun(new, now);
        stream.version = 1;
        let draft = Draft {
            kind: EventKind::StreamCreated,
            stream: stream.clone(),
            participant: None,
            previous_status: None,
            reason: None,
        };
        (Self { stream, participants: BTreeMap::new(), gone: BTreeMap::new() }, draft)
    }

    /// Makes one change at the time `now`, or says why not.
    ///
    /// # Errors
    /// A [`Rejection`]; nothing has changed then.
    pub fn apply(&mut self, change: Change, now: Timestamp) -> Applied {
        match change {
            Change::Activate { room_sid } => self.activate(room_sid, now),
            Change::BeginStop { reason, room_sid } => self.begin_stop(reason, room_sid.as_deref(), now),
            Change::Claim => Ok((self.claim(now), Vec::new())),
            Change::Release => Ok((self.release(), Vec::new())),
            Change::Close => self.close(StreamStatus::Stopped, None, now),
            Change::Fail { reason } => self.close(StreamStatus::Error, Some(reason), now),
            change @ Change::IssueToken { .. } => self.issue_token(change, now),
            Change::Connect(session) => self.connect(session, None, now),
            Change::Observe { session, before } => self.connect(session, Some(before), now),
            Change::Lose { identity, sid, before } => self.lose(&identity, &sid, before, now),
            Change::Publish { identity, sid, track } => {
                if self.gone.contains_key(&track.sid) {
                    return UNCHANGED;
                }
                self.set_tracks(&identity, &sid, now, |tracks| tracks.with(track))
            }
            Change::Unpublish { identity, sid, track } => {
                self.gone.insert(track.clone(), now);
                self.set_tracks(&identity, &sid, now, |tracks| tracks.without(&track))
            }
            Change::Disconnect { identity, sid, at } => self.disconnect(&identity, sid.as_deref(), at, now),
            Change::ExpireJoining => self.expire_joining(now),
            Change::SetMetadata { expected, metadata } => {
                if !matches!(self.stream.status, StreamStatus::Creating | StreamStatus::Active) {
                    return Err(Rejection::NotActive { status: self.stream.status });
                }
                if self.stream.metadata != expected {
                    return Err(Rejection::MetadataChanged);
                }
                if self.stream.metadata == metadata {
                    return UNCHANGED;
                }
                self.stream.metadata = metadata;
                self.recorded(now, |recorder| recorder.record(EventKind::StreamUpdated, None, None))
            }
        }
    }

    /// Participants in list order.
    pub fn listed(&self) -> Vec<&Participant> {
        let mut all: Vec<_> = self.participants.values().collect();
        all.sort_by_cached_key(|participant| participant.list_key());
        all
    }

    fn recorder(&mut self, now: Timestamp) -> Recorder<'_> {
        Recorder { stream: &mut self.stream, drafts: Vec::new(), now }
    }

    fn recorded(&mut self, now: Timestamp, record: impl FnOnce(&mut Recorder<'_>)) -> Applied {
        let mut recorder = self.recorder(now);
        record(&mut recorder);
        Ok((Effect::Changed, recorder.drafts))
    }

    fn refused(&self, to: StreamStatus) -> Applied {
        Err(Rejection::InvalidTransition { from: self.stream.status, to })
    }

    fn activate(&mut self, room_sid: String, now: Timestamp) -> Applied {
        if self.stream.status == StreamStatus::Active && self.stream.room_sid.as_deref() == Some(&room_sid) {
            return UNCHANGED;
        }
        if !self.stream.status.may_become(StreamStatus::Active) {
            return self.refused(StreamStatus::Active);
        }
        self.stream.claimed_until = None;
        self.stream.room_sid = Some(room_sid);
        self.stream.started_at = Some(now);
        if self.stream.participant_count == 0 {
            self.stream.empty_since = Some(now);
        }
        self.recorded(now, |recorder| recorder.move_to(StreamStatus::Active, EventKind::StreamUpdated))
    }

    fn begin_stop(&mut self, reason: StopReason, room_sid: Option<&str>, now: Timestamp) -> Applied {
        let stream = &mut self.stream;
        let other_room = room_sid.is_some() && stream.room_sid.as_deref() != room_sid;
        let not_idle = reason == StopReason::Idle && !stream.is_idle(now);
        if matches!(stream.status, StreamStatus::Stopping | StreamStatus::Stopped) || other_room || not_idle {
            return UNCHANGED;
        }
        if !stream.status.may_become(StreamStatus::Stopping) {
            return self.refused(StreamStatus::Stopping);
        }
        stream.reason = Some(reason.as_str().to_owned());
        stream.claimed_until = Some(now.plus(CLAIM));
        self.recorded(now, |recorder| recorder.move_to(StreamStatus::Stopping, EventKind::StreamUpdated))
    }

    fn claim(&mut self, now: Timestamp) -> Effect {
        let stream = &mut self.stream;
        if !stream.is_under_way() || stream.claimed_until.is_some_and(|until| until > now) {
            return Effect::Unchanged;
        }
        stream.claimed_until = Some(now.plus(CLAIM));
        Effect::Changed
    }

    fn release(&mut self) -> Effect {
        if self.stream.is_under_way() && self.stream.claimed_until.take().is_some() {
            Effect::Changed
        } else {
            Effect::Unchanged
        }
    }

    fn close(&mut self, status: StreamStatus, reason: Option<String>, now: Timestamp) -> Applied {
        if self.stream.status == status {
            return UNCHANGED;
        }
        if !self.stream.status.may_become(status) {
            return self.refused(status);
        }
        let mut recorder = Recorder { stream: &mut self.stream, drafts: Vec::new(), now };
        let everybody = self.participants.values_mut();
        let mut present: Vec<_> =
            everybody.filter(|participant| participant.state != ParticipantState::Disconnected).collect();
        // The active by identity (they have no expiry), then the joining by the end of their wait.
        present.sort_by(|a, b| (a.expires_at, &a.identity).cmp(&(b.expires_at, &b.identity)));
        let more = present.len() > CLOSE_BATCH;
        for participant in present.into_iter().take(CLOSE_BATCH) {
            end_visit(&mut recorder, participant, &mut self.gone, now);
        }
        if more {
            return Ok((Effect::Partial, recorder.drafts));
        }
        recorder.stream.stopped_at = Some(now);
        recorder.stream.empty_since = None;
        recorder.stream.claimed_until = None;
        recorder.stream.reason = reason.or(recorder.stream.reason.take());
        let kind =
            if status == StreamStatus::Stopped { EventKind::StreamStopped } else { EventKind::StreamUpdated };
        recorder.move_to(status, kind);
        Ok((Effect::Changed, recorder.drafts))
    }

    fn issue_token(&mut self, change: Change, now: Timestamp) -> Applied {
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
    fn connect(&mut self, session: Session, listed: Option<Timestamp>, now: Timestamp) -> Applied {
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
        let older = entry.session_at.is_some_and(|newest| session_at < newest);
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

    fn lose(&mut self, identity: &Identity, sid: &str, before: Timestamp, now: Timestamp) -> Applied {
        let known = self.participants.get(identity).filter(|entry| entry.is_active());
        if known.is_none_or(|entry| entry.sid.as_deref() != Some(sid) || entry.changed_at >= before) {
            return UNCHANGED;
        }
        self.disconnect(identity, Some(sid), None, now)
    }

    fn set_tracks(
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

    fn disconnect(
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

    fn expire_joining(&mut self, now: Timestamp) -> Applied {
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
fn end_visit(
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
