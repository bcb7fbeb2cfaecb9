//! The JSON object that an app attaches to a stream or a participant.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// The most bytes that a metadata object may have as JSON text (LiveKit refuses room metadata of 64 KiB and more).
pub const MAX_METADATA_BYTES: usize = 60_000;

/// A JSON object of at most [`MAX_METADATA_BYTES`], kept beside its text, because the text is what Redis and LiveKit
/// store and compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    object: Map<String, Value>,
    text: String,
}

/// Why a value is not metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The value is not a JSON object.
    #[error("must be a JSON object")]
    NotAnObject,
    /// The object's text is too long.
    #[error("must be at most {MAX_METADATA_BYTES} bytes as JSON text")]
    TooLong,
}

impl Metadata {
    /// Accepts a JSON object that is not too long.
    ///
    /// # Errors
    /// [`MetadataError`] for anything but an object and for one that is too long.
    pub fn from_value(value: Value) -> Result<Self, MetadataError> {
        let Value::Object(object) = value else { return Err(MetadataError::NotAnObject) };
        Self::from_object(object)
    }

    /// Reads JSON text, as Redis and LiveKit hold it.
    ///
    /// # Errors
    /// [`MetadataError`] for text that is not a JSON object or too long.
    pub fn from_text(text: &str) -> Result<Self, MetadataError> {
        if text.len() > MAX_METADATA_BYTES {
            return Err(MetadataError::TooLong);
        }
        let object = serde_json::from_str(text).map_err(|_| MetadataError::NotAnObject)?;
        // The text as it stands there, because it is compared with it.
        Ok(Self { object, text: text.to_owned() })
    }

    fn from_object(object: Map<String, Value>) -> Result<Self, MetadataError> {
        // A map with string keys always serializes; should it not, the object is refused rather than the process ended.
        let text = serde_json::to_string(&object).map_err(|_| MetadataError::NotAnObject)?;
        if text.len() > MAX_METADATA_BYTES {
            return Err(MetadataError::TooLong);
        }
        Ok(Self { object, text })
    }

    /// The object.
    pub fn object(&self) -> &Map<String, Value> {
        &self.object
    }

    /// The object as compact JSON text.
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// This object changed by a JSON Merge Patch (RFC 7396): members that are null are removed, objects are merged,
    /// anything else replaces.
    ///
    /// # Errors
    /// [`MetadataError::TooLong`] where the result would be too long.
    pub fn merged(&self, patch: &Map<String, Value>) -> Result<Self, MetadataError> {
        let mut target = self.object.clone();
        merge(&mut target, patch);
        Self::from_object(target)
    }
}

impl Default for Metadata {
    fn default() -> Self {
        Self { object: Map::new(), text: "{}".to_owned() }
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.object.serialize(serializer)
    }
}

fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, change) in patch {
        match change {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(inner) => {
                let entry = target.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
                if !entry.is_object() {
                    *entry = Value::Object(Map::new());
                }
                if let Value::Object(existing) = entry {
                    merge(existing, inner);
                }
            }
            other => {
                target.insert(key.clone(), other.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    /// The examples of RFC 7396, appendix A, whose original and patch are objects.
    #[test]
    fn merges_as_the_rfc_says() {
        for (original, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let merged = Metadata::from_value(original).unwrap().merged(&object(&patch)).unwrap();
            assert_eq!(Value::Object(merged.object().clone()), result);
        }
    }

    #[test]
    fn only_objects_of_bounded_size_are_metadata() {
        assert_eq!(Metadata::from_value(json!([])), Err(MetadataError::NotAnObject));
        assert_eq!(Metadata::from_text("nonsense"), Err(MetadataError::NotAnObject));
        let fits = json!({"a": "x".repeat(MAX_METADATA_BYTES - 8)});
        assert_eq!(Metadata::from_value(fits).unwrap().as_text().len(), MAX_METADATA_BYTES);
        let long = json!({"a": "x".repeat(MAX_METADATA_BYTES - 7)});
        assert_eq!(Metadata::from_value(long), Err(MetadataError::TooLong));
    }

    proptest! {
        #[test]
        fn merging_twice_is_merging_once(a in "[a-c]{1,2}", b in "[a-c]{1,2}", v in any::<i32>()) {
            let start = Metadata::from_value(json!({ a.clone(): { b.clone(): 1 } })).unwrap();
            let patch = object(&json!({ a: { b: v }, "z": null }));
            let once = start.merged(&patch).unwrap();
            prop_assert_eq!(once.merged(&patch).unwrap(), once);
        }
    }
}
