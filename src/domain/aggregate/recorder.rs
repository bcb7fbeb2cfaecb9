//! Recorder: collects the events of one change.

use super::{state::Aggregate, tally::Tally};
use crate::domain::{
    Audience, Identity, LeaveReason, Participant, Rejection, Stream, StreamStatus, Timestamp,
    change::Effect,
    event::{Draft, EventKind},
};

/// Result of a change: its effect and its events.
pub type Applied = Result<(Effect, Vec<Draft>), Rejection>;

/// Result of a change without any effect.
pub const UNCHANGED: Applied = Ok((Effect::Unchanged, Vec::new()));

/// Stream of a change in progress, with the events recorded so far.
pub struct Recorder<'a> {
    pub(super) stream: &'a mut Stream,
    pub(super) tally: &'a mut Tally,
    pub(super) drafts: Vec<Draft>,
    pub(super) now: Timestamp,
}

impl<'a> Recorder<'a> {
    /// Begins a change at the time `now`.
    pub(super) const fn new(stream: &'a mut Stream, tally: &'a mut Tally, now: Timestamp) -> Self {
        Self { stream, tally, drafts: Vec::new(), now }
    }

    /// Increments the version and records an event about the stream as it is now.
    pub(super) fn record(&mut self, kind: EventKind, previous: Option<StreamStatus>) {
        self.stream.version += 1;
        self.stream.updated_at = self.now;
        self.stream.counts = self.tally.counts;
        self.stream.peak_participant_count = self.tally.peak;
        if kind != EventKind::ParticipantCountUpdated {
            self.stream.content_version = self.stream.version;
        }
        self.drafts.push(Draft::new(kind, self.stream, previous));
    }

    /// Reports whether the changes of a participant are events.
    pub(super) fn is_told(&self, participant: &Participant) -> bool {
        self.stream.audience == Audience::Listed || participant.is_on_stage()
    }

    /// Records a change of a participant: its event, or that it has left the stage, or nothing in the audience of a
    /// counted stream. `was_told` is [`Self::is_told`] of the entry before the change.
    pub(super) fn tell(&mut self, kind: EventKind, participant: &Participant, was_told: bool) {
        if self.is_told(participant) {
            self.record_participant(kind, participant);
        } else if was_told {
            let is_departure = kind == EventKind::ParticipantLeft;
            self.record_removal(if is_departure { kind } else { EventKind::ParticipantUpdated }, participant);
        }
    }

    /// Adds the caller of the change to its last event.
    pub(super) fn attribute_to(&mut self, by: Option<Identity>) {
        if let Some(draft) = self.drafts.last_mut() {
            draft.by = by;
        }
    }

    /// Adds the reason to the event of a departure, if the departure has one.
    pub(super) fn explain_departure(&mut self, reason: Option<LeaveReason>) {
        if let Some(draft) = self.drafts.last_mut().filter(|draft| draft.kind == EventKind::ParticipantLeft) {
            draft.reason = reason.map(|reason| reason.as_str().to_owned());
        }
    }

    /// Records that an identity was blocked or unblocked.
    pub(super) fn record_block(&mut self, kind: EventKind, identity: Identity, by: Option<Identity>) {
        self.record(kind, None);
        if let Some(draft) = self.drafts.last_mut() {
            (draft.identity, draft.by) = (Some(identity), by);
        }
    }

    fn record_participant(&mut self, kind: EventKind, participant: &Participant) {
        self.record(kind, None);
        if let Some(draft) = self.drafts.last_mut() {
            draft.participant = Some(participant.clone());
        }
    }

    /// Records that a participant's entry is no longer in the stream's documents.
    pub(super) fn record_removal(&mut self, kind: EventKind, participant: &Participant) {
        self.record_participant(kind, participant);
        if let Some(draft) = self.drafts.last_mut() {
            draft.removed = true;
        }
    }

    /// Sets the status and records the transition.
    pub(super) fn transition(&mut self, status: StreamStatus, kind: EventKind) {
        let previous = self.stream.status;
        self.stream.status = status;
        self.record(kind, Some(previous));
    }
}

impl Aggregate {
    /// Records the events of a change and returns it as made.
    pub(super) fn recorded(&mut self, now: Timestamp, record: impl FnOnce(&mut Recorder<'_>)) -> Applied {
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        record(&mut recorder);
        Ok((Effect::Changed, recorder.drafts))
    }
}
