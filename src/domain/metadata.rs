//! Metadata: the JSON object that an app attaches to a stream or a participant.

use serde::{Serialize, Serializer, ser::Error};
use serde_json::value::RawValue;

use super::{
    json::{Json, JsonError, Members},
    merge_patch::merge,
};

/// Maximum size of a metadata object as JSON text, in bytes. LiveKit rejects room metadata of 64 KiB and more.
pub const MAX_METADATA_BYTES: usize = 60_000;

/// JSON object of at most [`MAX_METADATA_BYTES`] as compact text, which stores and LiveKit keep and compare.
///
/// Digits and escapes stay as the app sent them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    text: String,
}

/// JSON Merge Patch (RFC 7396) of a metadata object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataPatch {
    members: Members,
}

/// Rule that a text breaks as metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The text is not a JSON object.
    #[error("must be a JSON object")]
    NotAnObject,
    /// An object repeats a key.
    #[error("has the key {0:?} twice")]
    RepeatedKey(String),
    /// The text is not JSON, or it is nested too deeply.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The object's compact text is longer than [`MAX_METADATA_BYTES`].
    #[error("must be at most {MAX_METADATA_BYTES} bytes as JSON text")]
    TooLong,
}

fn members(json: Json) -> Result<Members, MetadataError> {
    if let Some(key) = json.repeated_key() {
        return Err(MetadataError::RepeatedKey(key.to_owned()));
    }
    let Json::Object(members) = json else { return Err(MetadataError::NotAnObject) };
    Ok(members)
}

impl Metadata {
    /// Parses JSON text.
    ///
    /// # Errors
    /// Errors of [`Self::from_json`], and [`MetadataError::Json`] for text that is not JSON.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        Self::from_json(Json::parse(text)?)
    }

    /// Converts a JSON value from a caller.
    ///
    /// # Errors
    /// [`MetadataError`] for a value that is not an object, repeats a key or is too long.
    pub fn from_json(json: Json) -> Result<Self, MetadataError> {
        Self::of(members(json)?)
    }

    /// Restores metadata from [`Self::as_text`] without parsing it.
    ///
    /// # Errors
    /// [`MetadataError::NotAnObject`] for text that does not begin an object.
    pub fn stored(text: String) -> Result<Self, MetadataError> {
        if text.starts_with('{') { Ok(Self { text }) } else { Err(MetadataError::NotAnObject) }
    }

    fn of(members: Members) -> Result<Self, MetadataError> {
        let text = Json::Object(members).to_string();
        if text.len() > MAX_METADATA_BYTES { Err(MetadataError::TooLong) } else { Ok(Self { text }) }
    }

    /// Returns the object as compact JSON text.
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// Applies a patch.
    ///
    /// # Errors
    /// [`MetadataError::TooLong`] if the result is too long.
    pub fn merged(&self, patch: &MetadataPatch) -> Result<Self, MetadataError> {
        Self::of(merge(members(Json::parse(&self.text)?)?, &patch.members))
    }
}

impl MetadataPatch {
    /// Parses JSON text.
    ///
    /// # Errors
    /// Errors of [`Self::from_json`], and [`MetadataError::Json`] for text that is not JSON.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        Self::from_json(Json::parse(text)?)
    }

    /// Converts a JSON value from a caller.
    ///
    /// # Errors
    /// [`MetadataError`] for a value that is not an object or repeats a key.
    pub fn from_json(json: Json) -> Result<Self, MetadataError> {
        members(json).map(|members| Self { members })
    }
}

impl Default for Metadata {
    fn default() -> Self {
        Self { text: "{}".to_owned() }
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_json(&self.text, serializer)
    }
}

/// Serializes JSON text as a value instead of a string.
pub(super) fn serialize_json<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::from_str::<&RawValue>(text).map_err(S::Error::custom)?.serialize(serializer)
}

/// Metadata of a participant, which in LiveKit is any text.
///
/// A JSON object serializes as the object, other text as a JSON string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantMetadata {
    text: String,
    is_object: bool,
}

impl ParticipantMetadata {
    /// Accepts text of any length and form. An object is compacted.
    pub fn reported(text: &str) -> Self {
        match Json::parse(text) {
            Ok(json @ Json::Object(_)) => Self { text: json.to_string(), is_object: true },
            _ => Self { text: text.to_owned(), is_object: false },
        }
    }

