//! The rules of [`Change`] in their plainest form: a stream, its participants, and what each change does to them.
//!
//! The memory store runs this code. The Redis store runs the same rules as Lua scripts, and one test makes random
//! changes on both and compares.

mod presence;

use std::collections::{BTreeMap, BTreeSet};

use self::presence::end_visit;
use super::{
    Change, Identity, Participant, ParticipantSid, ParticipantState, Rejection, RoomSid, StopReason, Stream,
    StreamStatus, Timestamp, TrackSid,
    change::{CLOSE_BATCH, Effect},
    event::{Draft, EventKind},
    stream::{NewStream, OPERATION_LOCK},
};

/// A stream with everybody in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The stream.
    pub stream: Stream,
    /// Everybody who ever was expected here and did not expire.
    pub participants: BTreeMap<Identity, Participant>,
    /// Connected participants that are in no list and have no events: recorders and hidden ones.
    pub unlisted: BTreeMap<Identity, Participant>,
    /// Ended sessions with the time of their end. A late `participant_joined` of one of them changes nothing.
    ended_sessions: BTreeMap<ParticipantSid, Timestamp>,
    /// Tracks that are no longer published. A late `track_published` of one of them changes nothing.
    ended_tracks: BTreeSet<TrackSid>,
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
        (
            Self {
                stream,
                participants: BTreeMap::new(),
                unlisted: BTreeMap::new(),
                ended_sessions: BTreeMap::new(),
                ended_tracks: BTreeSet::new(),
            },
            draft,
        )
    }

    /// Makes one change at the time `now`, or says why not.
    ///
    /// # Errors
    /// A [`Rejection`]; nothing has changed then.
    pub fn apply(&mut self, change: Change, now: Timestamp) -> Applied {
        match change {
            Change::Activate { room_sid } => self.activate(room_sid, now),
            Change::BeginStop { reason, room_sid } => self.begin_stop(reason, room_sid.as_ref(), now),
            Change::AcquireLock => Ok((self.acquire_lock(now), Vec::new())),
            Change::ReleaseLock { until } => Ok((self.release_lock(until), Vec::new())),
            Change::RenewLock { until } => Ok((self.renew_lock(until, now), Vec::new())),
            Change::Close => self.close(StreamStatus::Stopped, None, now),
            Change::Fail { reason } => self.close(StreamStatus::Error, Some(reason), now),
            change @ Change::IssueToken { .. } => self.issue_token(change, now),
            Change::Connect(session) => self.connect(session, None, now),
            Change::Observe { session, before } => self.connect(session, Some(before), now),
            Change::Lose { identity, sid, before } => self.lose(&identity, &sid, before, now),
            Change::Publish { .. } | Change::Unpublish { .. } if self.stream.status.is_final() => UNCHANGED,
            Change::Publish { identity, sid, track } => {
                if self.ended_tracks.contains(&track.sid) {
                    return UNCHANGED;
                }
                self.set_tracks(&identity, &sid, now, |tracks| tracks.with(track))
            }
            Change::Unpublish { identity, sid, track } => {
                self.ended_tracks.insert(track.clone());
                self.set_tracks(&identity, &sid, now, |tracks| tracks.without(&track))
            }
            Change::Disconnect { identity, sid, at } => self.disconnect(&identity, sid.as_ref(), at, now),
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

    /// Participants in list order, the unlisted ones last.
    pub fn ordered(&self) -> Vec<&Participant> {
        let mut all: Vec<_> = self.participants.values().chain(self.unlisted.values()).collect();
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

    fn activate(&mut self, room_sid: RoomSid, now: Timestamp) -> Applied {
        if self.stream.status == StreamStatus::Active && self.stream.room_sid.as_ref() == Some(&room_sid) {
            return UNCHANGED;
        }
        if !self.stream.status.may_become(StreamStatus::Active) {
            return self.refused(StreamStatus::Active);
        }
        self.stream.lock_expires_at = None;
        self.stream.room_sid = Some(room_sid);
        self.stream.started_at = Some(now);
        if self.stream.participant_count == 0 {
            self.stream.empty_since = Some(now);
        }
        self.recorded(now, |recorder| recorder.move_to(StreamStatus::Active, EventKind::StreamUpdated))
    }

    fn begin_stop(&mut self, reason: StopReason, room_sid: Option<&RoomSid>, now: Timestamp) -> Applied {
        let stream = &mut self.stream;
        let other_room = room_sid.is_some() && stream.room_sid.as_ref() != room_sid;
        let not_idle = reason == StopReason::Idle && !stream.is_idle(now);
        if stream.status == StreamStatus::Stopping || stream.status.is_final() || other_room || not_idle {
            return UNCHANGED;
        }
        if !stream.status.may_become(StreamStatus::Stopping) {
            return self.refused(StreamStatus::Stopping);
        }
        stream.reason = Some(reason.as_str().to_owned());
        stream.lock_expires_at = Some(now.plus(OPERATION_LOCK));
        self.recorded(now, |recorder| recorder.move_to(StreamStatus::Stopping, EventKind::StreamUpdated))
    }

    fn acquire_lock(&mut self, now: Timestamp) -> Effect {
        let stream = &mut self.stream;
        if !stream.is_under_way() || stream.lock_expires_at.is_some_and(|until| until > now) {
            return Effect::Unchanged;
        }
        stream.lock_expires_at = Some(now.plus(OPERATION_LOCK));
        Effect::Changed
    }

    fn release_lock(&mut self, until: Timestamp) -> Effect {
        let held = self.holds_lock(until);
        if held {
            self.stream.lock_expires_at = None;
        }
        if held { Effect::Changed } else { Effect::Unchanged }
    }

    /// Whether the operation lock still is the one that ended at `known` when its holder last heard of it. A renewal
    /// whose answer was lost moved the end while the lock was held; another holder's lock ends later than that.
    fn holds_lock(&self, known: Timestamp) -> bool {
        let Some(until) = self.stream.lock_expires_at else { return false };
        self.stream.is_under_way() && until >= known && until < known.plus(OPERATION_LOCK)
    }

    fn renew_lock(&mut self, until: Timestamp, now: Timestamp) -> Effect {
        if !self.holds_lock(until) {
            return Effect::Unchanged;
        }
        self.stream.lock_expires_at = Some(now.plus(OPERATION_LOCK));
        Effect::Changed
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
            end_visit(&mut recorder, participant, &mut self.ended_sessions, now);
        }
        if more {
            return Ok((Effect::Partial, recorder.drafts));
        }
        self.unlisted.clear();
        recorder.stream.uncounted = 0;
        recorder.stream.stopped_at = Some(now);
        recorder.stream.empty_since = None;
        recorder.stream.lock_expires_at = None;
        recorder.stream.reason = reason.or(recorder.stream.reason.take());
        let kind =
            if status == StreamStatus::Stopped { EventKind::StreamStopped } else { EventKind::StreamUpdated };
        recorder.move_to(status, kind);
        Ok((Effect::Changed, recorder.drafts))
    }
}
