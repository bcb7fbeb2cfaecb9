//! Messages of `StreamUpdates`.

use prost::Message as _;

use super::{
    convert::{
        audience, count, cursor, millis, participant, participant_counts, reset_data, status, stream_state,
    },
    egress::{broadcast, recording},
    ingress::ingress,
    known_states::KnownState,
    participant_list::ParticipantList,
    proto::{StreamUpdate, UpdateType},
};
use crate::{
    domain::{
        Cursor, Event, EventKind, Stream,
        event::Draft,
        size::{ENVELOPE_BYTES, MAX_MESSAGE_BYTES},
    },
    relay::ResetPart,
};

/// Returns the update of an event, with the state after it.
pub fn update(event: &Event, state: &KnownState) -> StreamUpdate {
    let Draft { stream, reason, removed, by, identity, .. } = &event.draft;
    let update = StreamUpdate {
        stream_id: stream.id.to_string(),
        status: status(stream.status),
        timestamp: event.timestamp.as_millis(),
        update_type: update_type(&event.draft).into(),
        metadata: (*state.metadata).clone(),
        cursor: event.cursor.to_string(),
        seq: event.seq(),
        participant_count: count(stream.participant_count()),
        reason: reason.clone().unwrap_or_default(),
        audience: audience(stream.audience),
        participant_counts: Some(participant_counts(stream.counts)),
        removed: *removed,
        participant: event.draft.participant.as_ref().map(participant),
        backstage: stream.backstage,
        live_at: millis(stream.live_at),
        by: by.as_ref().map(ToString::to_string).unwrap_or_default(),
        identity: identity.as_ref().map(ToString::to_string).unwrap_or_default(),
        ingress: event.draft.ingress.as_deref().map(ingress),
        updated_recording: event.draft.egress.as_deref().and_then(recording),
        updated_broadcast: event.draft.egress.as_deref().and_then(broadcast),
        ingresses: count(stream.ingresses),
        recording: stream.recording,
        broadcasting: stream.broadcasting,
        ..StreamUpdate::default()
    };
    with_participants(update, &state.participants)
}

fn update_type(draft: &Draft) -> UpdateType {
    match draft.kind {
        EventKind::StreamCreated => UpdateType::Created,
        EventKind::StreamUpdated if draft.previous_status.is_some() => UpdateType::StatusChanged,
        EventKind::StreamUpdated => UpdateType::Updated,
        EventKind::StreamStopped => UpdateType::Stopped,
        EventKind::ParticipantJoined => UpdateType::ParticipantJoined,
        EventKind::ParticipantLeft => UpdateType::ParticipantLeft,
        EventKind::ParticipantUpdated => UpdateType::ParticipantUpdated,
        EventKind::ParticipantCountUpdated => UpdateType::ParticipantCountUpdated,
        EventKind::StreamLiveStarted => UpdateType::StreamLiveStarted,
        EventKind::StreamLiveStopped => UpdateType::StreamLiveStopped,
        EventKind::ParticipantBlocked => UpdateType::ParticipantBlocked,
        EventKind::ParticipantUnblocked => UpdateType::ParticipantUnblocked,
        EventKind::IngressUpdated => UpdateType::IngressUpdated,
        EventKind::RecordingUpdated => UpdateType::RecordingUpdated,
        EventKind::BroadcastUpdated => UpdateType::BroadcastUpdated,
    }
}

/// Adds as many of the participants as a message has room for. The metadata may be larger than in JSON.
fn with_participants(mut update: StreamUpdate, list: &ParticipantList) -> StreamUpdate {
    let room = MAX_MESSAGE_BYTES.saturating_sub(ENVELOPE_BYTES + update.encoded_len());
    (update.participants, update.participants_truncated) = list.within(room);
    update
}

/// Returns the update for the present state of a stream, which `StreamUpdates` begins with.
pub fn first_update(stream: &Stream, participants: &ParticipantList, cursor: Cursor) -> StreamUpdate {
    let state = stream_state(stream);
    let update = StreamUpdate {
        stream_id: state.stream_id,
        status: state.status,
        timestamp: state.updated_at,
        update_type: UpdateType::Created.into(),
        metadata: state.metadata,
        cursor: cursor.to_string(),
        seq: state.version,
        participant_count: state.participant_count,
        audience: state.audience,
        participant_counts: state.participant_counts,
        backstage: state.backstage,
        live_at: state.live_at,
        ingresses: state.ingresses,
        recording: state.recording,
        broadcasting: state.broadcasting,
        ..StreamUpdate::default()
    };
    with_participants(update, participants)
}

/// Converts a part of a reset.
pub fn reset_update(part: &ResetPart) -> StreamUpdate {
    StreamUpdate {
        update_type: UpdateType::Reset.into(),
        cursor: cursor(part),
        reset: Some(reset_data(part)),
        ..StreamUpdate::default()
    }
}
