//! The JSON object that an app attaches to a stream or a participant.

use serde::{Serialize, Serializer, ser::Error};
use serde_json::value::RawValue;

use super::json::{Json, JsonError, Members, merge};

/// The most bytes that a metadata object may have as JSON text (LiveKit refuses room metadata of 64 KiB and more).
pub const MAX_METADATA_BYTES: usize = 60_000;

/// A JSON object of at most [`MAX_METADATA_BYTES`] as compact text, which is what Redis and LiveKit store and compare.
/// Every digit and every escape is as the app sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    text: String,
}

/// A JSON Merge Patch (RFC 7396) of a metadata object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataPatch {
    members: Members,
}

/// Why a text is not metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The text is not a JSON object.
    #[error("must be a JSON object")]
    NotAnObject,
    /// An object has a key twice; only one of the values could be kept.
    #[error("has the key {0:?} twice")]
    RepeatedKey(String),
    /// The text is not JSON, or nested too deeply.
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
    /// Reads JSON text.
    ///
    /// # Errors
    /// As [`Self::from_json`], and [`MetadataError::Json`] for text that is not JSON.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        Self::from_json(Json::parse(text)?)
    }

    /// Takes a value from a caller.
    ///
    /// # Errors
    /// [`MetadataError`] for a value that is not an object, has a key twice or is too long.
    pub fn from_json(json: Json) -> Result<Self, MetadataError> {
        Self::of(members(json)?)
    }

    /// The text that [`Self::as_text`] gave to the store.
    ///
    /// # Errors
    /// [`MetadataError::NotAnObject`] for text that cannot have come from there.
    pub fn stored(text: String) -> Result<Self, MetadataError> {
        if text.starts_with('{') { Ok(Self { text }) } else { Err(MetadataError::NotAnObject) }
    }

    fn of(members: Members) -> Result<Self, MetadataError> {
        let text = Json::Object(members).to_string();
        if text.len() > MAX_METADATA_BYTES { Err(MetadataError::TooLong) } else { Ok(Self { text }) }
    }

    /// The object as compact JSON text.
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// This object changed by a patch.
    ///
    /// # Errors
    /// [`MetadataError::TooLong`] where the result would be too long.
    pub fn merged(&self, patch: &MetadataPatch) -> Result<Self, MetadataError> {
        Self::of(merge(members(Json::parse(&self.text)?)?, &patch.members))
    }
}

impl MetadataPatch {
    /// Reads JSON text.
    ///
    /// # Errors
    /// As [`Self::from_json`], and [`MetadataError::Json`] for text that is not JSON.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        Self::from_json(Json::parse(text)?)
    }

    /// Takes a value from a caller.
    ///
    /// # Errors
    /// [`MetadataError`] for a value that is not an object or has a key twice.
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

/// Writes JSON text as the value that it is.
pub(super) fn serialize_json<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::from_str::<&RawValue>(text).map_err(S::Error::custom)?.serialize(serializer)
}

/// What a participant's metadata is in LiveKit: any text. A JSON object is shown as the object, other text as a JSON
/// string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantMetadata {
    text: String,
    is_object: bool,
}

impl ParticipantMetadata {
    /// Takes text of any length and form. An object is compacted, so that its text is one line.
    pub fn reported(text: &str) -> Self {
        match Json::parse(text) {
            Ok(json @ Json::Object(_)) => Self { text: json.to_string(), is_object: true },
            _ => Self { text: text.to_owned(), is_object: false },
        }
    }

    /// The JSON text that stores keep: the compact object, or other text as a JSON string.
    pub fn as_stored(&self) -> String {
        // A string always serializes.
        if self.is_object { self.text.clone() } else { serde_json::to_string(&self.text).unwrap_or_default() }
    }

    /// Reads what [`Self::as_stored`] gave, without parsing the object again.
    ///
    /// # Errors
    /// [`MetadataError::NotAnObject`] for text that cannot have come from there.
    pub fn stored(text: String) -> Result<Self, MetadataError> {
        if text.starts_with('{') {
            return Ok(Self { text, is_object: true });
        }
        let text = serde_json::from_str(&text).map_err(|_| MetadataError::NotAnObject)?;
        Ok(Self { text, is_object: false })
    }

    /// The text as LiveKit holds it, compacted where it is an object.
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// Whether it is a JSON object.
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

    /// The examples of RFC 7396, appendix A, whose original and patch are objects.
    #[test]
    fn patch_merges_as_the_rfc_says() {
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
    fn metadata_is_an_object_of_bounded_size_without_repeated_keys() {
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
    fn participant_metadata_is_shown_as_object_or_as_string() {
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
        fn merging_twice_is_merging_once(a in "[a-c]{1,2}", b in "[a-c]{1,2}", v in any::<i32>()) {
            let patch = format!(r#"{{"{a}":{{"{b}":{v}}},"z":null}}"#);
            let once = merged(&format!(r#"{{"{a}":{{"{b}":1}}}}"#), &patch);
            prop_assert_eq!(merged(&once, &patch), once);
        }
    }
}