    /// Returns the metadata after a merge patch (RFC 7396). Text that is no object counts as an empty object.
    ///
    /// # Errors
    /// As [`Metadata::merged`].
    pub fn merged(&self, patch: &MetadataPatch) -> Result<Metadata, MetadataError> {
        let known = if self.is_object { Metadata { text: self.text.clone() } } else { Metadata::default() };
        known.merged(patch)
    }

    /// Returns the JSON text that stores keep: the compact object, or other text as a JSON string.
    pub fn as_stored(&self) -> String {
        // A string always serializes.
        if self.is_object { self.text.clone() } else { serde_json::to_string(&self.text).unwrap_or_default() }
    }

    /// Restores metadata from [`Self::as_stored`] without parsing an object.
    ///
    /// # Errors
    /// [`MetadataError::NotAnObject`] for text that is neither an object nor a JSON string.
    pub fn stored(text: String) -> Result<Self, MetadataError> {
        if text.starts_with('{') {
            return Ok(Self { text, is_object: true });
        }
        let text = serde_json::from_str(&text).map_err(|_| MetadataError::NotAnObject)?;
        Ok(Self { text, is_object: false })
    }

    /// Returns LiveKit's text, compacted if it is an object.
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// Reports whether the text is a JSON object.
    pub fn is_object(&self) -> bool {
        self.is_object
    }
}

impl Default for ParticipantMetadata {
    fn default() -> Self {
        Metadata::default().into()
    }
}

impl From<Metadata> for ParticipantMetadata {
    fn from(metadata: Metadata) -> Self {
        Self { text: metadata.text, is_object: true }
    }
}

impl Serialize for ParticipantMetadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_object {
            serialize_json(&self.text, serializer)
        } else {
            serializer.serialize_str(&self.text)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn merged(original: &str, patch: &str) -> String {
        let patch = MetadataPatch::parse(patch).unwrap();
        Metadata::parse(original).unwrap().merged(&patch).unwrap().as_text().to_owned()
    }

    /// Examples of RFC 7396, appendix A, whose original and patch are objects.
    #[test]
    fn patch_merges_as_in_the_rfc_examples() {
        for (original, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merged(original, patch), result);
        }
    }

    #[test]
    fn metadata_must_be_an_object_of_bounded_size_without_repeated_keys() {
        assert_eq!(Metadata::parse("[]"), Err(MetadataError::NotAnObject));
        assert!(matches!(Metadata::parse("nonsense"), Err(MetadataError::Json(_))));
        assert_eq!(
            Metadata::parse(r#"{"a":{"b":1,"b":2}}"#),
            Err(MetadataError::RepeatedKey("b".to_owned()))
        );
        let of_length = |length: usize| format!(r#"{{"a": "{}"}}"#, "x".repeat(length - 8));
        let fits = Metadata::parse(&of_length(MAX_METADATA_BYTES)).unwrap();
        assert_eq!(fits.as_text().len(), MAX_METADATA_BYTES);
        assert_eq!(Metadata::parse(&of_length(MAX_METADATA_BYTES + 1)), Err(MetadataError::TooLong));
    }

    #[test]
    fn participant_metadata_serializes_as_object_or_string() {
        for (text, shown) in [
            ("{ \"a\":\n1.0 }", r#"{"a":1.0}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#),
            ("plain\nwords", r#""plain\nwords""#),
            ("[1]", r#""[1]""#),
            ("{", r#""{""#),
            ("", r#""""#),
        ] {
            let metadata = ParticipantMetadata::reported(text);
            assert_eq!(serde_json::to_string(&metadata).unwrap(), shown);
            assert_eq!(ParticipantMetadata::reported(metadata.as_text()), metadata);
            assert_eq!(ParticipantMetadata::stored(metadata.as_stored()), Ok(metadata));
        }
    }

    proptest! {
        #[test]
        fn patch_applied_twice_equals_patch_applied_once(a in "[a-c]{1,2}", b in "[a-c]{1,2}", v in any::<i32>()) {
            let patch = format!(r#"{{"{a}":{{"{b}":{v}}},"z":null}}"#);
            let once = merged(&format!(r#"{{"{a}":{{"{b}":1}}}}"#), &patch);
            prop_assert_eq!(merged(&once, &patch), once);
        }
    }
}
