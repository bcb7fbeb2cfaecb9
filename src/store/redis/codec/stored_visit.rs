//! Decodes entries of the log of visits.

use serde::Deserialize;

use super::{error::corrupt, parsed, stored_egress::StoredEgress, stored_time::StoredTime};
use crate::{
    domain::{DisplayName, Identity, ParticipantKind, Visit},
    store::{StoreError, VisitLogEntry},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredVisit {
    stream_id: String,
    identity: String,
    sid: String,
    name: Option<String>,
    role: String,
    kind: Option<String>,
    joined_at: StoredTime,
    left_at: StoredTime,
}

/// Recording that has changed after the end of its stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredRecording {
    stream_id: String,
    recording: StoredEgress,
}

/// Decodes an entry of the log of visits from its JSON.
///
/// # Errors
/// [`StoreError::Corrupt`] for invalid JSON or an invalid field.
pub fn visit_log_entry(json: &str) -> Result<VisitLogEntry, StoreError> {
    // Nearly all entries are visits.
    match serde_json::from_str(json) {
        Ok(stored) => visit(stored).map(VisitLogEntry::Visit),
        Err(_) => recording(json),
    }
}

fn recording(json: &str) -> Result<VisitLogEntry, StoreError> {
    let stored: StoredRecording = serde_json::from_str(json).map_err(|_| corrupt("visit"))?;
    let recording = Box::new(stored.recording.into_domain()?);
    Ok(VisitLogEntry::Recording(parsed("streamId", &stored.stream_id)?, recording))
}

fn visit(stored: StoredVisit) -> Result<Visit, StoreError> {
    Ok(Visit {
        stream_id: parsed("streamId", &stored.stream_id)?,
        identity: Identity::reported(stored.identity).ok_or_else(|| corrupt("identity"))?,
        sid: stored.sid.into(),
        name: stored.name.and_then(DisplayName::reported),
        role: parsed("role", &stored.role)?,
        kind: stored.kind.as_deref().map(ParticipantKind::of).unwrap_or_default(),
        joined_at: stored.joined_at.0,
        left_at: stored.left_at.0,
    })
}
