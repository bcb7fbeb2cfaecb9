//! What Redis holds, read back into the domain's types. Writing is the scripts' part.

use std::{collections::HashMap, time::Duration};

use serde::Deserialize;

use crate::{
    domain::{
        Cursor, DisplayName, Event, EventKind, Identity, Metadata, Participant, RoomName, Stream, Timestamp,
        event::Draft,
    },
    store::StoreError,
};

/// A stream's hash.
pub type Fields = HashMap<String, String>;

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}

struct Reader(Fields);

impl Reader {
    fn text(&mut self, field: &str) -> Result<String, StoreError> {
        self.0.remove(field).ok_or_else(|| corrupt(field))
    }

    fn parsed<T: std::str::FromStr>(&mut self, field: &str) -> Result<T, StoreError> {
        self.text(field)?.parse().map_err(|_| corrupt(field))
    }

    fn optional<T: std::str::FromStr>(&mut self, field: &str) -> Result<Option<T>, StoreError> {
        let text = self.text(field)?;
        if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| corrupt(field)) }
    }

    fn time(&mut self, field: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.optional(field)?.map(Timestamp::from_millis))
    }

    fn required_time(&mut self, field: &str) -> Result<Timestamp, StoreError> {
        self.time(field)?.ok_or_else(|| corrupt(field))
    }
}

/// A stream from its hash.
///
/// # Errors
/// [`StoreError::Corrupt`] names the first field that is missing or unreadable.
pub fn stream(fields: Fields) -> Result<Stream, StoreError> {
    let mut fields = Reader(fields);
    Ok(Stream {
        id: fields.parsed("id")?,
        room_name: RoomName::parse(fields.text("roomName")?).map_err(|_| corrupt("roomName"))?,
        room_sid: fields.optional("roomSid")?,
        status: fields.parsed("status")?,
        metadata: Metadata::from_text(&fields.text("metadata")?).map_err(|_| corrupt("metadata"))?,
        max_participants: fields.optional("maxParticipants")?,
        idle_after: fields.optional("idleAfter")?.map(Duration::from_millis),
        participant_count: fields.parsed("count")?,
        peak_participant_count: fields.parsed("peak")?,
        created_at: fields.required_time("createdAt")?,
        started_at: fields.time("startedAt")?,
        updated_at: fields.required_time("updatedAt")?,
        stopped_at: fields.time("stoppedAt")?,
        empty_since: fields.time("emptySince")?,
        claimed_until: fields.time("claimedUntil")?,
        reason: fields.optional("reason")?,
        version: fields.parsed("version")?,
    })
}

/// The newest position in a stream's log, as its hash holds it.
///
/// # Errors
/// [`StoreError::Corrupt`] where the hash does not.
pub fn cursor_of(fields: &Fields) -> Result<Cursor, StoreError> {
    fields.get("cursor").and_then(|text| text.parse().ok()).ok_or_else(|| corrupt("cursor"))
}

/// A stream from the JSON that scripts answer with.
///
/// # Errors
/// [`StoreError::Corrupt`] for anything else.
pub fn stream_from_json(json: &str) -> Result<Stream, StoreError> {
    stream(serde_json::from_str(json).map_err(|_| corrupt("stream"))?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredParticipant {
    identity: String,
    name: Option<String>,
    role: String,
    state: String,
    joined_at: f64,
    left_at: Option<f64>,
    metadata: String,
    sid: Option<String>,
    session_at: Option<f64>,
    #[serde(default)]
    tracks: String,
    #[serde(default)]
    changed_at: f64,
    expires_at: Option<f64>,
    last_joined_at: Option<f64>,
    last_left_at: Option<f64>,
}

/// Lua has only doubles; milliseconds since 1970 are exact in them.
#[expect(clippy::cast_possible_truncation, reason = "the scripts only write whole milliseconds")]
fn instant(ms: f64) -> Timestamp {
    Timestamp::from_millis(ms as i64)
}

impl StoredParticipant {
    fn into_domain(self) -> Result<Participant, StoreError> {
        let name = self.name.map(DisplayName::parse).transpose();
        Ok(Participant {
            identity: Identity::parse(self.identity).map_err(|_| corrupt("identity"))?,
            name: name.map_err(|_| corrupt("name"))?,
            role: self.role.parse().map_err(|()| corrupt("role"))?,
            state: self.state.parse().map_err(|()| corrupt("state"))?,
            joined_at: instant(self.joined_at),
            left_at: self.left_at.map(instant),
            metadata: Metadata::from_text(&self.metadata).map_err(|_| corrupt("metadata"))?,
            sid: self.sid,
            session_at: self.session_at.map(instant),
            tracks: self.tracks.parse().map_err(|()| corrupt("tracks"))?,
            changed_at: instant(self.changed_at),
            expires_at: self.expires_at.map(instant),
            last_visit: self.last_joined_at.map(instant).zip(self.last_left_at.map(instant)),
        })
    }
}

/// A participant from its JSON; none for the empty text.
///
/// # Errors
/// [`StoreError::Corrupt`] for anything else.
pub fn participant(json: &str) -> Result<Option<Participant>, StoreError> {
    if json.is_empty() {
        return Ok(None);
    }
    let stored: StoredParticipant = serde_json::from_str(json).map_err(|_| corrupt("participant"))?;
    stored.into_domain().map(Some)
}

/// Participants from their JSON, leaving out those that are gone by now.
///
/// # Errors
/// [`StoreError::Corrupt`] for one that cannot be read.
pub fn participants(texts: Vec<Option<String>>) -> Result<Vec<Participant>, StoreError> {
    texts.into_iter().flatten().filter_map(|text| participant(&text).transpose()).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredEvent {
    kind: String,
    cursor: String,
    previous: String,
    previous_of_all: String,
    timestamp: f64,
    stream: Fields,
    participant: Option<StoredParticipant>,
    previous_status: Option<String>,
    reason: Option<String>,
}

/// An event from its entry in a log or its message on a channel; both are the same text.
///
/// # Errors
/// [`StoreError::Corrupt`] for anything else.
pub fn event(json: &[u8]) -> Result<Event, StoreError> {
    let stored: StoredEvent = serde_json::from_slice(json).map_err(|_| corrupt("event"))?;
    let cursor = |text: &str| text.parse().map_err(|_| corrupt("cursor"));
    let previous_status = stored.previous_status.map(|text| text.parse()).transpose();
    Ok(Event {
        cursor: cursor(&stored.cursor)?,
        previous: cursor(&stored.previous)?,
        previous_of_all: cursor(&stored.previous_of_all)?,
        timestamp: instant(stored.timestamp),
        draft: Draft {
            kind: stored.kind.parse::<EventKind>().map_err(|()| corrupt("kind"))?,
            stream: stream(stored.stream)?,
            participant: stored.participant.map(StoredParticipant::into_domain).transpose()?,
            previous_status: previous_status.map_err(|()| corrupt("previousStatus"))?,
            reason: stored.reason,
        },
    })
}
