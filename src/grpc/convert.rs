//! Conversion of domain values to messages of `proto/`.

use std::collections::HashMap;

use prost::{Message, length_delimiter_len};

use super::proto;
use crate::{
    domain::{
        Audience, Participant, ParticipantCounts, ParticipantKind, Stream, StreamStatus, StreamView,
        Timestamp, Track,
        json::Json,
        size::{ENVELOPE_BYTES, MAX_MESSAGE_BYTES},
    },
    relay::{PartContent, ResetPart},
};

/// Converts a time; 0 for none.
pub fn millis(time: Option<Timestamp>) -> i64 {
    time.map(Timestamp::as_millis).unwrap_or_default()
}

/// Converts a number, at most the largest of the type.
pub fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Converts an audience.
pub fn audience(audience: Audience) -> i32 {
    let audience = match audience {
        Audience::Listed => proto::Audience::Listed,
        Audience::Counted => proto::Audience::Counted,
    };
    audience.into()
}

/// Converts counts.
pub fn participant_counts(counts: ParticipantCounts) -> proto::ParticipantCounts {
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

/// Converts a status.
pub fn status(status: StreamStatus) -> i32 {
    let status = match status {
        StreamStatus::Creating => proto::StreamStatus::Creating,
        StreamStatus::Active => proto::StreamStatus::Active,
        StreamStatus::Stopping => proto::StreamStatus::Stopping,
        StreamStatus::Stopped => proto::StreamStatus::Stopped,
        StreamStatus::Error => proto::StreamStatus::Error,
    };
    status.into()
}

/// Converts a participant.
pub fn participant(participant: &Participant) -> proto::Participant {
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
        hand_raised_at: millis(participant.hand_raised_at),
    }
}

fn track(track: &Track) -> proto::Track {
    proto::Track { sid: track.sid.to_string(), source: track.source.as_str().to_owned(), muted: track.muted }
}

/// Converts a stream without its participants.
pub fn stream_state(stream: &Stream) -> proto::StreamState {
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
        backstage: stream.backstage,
        live_at: millis(stream.live_at),
        ingresses: count(stream.ingresses),
        recording: stream.recording,
        broadcasting: stream.broadcasting,
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

/// Converts the content of a part of a reset.
pub fn reset_data(part: &ResetPart) -> proto::ResetData {
    let snapshot = match part.content() {
        PartContent::Streams(streams) => streams
            .iter()
            .map(|stream| proto::StreamState { participants_truncated: true, ..stream_state(stream) })
            .collect(),
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

/// Returns the cursor of a part, which is empty in all parts but the last.
pub fn cursor(part: &ResetPart) -> String {
    part.cursor().map(|cursor| cursor.to_string()).unwrap_or_default()
}
