//! LiveKit's participant attributes: strings by string.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The most bytes that the keys and values of one participant may have together (LiveKit's own default is 64,000).
pub const MAX_ATTRIBUTES_BYTES: usize = 60_000;

/// The attributes of one participant, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(BTreeMap<String, String>);

/// Keys and values together are longer than [`MAX_ATTRIBUTES_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be at most {MAX_ATTRIBUTES_BYTES} bytes in keys and values together")]
pub struct AttributesTooLong;

impl Attributes {
    /// Takes attributes from a caller.
    ///
    /// # Errors
    /// [`AttributesTooLong`].
    pub fn parse(attributes: BTreeMap<String, String>) -> Result<Self, AttributesTooLong> {
        let attributes = Self(attributes);
        if attributes.bytes() > MAX_ATTRIBUTES_BYTES { Err(AttributesTooLong) } else { Ok(attributes) }
    }

    /// The length of keys and values together, in bytes of UTF-8.
    pub fn bytes(&self) -> usize {
        self.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    /// Takes attributes that LiveKit reports, whatever their size.
    pub fn reported(attributes: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(attributes.into_iter().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The attributes as a JSON object.
    pub fn as_text(&self) -> String {
        // A map of strings always serializes.
        serde_json::to_string(self).unwrap_or_default()
    }
}
