//! Decodes participants.

use serde::Deserialize;

use super::{error::corrupt, stored_time::StoredTime};
use crate::{
    domain::{
        Attributes, DisplayName, Identity, Participant, ParticipantKind, ParticipantMetadata, Removals,
        removal::PendingRemoval,
    },
    store::StoreError,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredParticipant {
    identity: String,
    name: Option<String>,
    role: String,
    role_set: Option<bool>,
    state: String,
    joined_at: StoredTime,
    left_at: Option<StoredTime>,
    metadata: String,
    attributes: Option<String>,
    kind: Option<String>,
    hidden: Option<bool>,
    sid: Option<String>,
    session_at: Option<StoredTime>,
    #[serde(default)]
    tracks: String,
    hand_raised_at: Option<StoredTime>,
    #[serde(default)]
    changed_at: StoredTime,
    expires_at: Option<StoredTime>,
    last_joined_at: Option<StoredTime>,
    last_left_at: Option<StoredTime>,
    removals: Option<String>,
    removed_sid: Option<String>,
    /// Identity of the caller, or the empty text.
    removing: Option<String>,
    /// Absent for 0; the empty text for a token that this service has not made.
    issued: Option<String>,
}

impl StoredParticipant {
    fn removals(&self) -> Result<Removals, StoreError> {
        let number = |text: &str| text.parse().map_err(|_| corrupt("removals"));
        let issued = self.issued.as_deref().unwrap_or("0");
        Ok(Removals {
            count: self.removals.as_deref().map_or(Ok(0), number)?,
            last: self.removed_sid.clone().map(Into::into),
            pending: self.removing.clone().map(|by| PendingRemoval { by: Identity::reported(by) }),
            before_token: (!issued.is_empty()).then(|| number(issued)).transpose()?,
        })
    }

    pub(super) fn into_domain(self) -> Result<Participant, StoreError> {
        let removals = self.removals()?;
        Ok(Participant {
            removals,
            identity: Identity::reported(self.identity).ok_or_else(|| corrupt("identity"))?,
            name: self.name.and_then(DisplayName::reported),
            role: self.role.parse().map_err(|_| corrupt("role"))?,
            role_recorded: self.role_set.unwrap_or_default(),
            state: self.state.parse().map_err(|_| corrupt("state"))?,
            joined_at: self.joined_at.0,
            left_at: self.left_at.map(|time| time.0),
            metadata: ParticipantMetadata::stored(self.metadata).map_err(|_| corrupt("metadata"))?,
            attributes: self.attributes.map(Attributes::stored).unwrap_or_default(),
            kind: self.kind.as_deref().map(ParticipantKind::of).unwrap_or_default(),
            hidden: self.hidden.unwrap_or_default(),
            sid: self.sid.map(Into::into),
            session_at: self.session_at.map(|time| time.0),
            tracks: self.tracks.parse().map_err(|_| corrupt("tracks"))?,
            hand_raised_at: self.hand_raised_at.map(|time| time.0),
            changed_at: self.changed_at.0,
            expires_at: self.expires_at.map(|time| time.0),
            last_visit: self.last_joined_at.map(|time| time.0).zip(self.last_left_at.map(|time| time.0)),
        })
    }
}

/// Decodes a participant from its JSON; `None` for the empty text.
///
/// # Errors
/// [`StoreError::Corrupt`] for invalid JSON or an invalid field.
pub fn participant(json: &str) -> Result<Option<Participant>, StoreError> {
    if json.is_empty() {
        return Ok(None);
    }
    let stored: StoredParticipant = serde_json::from_str(json).map_err(|_| corrupt("participant"))?;
    stored.into_domain().map(Some)
}

/// Decodes participants from their JSON.
///
/// # Errors
/// [`StoreError::Corrupt`] for an invalid entry.
pub fn participants(texts: &[String]) -> Result<Vec<Participant>, StoreError> {
    texts.iter().filter_map(|text| participant(text).transpose()).collect()
}
