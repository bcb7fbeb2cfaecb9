//! Conversion of domain values to messages of `proto/`.

use std::{collections::HashMap, sync::Arc};

use prost::{Message, length_delimiter_len};

use super::proto::{self, stream_event::EventData};
use crate::{
    domain::{
        Audience, Event, EventKind, Participant, ParticipantCounts, ParticipantKind, Stream, StreamStatus,
        StreamView, Timestamp, Track,
        json::Json,
        size::{ENVELOPE_BYTES, MAX_MESSAGE_BYTES},
    },
    relay::{PartContent, ResetPart, SharedSnapshot},
    store::SnapshotContent,
};

fn millis(time: Option<Timestamp>) -> i64 {
    time.map(Timestamp::as_millis).unwrap_or_default()
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn audience(audience: Audience) -> i32 {
    let audience = match audience {
        Audience::Listed => proto::Audience::Listed,
        Audience::Counted => proto::Audience::Counted,
    };
    audience.into()
}

fn participant_counts(counts: ParticipantCounts) -> proto::ParticipantCounts {
    proto::ParticipantCounts { hosts: count(counts.hosts), viewers: count(counts.viewers) }
}

/// Converts metadata to a map. A value that is not a string becomes its JSON text; metadata that is not an object has
/// no entries.
pub fn metadata(text: &str) -> HashMap<String, String> {
    let Ok(Json::Object(members)) = Json::parse(text) else { return HashMap::new() };
    members
        .into_iter()
        .map(|(key, value)| (key, value.as_string().unwrap_or_else(|| value.to_string())))
        .collect()
}

fn status(status: StreamStatus) -> i32 {
    let status = match status {
        StreamStatus::Creating => proto::StreamStatus::Creating,
        StreamStatus::Active => proto::StreamStatus::Active,
        StreamStatus::Stopping => proto::StreamStatus::Stopping,
        StreamStatus::Stopped => proto::StreamStatus::Stopped,
        StreamStatus::Error => proto::StreamStatus::Error,
    };
    status.into()
}

fn participant(participant: &Participant) -> proto::Participant {
    let kind = Some(participant.kind).filter(|kind| *kind != ParticipantKind::Standard);
    let text = (!participant.metadata.is_object()).then(|| participant.metadata.as_text().to_owned());
    proto::Participant {
        id: participant.identity.to_string(),
        identity: participant.identity.to_string(),
        joined_at: participant.joined_at.as_millis(),
        left_at: millis(participant.left_at),
        metadata: metadata(participant.metadata.as_text()),
        name: participant.name.as_ref().map(ToString::to_string).unwrap_or_default(),
        role: participant.role.as_str().to_owned(),
        state: participant.state.as_str().to_owned(),
        sid: participant.sid.as_ref().map(ToString::to_string).unwrap_or_default(),
        tracks: participant.tracks.as_slice().iter().map(track).collect(),
        attributes: participant.attributes.entries().into_iter().collect(),
        kind: kind.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        metadata_text: text.unwrap_or_default(),
    }
}

fn track(track: &Track) -> proto::Track {
    proto::Track { sid: track.sid.to_string(), source: track.source.as_str().to_owned(), muted: track.muted }
}

/// Converts a stream without its participants.
fn stream_state(stream: &Stream) -> proto::StreamState {
    proto::StreamState {
        stream_id: stream.id.to_string(),
        status: status(stream.status),
        participants: Vec::new(),
        started_at: millis(stream.started_at),
        updated_at: stream.updated_at.as_millis(),
        stopped_at: millis(stream.stopped_at),
        metadata: metadata(stream.metadata.as_text()),
        version: stream.version,
        participant_count: count(stream.participant_count()),
        participants_truncated: false,
        audience: audience(stream.audience),
        participant_counts: Some(participant_counts(stream.counts)),
    }
}

/// Converts the state of a stream to at most [`MAX_MESSAGE_BYTES`]. Metadata may be larger than in JSON, so the message
/// may have fewer participants than the view.
pub fn state(view: &StreamView) -> proto::StreamState {
    let mut state = stream_state(&view.stream);
    let mut size = ENVELOPE_BYTES + state.encoded_len();
    for entry in &view.participants {
        let entry = participant(entry);
        // The field's tag and length precede the message.
        size += 1 + length_delimiter_len(entry.encoded_len()) + entry.encoded_len();
        if size > MAX_MESSAGE_BYTES {
            break;
        }
        state.participants.push(entry);
    }
    state.participants_truncated =
        view.participants_truncated || state.participants.len() < view.participants.len();
    state
}

fn reset_data(part: &ResetPart) -> proto::ResetData {
    let snapshot = match part.content() {
        PartContent::Streams(streams) => streams.iter().map(stream_state).collect(),
        PartContent::Stream(Some((view, first))) => vec![proto::StreamState {
            participants: first.iter().map(participant).collect(),
            participants_truncated: view.participants_truncated,
            ..stream_state(&view.stream)
        }],
        PartContent::Stream(None) => Vec::new(),
        PartContent::Participants(view, further) => vec![proto::StreamState {
            stream_id: view.stream.id.to_string(),
            participants: further.iter().map(participant).collect(),
            ..proto::StreamState::default()
        }],
    };
    let (number, parts) = part.numbers().unwrap_or_default();
    let number_of = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    proto::ResetData {
        reason: part.reason().to_owned(),
        cursor: cursor(part),
        snapshot,
        part: number_of(number),
        parts: number_of(parts),
    }
}

fn cursor(part: &ResetPart) -> String {
    part.cursor().map(|cursor| cursor.to_string()).unwrap_or_default()
}

/// Converts an event of `Subscribe`. Absent metadata becomes an empty map.
pub fn event(event: &Event) -> proto::StreamEvent {
    use proto::StreamEventType as Type;
    let draft = &event.draft;
    let stream = &draft.stream;
    let about = draft.participant.as_ref().map(participant);
    let carried = || stream.metadata.as_ref().map(|carried| metadata(carried.as_text())).unwrap_or_default();
    let (event_type, data) = match draft.kind {
        EventKind::StreamCreated => (
            Type::StreamCreated,
            EventData::StreamCreated(proto::StreamCreatedData {
                room_name: stream.room_name.to_string(),
                metadata: carried(),
            }),
        ),
        EventKind::StreamUpdated => (
            Type::StreamUpdated,
            EventData::StreamUpdated(proto::StreamUpdatedData {
                previous_status: status(draft.previous_status.unwrap_or(stream.status)),
                current_status: status(stream.status),
                metadata: carried(),
            }),
        ),
        EventKind::StreamStopped => (
            Type::StreamStopped,
            EventData::StreamStopped(proto::StreamStoppedData {
                room_name: stream.room_name.to_string(),
                reason: draft.reason.clone().unwrap_or_default(),
            }),
        ),
        EventKind::ParticipantJoined => (
            Type::ParticipantJoined,
            EventData::ParticipantJoined(proto::ParticipantJoinedData { participant: about }),
        ),
        EventKind::ParticipantLeft => (
            Type::ParticipantLeft,
            EventData::ParticipantLeft(proto::ParticipantLeftData { participant: about }),
        ),
        EventKind::ParticipantUpdated => (
            Type::ParticipantUpdated,
            EventData::ParticipantUpdated(proto::ParticipantUpdatedData { participant: about }),
        ),
        EventKind::ParticipantCountUpdated => (
            Type::ParticipantCountUpdated,
            EventData::ParticipantCountUpdated(proto::ParticipantCountUpdatedData {
                participant_counts: Some(participant_counts(stream.counts)),
            }),
        ),
    };
    proto::StreamEvent {
        event_type: event_type.into(),
        stream_id: stream.id.to_string(),
        timestamp: event.timestamp.as_millis(),
        event_data: Some(data),
        cursor: event.cursor.to_string(),
        seq: event.seq(),
        audience: audience(stream.audience),
        participant_counts: Some(participant_counts(stream.counts)),
        removed: draft.removed,
    }
}

/// Converts a part of a reset of `Subscribe`.
pub fn reset_event(part: &ResetPart) -> proto::StreamEvent {
    proto::StreamEvent {
        event_type: proto::StreamEventType::Reset.into(),
        cursor: cursor(part),
        event_data: Some(EventData::Reset(reset_data(part))),
        ..proto::StreamEvent::default()
    }
}

/// Converts an event of `StreamUpdates`, with the metadata of its stream.
pub fn update(event: &Event, metadata: HashMap<String, String>) -> proto::StreamUpdate {
    use proto::UpdateType as Type;
    let draft = &event.draft;
    let update_type = match draft.kind {
        EventKind::StreamCreated => Type::Created,
        EventKind::StreamUpdated if draft.previous_status.is_some() => Type::StatusChanged,
        EventKind::StreamUpdated => Type::Updated,
        EventKind::StreamStopped => Type::Stopped,
        EventKind::ParticipantJoined => Type::ParticipantJoined,
        EventKind::ParticipantLeft => Type::ParticipantLeft,
        EventKind::ParticipantUpdated => Type::ParticipantUpdated,
        EventKind::ParticipantCountUpdated => Type::ParticipantCountUpdated,
    };
    proto::StreamUpdate {
        stream_id: draft.stream.id.to_string(),
        status: status(draft.stream.status),
        participants: draft.participant.iter().map(participant).collect(),
        timestamp: event.timestamp.as_millis(),
        update_type: update_type.into(),
        metadata,
        cursor: event.cursor.to_string(),
        seq: event.seq(),
        participant_count: count(draft.stream.participant_count()),
        reset: None,
        participants_truncated: false,
        reason: draft.reason.clone().unwrap_or_default(),
        audience: audience(draft.stream.audience),
        participant_counts: Some(participant_counts(draft.stream.counts)),
        removed: draft.removed,
    }
}

/// Converts a part of a reset of `StreamUpdates`.
pub fn reset_update(part: &ResetPart) -> proto::StreamUpdate {
    proto::StreamUpdate {
        update_type: proto::UpdateType::Reset.into(),
        cursor: cursor(part),
        reset: Some(reset_data(part)),
        ..proto::StreamUpdate::default()
    }
}

/// Converts a snapshot to one update for each of its streams, which `StreamUpdates` begins with. Each update is made when
/// it is sent.
pub fn first_updates(shared: Arc<SharedSnapshot>) -> impl Iterator<Item = proto::StreamUpdate> {
    let count = match &shared.snapshot().content {
        SnapshotContent::Stream(view) => usize::from(view.is_some()),
        SnapshotContent::All(streams) => streams.len(),
    };
    (0..count).filter_map(move |index| first_update(&shared, index))
}

fn first_update(shared: &SharedSnapshot, index: usize) -> Option<proto::StreamUpdate> {
    let state = match &shared.snapshot().content {
        SnapshotContent::Stream(view) => state(view.as_ref()?),
        SnapshotContent::All(streams) => stream_state(streams.get(index)?),
    };
    Some(proto::StreamUpdate {
        stream_id: state.stream_id,
        status: state.status,
        participants: state.participants,
        timestamp: state.updated_at,
        update_type: proto::UpdateType::Created.into(),
        metadata: state.metadata,
        cursor: shared.cursor().to_string(),
        seq: state.version,
        participant_count: state.participant_count,
        participants_truncated: state.participants_truncated,
        audience: state.audience,
        participant_counts: state.participant_counts,
        ..proto::StreamUpdate::default()
    })
}
