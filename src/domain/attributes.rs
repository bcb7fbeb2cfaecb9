//! LiveKit's participant attributes: strings by string.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::metadata::serialize_json;

/// The most bytes that the attributes of one participant may have as JSON text. LiveKit's own limit is 64,000 bytes of
/// keys and values.
pub const MAX_ATTRIBUTES_BYTES: usize = 60_000;

/// The attributes of one participant as a compact JSON object of strings, in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    text: String,
}

/// The attributes' JSON text is longer than [`MAX_ATTRIBUTES_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be at most {MAX_ATTRIBUTES_BYTES} bytes as JSON text")]
pub struct AttributesTooLong;

impl Attributes {
    /// Takes attributes from a caller.
    ///
    /// # Errors
    /// [`AttributesTooLong`].
    pub fn parse(attributes: BTreeMap<String, String>) -> Result<Self, AttributesTooLong> {
        let attributes = Self::reported(attributes);
        if attributes.text.len() > MAX_ATTRIBUTES_BYTES { Err(AttributesTooLong) } else { Ok(attributes) }
    }

    /// Takes attributes that LiveKit reports, whatever their size.
    pub fn reported(attributes: impl IntoIterator<Item = (String, String)>) -> Self {
        let attributes: BTreeMap<_, _> = attributes.into_iter().collect();
        // A map of strings always serializes.
        Self { text: serde_json::to_string(&attributes).unwrap_or_default() }
    }

    /// Takes what [`Self::as_text`] gave to the store.
    pub fn stored(text: String) -> Self {
        Self { text }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.text == "{}"
    }

    /// Keys and values, read from the text.
    pub fn entries(&self) -> BTreeMap<String, String> {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The attributes as a JSON object.
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
