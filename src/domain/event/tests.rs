use super::*;
use crate::domain::{InitialAudience, Metadata, RoomName, stream::NewStream};

fn stream(metadata_bytes: usize) -> Stream {
    let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(metadata_bytes - 8));
    let new = NewStream {
        id: StreamId::generate(),
        room_name: RoomName::parse("room").unwrap(),
        metadata: Metadata::parse(&text).unwrap(),
        max_participants: None,
        idle_after: None,
        audience: InitialAudience::LISTED,
        backstage: false,
    };
    Stream { version: 1, ..Stream::unrecorded(new, Timestamp::from_millis(1)) }
}

fn event(draft: Draft) -> Event {
    Event {
        cursor: Cursor::new(1, 0),
        previous: Cursor::ORIGIN,
        previous_of_all: Cursor::ORIGIN,
        timestamp: Timestamp::from_millis(1),
        draft,
    }
}

fn carries_metadata(kind: EventKind, stream: &Stream, previous: Option<StreamStatus>) -> bool {
    let json = serde_json::to_value(event(Draft::new(kind, stream, previous))).unwrap();
    json["data"]["stream"].get("metadata").is_some()
}

#[test]
fn large_metadata_is_only_in_events_that_change_it() {
    let (small, large) = (stream(MAX_REPEATED_METADATA_BYTES), stream(MAX_REPEATED_METADATA_BYTES + 1));
    for kind in EventKind::ALL {
        for previous in [None, Some(StreamStatus::Creating)] {
            let is_count = kind == EventKind::ParticipantCountUpdated;
            assert_eq!(carries_metadata(kind, &small, previous), !is_count, "{kind:?}");
            let changes = match kind {
                EventKind::StreamCreated => true,
                EventKind::StreamUpdated => previous.is_none(),
                _ => false,
            };
            assert_eq!(carries_metadata(kind, &large, previous), changes, "{kind:?}");
        }
    }
}

#[test]
fn event_applied_to_the_previous_state_gives_the_next_state() {
    let mut known = stream(2_000);
    let counts = ParticipantCounts { hosts: 1, viewers: 0 };
    let next = Stream { version: 2, counts, ..known.clone() };
    event(Draft::new(EventKind::ParticipantJoined, &next, None)).apply_to(&mut known);
    assert_eq!(known, next);
    let next = Stream { version: 3, metadata: Metadata::default(), ..next };
    event(Draft::new(EventKind::StreamUpdated, &next, None)).apply_to(&mut known);
    assert_eq!(known, next);
}
