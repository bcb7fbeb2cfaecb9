//! Decodes stored values into the domain's types. The scripts encode them.

mod error;
mod rejection;
mod stored_block;
mod stored_egress;
mod stored_ingress;
mod stored_participant;
mod stored_spec;
mod stored_target;
mod stored_time;
mod stored_visit;
mod stream_hash;
mod text;

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;

pub(super) use self::{error::corrupt, stream_hash::STATE};
pub use self::{
    rejection::rejection,
    stored_block::block,
    stored_egress::{egress, egress_outputs, egress_plan, reported_egress},
    stored_ingress::{ingress, ingress_plan, reported_ingress},
    stored_participant::{participant, participants},
    stored_spec::egress_spec,
    stored_target::{addresses, requested_targets, target_ids},
    stored_visit::visit_log_entry,
    stream_hash::Fields,
};
use self::{
    stored_egress::StoredEgress,
    stored_ingress::StoredIngress,
    stored_participant::StoredParticipant,
    text::{optional, parsed, required_time, time},
};

use crate::{
    domain::{
        Cursor, Event, EventKind, Identity, Metadata, PartialStream, ParticipantCounts, RoomName, Stream,
        Timestamp, event::Draft,
    },
    store::StoreError,
};

/// A stream's fields in JSON. Every value is a text; borrowed to avoid copies.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredStream<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    room_name: Cow<'a, str>,
    #[serde(borrow)]
    room_sid: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    /// Absent in events whose metadata is large and has not changed.
    #[serde(borrow, default)]
    metadata: Cow<'a, str>,
    #[serde(borrow)]
    max_participants: Cow<'a, str>,
    #[serde(borrow)]
    idle_after: Cow<'a, str>,
    #[serde(borrow)]
    audience: Cow<'a, str>,
    #[serde(borrow)]
    hosts: Cow<'a, str>,
    #[serde(borrow)]
    viewers: Cow<'a, str>,
    #[serde(borrow)]
    peak: Cow<'a, str>,
    /// Absent in streams that an earlier version recorded.
    #[serde(borrow, default)]
    uncounted: Cow<'a, str>,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
    #[serde(borrow)]
    started_at: Cow<'a, str>,
    #[serde(borrow)]
    updated_at: Cow<'a, str>,
    #[serde(borrow)]
    stopped_at: Cow<'a, str>,
    #[serde(borrow, default)]
    backstage: Cow<'a, str>,
    #[serde(borrow, default)]
    live_at: Cow<'a, str>,
    /// Absent in events and answers if no identity is blocked.
    #[serde(borrow, default)]
    blocks: Cow<'a, str>,
    /// Absent if the stream never had an ingress.
    #[serde(borrow, default)]
    ingresses: Cow<'a, str>,
    /// `1`, or absent or empty for false.
    #[serde(borrow, default)]
    recording: Cow<'a, str>,
    /// As [`Self::recording`].
    #[serde(borrow, default)]
    broadcasting: Cow<'a, str>,
    #[serde(borrow)]
    empty_since: Cow<'a, str>,
    #[serde(borrow)]
    locked_until: Cow<'a, str>,
    #[serde(borrow)]
    reason: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    count_events: Cow<'a, str>,
}

impl StoredStream<'_> {
    fn into_domain(self) -> Result<Stream, StoreError> {
        let partial = self.into_partial()?;
        if partial.metadata.is_none() {
            return Err(corrupt("metadata"));
        }
        Ok(partial.with_metadata(Metadata::default()))
    }

    fn into_partial(self) -> Result<PartialStream, StoreError> {
        let room_name = RoomName::parse(self.room_name.into_owned());
        let metadata =
            (!self.metadata.is_empty()).then(|| Metadata::stored(self.metadata.into_owned())).transpose();
        let version: u64 = parsed("version", &self.version)?;
        Ok(PartialStream {
            id: parsed("id", &self.id)?,
            room_name: room_name.map_err(|_| corrupt("roomName"))?,
            room_sid: (!self.room_sid.is_empty()).then(|| self.room_sid.as_ref().into()),
            status: parsed("status", &self.status)?,
            metadata: metadata.map_err(|_| corrupt("metadata"))?,
            max_participants: optional("maxParticipants", &self.max_participants)?,
            idle_after: optional("idleAfter", &self.idle_after)?.map(Duration::from_millis),
            audience: parsed("audience", &self.audience)?,
            counts: ParticipantCounts {
                hosts: parsed("hosts", &self.hosts)?,
                viewers: parsed("viewers", &self.viewers)?,
            },
            peak_participant_count: parsed("peak", &self.peak)?,
            uncounted: optional("uncounted", &self.uncounted)?.unwrap_or_default(),
            blocks: optional("blocks", &self.blocks)?.unwrap_or_default(),
            ingresses: optional("ingresses", &self.ingresses)?.unwrap_or_default(),
            recording: !self.recording.is_empty(),
            broadcasting: !self.broadcasting.is_empty(),
            created_at: required_time("createdAt", &self.created_at)?,
            started_at: time("startedAt", &self.started_at)?,
            updated_at: required_time("updatedAt", &self.updated_at)?,
            stopped_at: time("stoppedAt", &self.stopped_at)?,
            backstage: !self.backstage.is_empty(),
            live_at: time("liveAt", &self.live_at)?,
            empty_since: time("emptySince", &self.empty_since)?,
            lock_expires_at: time("lockedUntil", &self.locked_until)?,
            reason: optional("reason", &self.reason)?,
            version,
            content_version: version.saturating_sub(parsed("countEvents", &self.count_events)?),
        })
    }
}

