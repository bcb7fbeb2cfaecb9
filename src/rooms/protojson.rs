//! Values of protojson, the encoding of LiveKit's webhooks.

use serde_json::Value;

/// Returns a text that is not empty. Protojson may omit empty texts.
pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Protojson writes 64-bit integers as strings.
pub(super) fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).filter(|number| *number > 0)
}
