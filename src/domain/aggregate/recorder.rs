//! Recorder: collects the events of one change.

use super::state::Aggregate;
use crate::domain::{
    Participant, Rejection, Stream, StreamStatus, Timestamp,
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
    pub(super) drafts: Vec<Draft>,
    pub(super) now: Timestamp,
}

impl<'a> Recorder<'a> {
    /// Begins a change at the time `now`.
    pub(super) fn new(stream: &'a mut Stream, now: Timestamp) -> Self {
        Self { stream, drafts: Vec::new(), now }
    }

    /// Increments the version and records an event about the stream as it is now.
    pub(super) fn record(
        &mut self,
        kind: EventKind,
        participant: Option<&Participant>,
        previous: Option<StreamStatus>,
    ) {
        self.stream.version += 1;
        self.stream.updated_at = self.now;
        let draft = Draft::new(kind, self.stream, previous);
        self.drafts.push(Draft { participant: participant.cloned(), ..draft });
    }

    /// Sets the status and records the transition.
    pub(super) fn transition(&mut self, status: StreamStatus, kind: EventKind) {
        let previous = self.stream.status;
        self.stream.status = status;
        self.record(kind, None, Some(previous));
    }
}

impl Aggregate {
    /// Records the events of a change and returns it as made.
    pub(super) fn recorded(&mut self, now: Timestamp, record: impl FnOnce(&mut Recorder<'_>)) -> Applied {
        let mut recorder = Recorder::new(&mut self.stream, now);
        record(&mut recorder);
        Ok((Effect::Changed, recorder.drafts))
    }
}