/// Decodes a stream from its hash.
///
/// # Errors
/// [`StoreError::Corrupt`] for a missing or invalid field.
pub fn stream(fields: &Fields) -> Result<Stream, StoreError> {
    stream_from_json(&stream_hash::json(fields).ok_or_else(|| corrupt("stream"))?)
}

/// Decodes the cursor of a stream's newest event from its hash.
///
/// # Errors
/// [`StoreError::Corrupt`] for a missing or invalid cursor.
pub fn cursor_of(fields: &Fields) -> Result<Cursor, StoreError> {
    let state = fields.get(STATE).and_then(|state| stream_hash::cursor_of_state(state));
    state.ok_or_else(|| corrupt("cursor"))
}

/// Decodes the newest cursor of all events, or that of a stream's [`STATE`]; an absent one is that of an empty log.
///
/// # Errors
/// [`StoreError::Corrupt`] for an invalid cursor.
pub fn tail(text: Option<String>) -> Result<Cursor, StoreError> {
    let cursor = text.map_or(Some(Cursor::ORIGIN), |text| stream_hash::cursor_of_state(&text));
    cursor.ok_or_else(|| corrupt("tail"))
}

/// Decodes a stream from the JSON in a script's answer.
///
/// # Errors
/// [`StoreError::Corrupt`] for invalid JSON or an invalid field.
pub fn stream_from_json(json: &str) -> Result<Stream, StoreError> {
    serde_json::from_str::<StoredStream<'_>>(json).map_err(|_| corrupt("stream"))?.into_domain()
}

/// Lua has only doubles; milliseconds since 1970 are exact in them.
#[expect(clippy::cast_possible_truncation, reason = "the scripts only write whole milliseconds")]
pub(super) fn instant(ms: f64) -> Timestamp {
    Timestamp::from_millis(ms as i64)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredEvent<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    cursor: Cow<'a, str>,
    #[serde(borrow)]
    previous: Cow<'a, str>,
    #[serde(borrow)]
    previous_of_all: Cow<'a, str>,
    timestamp: f64,
    #[serde(borrow)]
    stream: StoredStream<'a>,
    participant: Option<StoredParticipant>,
    #[serde(default)]
    removed: bool,
    previous_status: Option<String>,
    reason: Option<String>,
    by: Option<String>,
    identity: Option<String>,
    ingress: Option<StoredIngress>,
    egress: Option<StoredEgress>,
}

/// Decodes an event from the JSON of a log entry or a channel's message, which are the same.
///
/// # Errors
/// [`StoreError::Corrupt`] for invalid JSON or an invalid field.
pub fn event(json: &[u8]) -> Result<Event, StoreError> {
    let stored: StoredEvent<'_> = serde_json::from_slice(json).map_err(|_| corrupt("event"))?;
    let cursor = |text: &str| text.parse().map_err(|_| corrupt("cursor"));
    let previous_status = stored.previous_status.map(|text| text.parse()).transpose();
    Ok(Event {
        cursor: cursor(&stored.cursor)?,
        previous: cursor(&stored.previous)?,
        previous_of_all: cursor(&stored.previous_of_all)?,
        timestamp: instant(stored.timestamp),
        draft: Draft {
            kind: stored.kind.parse::<EventKind>().map_err(|_| corrupt("kind"))?,
            stream: stored.stream.into_partial()?,
            participant: stored.participant.map(StoredParticipant::into_domain).transpose()?,
            removed: stored.removed,
            previous_status: previous_status.map_err(|_| corrupt("previousStatus"))?,
            reason: stored.reason,
            by: stored.by.and_then(Identity::reported),
            identity: stored.identity.and_then(Identity::reported),
            ingress: stored.ingress.map(StoredIngress::into_domain).transpose()?.map(Box::new),
            egress: stored.egress.map(StoredEgress::into_domain).transpose()?.map(Box::new),
        },
    })
}

#[cfg(test)]
mod tests;
