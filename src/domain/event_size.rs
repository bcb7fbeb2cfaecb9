//! Approximate size of events.

use super::{Egress, Event, Participant, event::Draft};

/// Approximate JSON size of an event without metadata and participant.
const EVENT_BYTES: usize = 700;
/// Approximate JSON size of an event's ingress.
const INGRESS_BYTES: usize = 350;
/// Approximate JSON size of an event's recording or broadcast without its targets.
const EGRESS_BYTES: usize = 450;
/// Approximate JSON size of a target of an event's broadcast.
const TARGET_BYTES: usize = 120;
/// Approximate JSON size of an event's participant without metadata and attributes.
const PARTICIPANT_BYTES: usize = 250;

impl Event {
    /// Returns about the size of the event's JSON text in bytes, without encoding it.
    pub fn approximate_bytes(&self) -> usize {
        let Draft { stream, participant, .. } = &self.draft;
        let metadata = stream.metadata.as_ref().map_or(0, |metadata| metadata.as_text().len());
        let ingress = self.draft.ingress.as_ref().map_or(0, |_| INGRESS_BYTES);
        let egress = self.draft.egress.as_ref().map_or(0, |egress| egress_bytes(egress));
        EVENT_BYTES + metadata + ingress + egress + participant.as_ref().map_or(0, approximate_bytes)
    }
}

fn egress_bytes(egress: &Egress) -> usize {
    EGRESS_BYTES + egress.targets.len() * TARGET_BYTES
}

fn approximate_bytes(participant: &Participant) -> usize {
    PARTICIPANT_BYTES + participant.metadata.as_text().len() + participant.attributes.as_text().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Attributes, Cursor, EventKind, Identity, InitialAudience, Metadata, ParticipantMetadata, Role,
        RoomName, Stream, StreamId, Timestamp, stream::NewStream,
    };

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn metadata(bytes: usize) -> Metadata {
        Metadata::parse(&format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes))).unwrap()
    }

    fn event(stream_bytes: usize, participant_bytes: Option<usize>) -> Event {
        let new = NewStream {
            id: StreamId::generate(),
            room_name: RoomName::parse("room").unwrap(),
            metadata: metadata(stream_bytes),
            max_participants: None,
            idle_after: None,
            audience: InitialAudience::LISTED,
            backstage: false,
        };
        let participant = participant_bytes.map(|bytes| Participant {
            metadata: ParticipantMetadata::from(metadata(bytes)),
            attributes: Attributes::reported([("a".to_owned(), "x".repeat(bytes))]),
            ..Participant::joining(Identity::parse("ann").unwrap(), Role::Host, NOW)
        });
        let draft = Draft::new(EventKind::StreamCreated, &Stream::unrecorded(new, NOW), None);
        let cursor = Cursor::new(1_790_000_000_000, 7);
        let draft = Draft { participant, ..draft };
        Event { cursor, previous: cursor, previous_of_all: cursor, timestamp: NOW, draft }
    }

    #[test]
    fn approximate_size_is_within_a_third_of_the_json_text() {
        for event in [event(0, None), event(50_000, None), event(0, Some(0)), event(1_000, Some(5_000))] {
            let exact = serde_json::to_string(&event).unwrap().len();
            let approximate = event.approximate_bytes();
            assert!(approximate.abs_diff(exact) * 3 <= exact, "{approximate} for {exact}");
        }
    }
}
