//! Parses and makes the texts of stored values.

use serde::{Serialize, de::DeserializeOwned};

use super::error::corrupt;
use crate::{domain::Timestamp, store::StoreError};

pub(super) fn parsed<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| corrupt(name))
}

/// Parses a text; `None` for the empty text.
pub(super) fn optional<T: std::str::FromStr>(name: &str, text: &str) -> Result<Option<T>, StoreError> {
    if text.is_empty() { Ok(None) } else { parsed(name, text).map(Some) }
}

pub(super) fn time(name: &str, text: &str) -> Result<Option<Timestamp>, StoreError> {
    Ok(optional(name, text)?.map(Timestamp::from_millis))
}

pub(super) fn required_time(name: &str, text: &str) -> Result<Timestamp, StoreError> {
    time(name, text)?.ok_or_else(|| corrupt(name))
}

/// Encodes a value that always serialises: texts and numbers.
pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Decodes a part of a record.
///
/// # Errors
/// [`StoreError::Corrupt`] for invalid JSON.
pub(super) fn decode<T: DeserializeOwned>(what: &str, json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|_| corrupt(what))
}
