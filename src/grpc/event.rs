//! Messages of `Subscribe`.

use super::{
    convert::{
        audience, count, cursor, metadata, millis, participant, participant_counts, reset_data, status,
    },
    egress::{broadcast, recording},
    ingress::ingress,
    proto::{
        BroadcastUpdatedData, IngressUpdatedData, ParticipantBlockedData, ParticipantCountUpdatedData,
        ParticipantJoinedData, ParticipantLeftData, ParticipantUnblockedData, ParticipantUpdatedData,
        RecordingUpdatedData, StreamCreatedData, StreamEvent, StreamEventType as Type, StreamLiveStartedData,
        StreamLiveStoppedData, StreamStoppedData, StreamUpdatedData, stream_event::EventData,
    },
};
use crate::{
    domain::{Event, EventKind, event::Draft},
    relay::ResetPart,
};

/// Converts an event. Absent metadata becomes an empty map.
pub fn event(event: &Event) -> StreamEvent {
    let draft = &event.draft;
    let stream = &draft.stream;
    StreamEvent {
        event_type: event_type(draft.kind).into(),
        stream_id: stream.id.to_string(),
        timestamp: event.timestamp.as_millis(),
        event_data: Some(event_data(draft)),
        cursor: event.cursor.to_string(),
        seq: event.seq(),
        audience: audience(stream.audience),
        participant_counts: Some(participant_counts(stream.counts)),
        removed: draft.removed,
        backstage: stream.backstage,
        live_at: millis(stream.live_at),
        by: draft.by.as_ref().map(ToString::to_string).unwrap_or_default(),
        ingresses: count(stream.ingresses),
        recording: stream.recording,
        broadcasting: stream.broadcasting,
    }
}

const fn event_type(kind: EventKind) -> Type {
    match kind {
        EventKind::StreamCreated => Type::StreamCreated,
        EventKind::StreamUpdated => Type::StreamUpdated,
        EventKind::StreamStopped => Type::StreamStopped,
        EventKind::ParticipantJoined => Type::ParticipantJoined,
        EventKind::ParticipantLeft => Type::ParticipantLeft,
        EventKind::ParticipantUpdated => Type::ParticipantUpdated,
        EventKind::ParticipantCountUpdated => Type::ParticipantCountUpdated,
        EventKind::StreamLiveStarted => Type::StreamLiveStarted,
        EventKind::StreamLiveStopped => Type::StreamLiveStopped,
        EventKind::ParticipantBlocked => Type::ParticipantBlocked,
        EventKind::ParticipantUnblocked => Type::ParticipantUnblocked,
        EventKind::IngressUpdated => Type::IngressUpdated,
        EventKind::RecordingUpdated => Type::RecordingUpdated,
        EventKind::BroadcastUpdated => Type::BroadcastUpdated,
    }
}

fn event_data(draft: &Draft) -> EventData {
    let stream = &draft.stream;
    let participant = draft.participant.as_ref().map(participant);
    let room_name = || stream.room_name.to_string();
    let identity = || draft.identity.as_ref().map(ToString::to_string).unwrap_or_default();
    let reason = || draft.reason.clone().unwrap_or_default();
    let metadata = || stream.metadata.as_ref().map(|carried| metadata(carried.as_text())).unwrap_or_default();
    match draft.kind {
        EventKind::StreamCreated => {
            EventData::StreamCreated(StreamCreatedData { room_name: room_name(), metadata: metadata() })
        }
        EventKind::StreamUpdated => EventData::StreamUpdated(StreamUpdatedData {
            previous_status: status(draft.previous_status.unwrap_or(stream.status)),
            current_status: status(stream.status),
            metadata: metadata(),
        }),
        EventKind::StreamStopped => {
            EventData::StreamStopped(StreamStoppedData { room_name: room_name(), reason: reason() })
        }
        EventKind::ParticipantJoined => EventData::ParticipantJoined(ParticipantJoinedData { participant }),
        EventKind::ParticipantLeft => {
            EventData::ParticipantLeft(ParticipantLeftData { participant, reason: reason() })
        }
        EventKind::ParticipantUpdated => {
            EventData::ParticipantUpdated(ParticipantUpdatedData { participant })
        }
        EventKind::ParticipantCountUpdated => {
            let participant_counts = Some(participant_counts(stream.counts));
            EventData::ParticipantCountUpdated(ParticipantCountUpdatedData { participant_counts })
        }
        EventKind::StreamLiveStarted => {
            EventData::StreamLiveStarted(StreamLiveStartedData { room_name: room_name() })
        }
        EventKind::StreamLiveStopped => {
            EventData::StreamLiveStopped(StreamLiveStoppedData { room_name: room_name() })
        }
        EventKind::ParticipantBlocked => {
            EventData::ParticipantBlocked(ParticipantBlockedData { identity: identity() })
        }
        EventKind::ParticipantUnblocked => {
            EventData::ParticipantUnblocked(ParticipantUnblockedData { identity: identity() })
        }
        EventKind::IngressUpdated => {
            EventData::IngressUpdated(IngressUpdatedData { ingress: draft.ingress.as_deref().map(ingress) })
        }
        EventKind::RecordingUpdated => {
            let recording = draft.egress.as_deref().and_then(recording);
            EventData::RecordingUpdated(RecordingUpdatedData { recording })
        }
        EventKind::BroadcastUpdated => {
            let broadcast = draft.egress.as_deref().and_then(broadcast);
            EventData::BroadcastUpdated(BroadcastUpdatedData { broadcast })
        }
    }
}

/// Converts a part of a reset.
pub fn reset_event(part: &ResetPart) -> StreamEvent {
    StreamEvent {
        event_type: Type::Reset.into(),
        cursor: cursor(part),
        event_data: Some(EventData::Reset(reset_data(part))),
        ..StreamEvent::default()
    }
}
