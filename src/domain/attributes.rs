//! LiveKit's participant attributes: a map of strings.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::{metadata::serialize_json, removal::MARK_KEY};

/// Maximum size of one participant's attributes as JSON text, in bytes. LiveKit's limit is 64,000 bytes of keys and
/// values.
pub const MAX_ATTRIBUTES_BYTES: usize = 60_000;

/// Attributes of one participant as a compact JSON object of strings, in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    text: String,
}

/// Rule that a caller's attributes break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributesError {
    /// The attributes' JSON text is longer than [`MAX_ATTRIBUTES_BYTES`].
    #[error("must be at most {MAX_ATTRIBUTES_BYTES} bytes as JSON text")]
    TooLong,
    /// The attributes have [`MARK_KEY`].
    #[error("must not have the key {MARK_KEY:?}, which the service sets")]
    Reserved,
}

impl Attributes {
    /// Parses attributes from a caller.
    ///
    /// # Errors
    /// [`AttributesError`] above [`MAX_ATTRIBUTES_BYTES`], or with [`MARK_KEY`].
    pub fn parse(attributes: BTreeMap<String, String>) -> Result<Self, AttributesError> {
        if attributes.contains_key(MARK_KEY) {
            return Err(AttributesError::Reserved);
        }
        let attributes = Self::reported(attributes);
        if attributes.text.len() > MAX_ATTRIBUTES_BYTES {
            Err(AttributesError::TooLong)
        } else {
            Ok(attributes)
        }
    }

    /// Accepts attributes of any size that LiveKit reports.
    pub fn reported(attributes: impl IntoIterator<Item = (String, String)>) -> Self {
        let attributes: BTreeMap<_, _> = attributes.into_iter().collect();
        // A map of strings always serializes.
        Self { text: serde_json::to_string(&attributes).unwrap_or_default() }
    }

    /// Restores attributes from [`Self::as_text`] without parsing them.
    pub fn stored(text: String) -> Self {
        Self { text }
    }

    /// Reports whether the map is empty.
    pub fn is_empty(&self) -> bool {
        self.text == "{}"
    }

    /// Parses the text into keys and values.
    pub fn entries(&self) -> BTreeMap<String, String> {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// Returns the attributes as a JSON object.
    pub fn as_text(&self) -> &str {
        &self.text
    }
}

impl Default for Attributes {
    fn default() -> Self {
        Self { text: "{}".to_owned() }
    }
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_json(&self.text, serializer)
    }
}
