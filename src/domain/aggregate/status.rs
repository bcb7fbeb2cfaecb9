//! Transitions of the status, and the metadata.

use super::{
    departures::end_visit,
    recorder::{Applied, Recorder, UNCHANGED},
    state::Aggregate,
};
use crate::domain::{
    Metadata, ParticipantState, Rejection, RoomSid, StopReason, StreamStatus, Timestamp,
    change::{CLOSE_BATCH, Effect},
    event::EventKind,
    stream::OPERATION_LOCK,
};

impl Aggregate {
    fn invalid_transition(&self, to: StreamStatus) -> Applied {
        Err(Rejection::InvalidTransition { from: self.stream.status, to })
    }

    /// Records that the room exists.
    pub(super) fn activate(&mut self, room_sid: RoomSid, now: Timestamp) -> Applied {
        if self.stream.status == StreamStatus::Active && self.stream.room_sid.as_ref() == Some(&room_sid) {
            return UNCHANGED;
        }
        if !self.stream.status.may_become(StreamStatus::Active) {
            return self.invalid_transition(StreamStatus::Active);
        }
        self.stream.lock_expires_at = None;
        self.stream.room_sid = Some(room_sid);
        self.stream.started_at = Some(now);
        self.stream.live_at = (!self.stream.backstage).then_some(now);
        if self.tally.counts.total() == 0 {
            self.stream.empty_since = Some(now);
        }
        self.recorded(now, |recorder| recorder.transition(StreamStatus::Active, EventKind::StreamUpdated))
    }

    /// Records that the stop has begun, and acquires the operation lock for it.
    pub(super) fn begin_stop(
        &mut self,
        reason: StopReason,
        room_sid: Option<&RoomSid>,
        now: Timestamp,
    ) -> Applied {
        let stream = &mut self.stream;
        let other_room = room_sid.is_some() && stream.room_sid.as_ref() != room_sid;
        let not_idle = reason == StopReason::Idle && !stream.is_idle(now);
        if stream.status == StreamStatus::Stopping || stream.status.is_final() || other_room || not_idle {
            return UNCHANGED;
        }
        if !stream.status.may_become(StreamStatus::Stopping) {
            return self.invalid_transition(StreamStatus::Stopping);
        }
        stream.reason = Some(reason.as_str().to_owned());
        stream.lock_expires_at = Some(now.plus(OPERATION_LOCK));
        self.recorded(now, |recorder| recorder.transition(StreamStatus::Stopping, EventKind::StreamUpdated))
    }

    /// Ends the stream in `status`: disconnects at most [`CLOSE_BATCH`] participants, then records the transition.
    pub(super) fn close(&mut self, status: StreamStatus, reason: Option<String>, now: Timestamp) -> Applied {
        if self.stream.status == status {
            return UNCHANGED;
        }
        if !self.stream.status.may_become(status) {
            return self.invalid_transition(status);
        }
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        let participants = self.participants.values_mut();
        let mut present: Vec<_> =
            participants.filter(|participant| participant.state != ParticipantState::Disconnected).collect();
        // Active participants by identity, because they have no expiry; then joining participants by expiry.
        present.sort_by(|a, b| (a.expires_at, &a.identity).cmp(&(b.expires_at, &b.identity)));
        let more = present.len() > CLOSE_BATCH;
        for participant in present.into_iter().take(CLOSE_BATCH) {
            end_visit(&mut recorder, participant, &mut self.ended_sessions, now);
        }
        if more {
            return Ok((Effect::Partial, recorder.drafts));
        }
        let mut drafts = recorder.drafts;
        drafts.extend(self.end_ingresses(now));
        self.end_egresses();
        self.unlisted.clear();
        self.blocks.clear();
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        recorder.stream.blocks = 0;
        recorder.stream.uncounted = 0;
        recorder.stream.stopped_at = Some(now);
        recorder.stream.empty_since = None;
        recorder.stream.lock_expires_at = None;
        recorder.stream.reason = reason.or(recorder.stream.reason.take());
        let kind =
            if status == StreamStatus::Stopped { EventKind::StreamStopped } else { EventKind::StreamUpdated };
        recorder.transition(status, kind);
        drafts.append(&mut recorder.drafts);
        Ok((Effect::Changed, drafts))
    }

    /// Replaces the metadata.
    pub(super) fn set_metadata(
        &mut self,
        expected: &Metadata,
        metadata: Metadata,
        now: Timestamp,
    ) -> Applied {
        if !matches!(self.stream.status, StreamStatus::Creating | StreamStatus::Active) {
            return Err(Rejection::NotActive { status: self.stream.status });
        }
        if self.stream.metadata != *expected {
            return Err(Rejection::MetadataChanged);
        }
        if self.stream.metadata == metadata {
            return UNCHANGED;
        }
        self.stream.metadata = metadata;
        self.recorded(now, |recorder| recorder.record(EventKind::StreamUpdated, None))
    }
}
