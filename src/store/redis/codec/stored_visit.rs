//! Decodes visits.

use serde::Deserialize;

use super::{error::corrupt, parsed, stored_time::StoredTime};
use crate::{
    domain::{DisplayName, Identity, ParticipantKind, Visit},
    store::StoreError,
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

/// Decodes a visit from its JSON.
///
/// # Errors
/// [`StoreError::Corrupt`] for invalid JSON or an invalid field.
pub fn visit(json: &str) -> Result<Visit, StoreError> {
    let stored: StoredVisit = serde_json::from_str(json).map_err(|_| corrupt("visit"))?;
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
