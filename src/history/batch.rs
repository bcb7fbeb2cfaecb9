//! What one transaction stores: entries of one log of a partition, and its new position.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    error::HistoryError,
    records::{EventRecord, Gap, Log, RecordingRecord, StreamRecord},
};
use crate::domain::{
    Cursor, Egress, EgressId, EgressKind, Event, Identity, ParticipantSid, Partition, StreamId, Visit,
};

/// Entries of one log of a partition, and what follows from them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The partition.
    pub(super) partition: Partition,
    /// The log.
    pub(super) log: Log,
    /// Position of the log before the batch; `None` if nothing of it is stored.
    pub(super) from: Option<Cursor>,
    /// Position after the batch.
    pub(super) to: Cursor,
    pub(super) events: Vec<EventRecord>,
    pub(super) streams: BTreeMap<StreamId, StreamRecord>,
    /// Identities that the entries name.
    pub(super) identities: BTreeSet<(Identity, StreamId)>,
    pub(super) visits: BTreeMap<(StreamId, ParticipantSid), Visit>,
    pub(super) recordings: BTreeMap<(StreamId, EgressId), RecordingRecord>,
    /// Entries that may be missing before the batch.
    pub(super) gap: Option<Gap>,
}

impl Batch {
    /// Creates a batch of events that follow a position in the log, oldest first.
    ///
    /// # Errors
    /// [`HistoryError::Corrupt`] for an event that cannot be rendered.
    pub fn of_events(
        partition: Partition,
        from: Option<Cursor>,
        events: &[Arc<Event>],
    ) -> Result<Self, HistoryError> {
        let to = events.last().map(|event| event.cursor).or(from).unwrap_or(Cursor::ORIGIN);
        let mut batch = Self::between(partition, Log::Events, from, to);
        events.iter().try_for_each(|event| batch.add(event))?;
        Ok(batch)
    }

    /// Creates a batch of visits that follow a position in their log, or a gap in it.
    pub fn of_visits(
        partition: Partition,
        from: Option<Cursor>,
        visits: impl IntoIterator<Item = Visit>,
        to: Cursor,
        gap: Option<Gap>,
    ) -> Self {
        let mut batch = Self { gap, ..Self::between(partition, Log::Visits, from, to) };
        for visit in visits {
            // The last end of a session is the true one.
            batch.identities.insert((visit.identity.clone(), visit.stream_id));
            batch.visits.insert((visit.stream_id, visit.sid.clone()), visit);
        }
        batch
    }

    /// Adds recordings as they changed after the end of their streams.
    ///
    /// # Errors
    /// [`HistoryError::Corrupt`] for a recording that cannot be rendered.
    pub fn with_recordings(
        mut self,
        recordings: impl IntoIterator<Item = (StreamId, Egress)>,
    ) -> Result<Self, HistoryError> {
        for (stream_id, recording) in recordings {
            let recorded = recording.recorded_participant().cloned();
            self.identities.extend(recorded.map(|identity| (identity, stream_id)));
            self.add_recording(stream_id, &recording)?;
        }
        Ok(self)
    }

    /// Creates a batch that only continues the log of events at another position, with the reason.
    pub fn of_gap(partition: Partition, from: Option<Cursor>, gap: Gap, to: Cursor) -> Self {
        Self { gap: Some(gap), ..Self::between(partition, Log::Events, from, to) }
    }

    fn between(partition: Partition, log: Log, from: Option<Cursor>, to: Cursor) -> Self {
        Self {
            partition,
            log,
            from,
            to,
            events: Vec::new(),
            streams: BTreeMap::new(),
            identities: BTreeSet::new(),
            visits: BTreeMap::new(),
            recordings: BTreeMap::new(),
            gap: None,
        }
    }

    /// Returns the position after the batch.
    pub const fn end(&self) -> Cursor {
        self.to
    }

    fn add(&mut self, event: &Event) -> Result<(), HistoryError> {
        let (stream_id, draft) = (event.stream_id(), &event.draft);
        self.events.push(EventRecord {
            stream_id,
            cursor: event.cursor,
            counts: draft.stream.counts,
            json: serde_json::to_string(event).map_err(|_| HistoryError::Corrupt("event"))?,
        });
        let participant = draft.participant.as_ref().map(|participant| &participant.identity);
        let ingress = draft.ingress.as_ref().map(|ingress| &ingress.identity);
        let recorded = draft.egress.as_ref().and_then(|egress| egress.recorded_participant());
        let named = [participant, ingress, recorded, draft.by.as_ref(), draft.identity.as_ref()];
        self.identities.extend(named.into_iter().flatten().map(|identity| (identity.clone(), stream_id)));
        if let Some(egress) = &draft.egress {
            self.add_recording(stream_id, egress)?;
        }
        self.merge(StreamRecord::of(&draft.stream, event.cursor));
        Ok(())
    }

    /// Keeps the newest state of each recording.
    fn add_recording(&mut self, stream_id: StreamId, egress: &Egress) -> Result<(), HistoryError> {
        let key = (stream_id, egress.id.clone());
        let is_newer = self.recordings.get(&key).is_none_or(|known| known.time < egress.state_time);
        if egress.kind == EgressKind::Recording && is_newer {
            self.recordings.insert(key, RecordingRecord::of(stream_id, egress)?);
        }
        Ok(())
    }

    /// Replaces the record of a stream by the next one, which may lack the metadata.
    fn merge(&mut self, mut next: StreamRecord) {
        if let Some(known) = self.streams.remove(&next.id) {
            next.metadata = next.metadata.or(known.metadata);
            next.peak_viewers = next.peak_viewers.max(known.peak_viewers);
        }
        self.streams.insert(next.id, next);
    }
}
