//! Changes of a participant at a caller's request.

use super::{
    recorder::{Applied, Recorder, UNCHANGED},
    state::Aggregate,
};
use crate::domain::{
    Participant, ParticipantUpdate, Rejection, StreamStatus, Timestamp, change::Effect, event::EventKind,
};

impl Aggregate {
    /// Changes a participant's role, name and metadata.
    ///
    /// # Errors
    /// [`Rejection::NotActive`] if the stream is not active, [`Rejection::NoParticipant`] without an entry,
    /// [`Rejection::MetadataChanged`] if the metadata is not the expected one.
    pub(super) fn update_participant(&mut self, update: ParticipantUpdate, now: Timestamp) -> Applied {
        if self.stream.status != StreamStatus::Active {
            return Err(Rejection::NotActive { status: self.stream.status });
        }
        let entry = self.participants.get_mut(&update.identity).ok_or(Rejection::NoParticipant)?;
        if update.metadata.as_ref().is_some_and(|metadata| metadata.expected != entry.metadata) {
            return Err(Rejection::MetadataChanged);
        }
        let before = entry.clone();
        let by = update.by.clone();
        assign(entry, update);
        if *entry == before {
            return UNCHANGED;
        }
        entry.changed_at = now;
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        if entry.is_active() && entry.counts() {
            recorder.tally.remove(before.role);
            recorder.tally.add(entry.role);
        }
        let was_told = recorder.is_told(&before);
        recorder.tell(EventKind::ParticipantUpdated, entry, was_told);
        recorder.attribute_to(by);
        Ok((Effect::Changed, recorder.drafts))
    }
}

fn assign(entry: &mut Participant, update: ParticipantUpdate) {
    entry.role_recorded |= update.role.is_some();
    entry.set_role(update.role.unwrap_or(entry.role));
    entry.name = update.name.or(entry.name.take());
    if let Some(metadata) = update.metadata {
        entry.metadata = metadata.new.into();
    }
}
