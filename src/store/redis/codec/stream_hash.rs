//! The layout of a stream's hash. `lua/changes/shared/stream.lua` writes it.

use std::collections::HashMap;

use crate::domain::Cursor;

/// A stream's hash.
pub type Fields = HashMap<String, String>;

/// Field of the hash: the values of [`STATE_FIELDS`], separated by spaces. A change of any of them is visible to
/// readers.
pub(in crate::store::redis) const STATE: &str = "state";

/// The names of the values in [`STATE`], in order.
const STATE_FIELDS: [&str; 17] = [
    "cursor",
    "version",
    "countEvents",
    "updatedAt",
    "status",
    "audience",
    "hosts",
    "viewers",
    "peak",
    "uncounted",
    "emptySince",
    "lockedUntil",
    "logBytes",
    "maxParticipants",
    "listedMax",
    "backstage",
    "blocks",
];

/// The stream's fields as one JSON object, as events and answers of scripts have them; `None` for an incomplete hash.
pub(super) fn json(fields: &Fields) -> Option<String> {
    let metadata = fields.get("metadata").or_else(|| fields.get("largeMetadata"))?;
    let mut json = fields.get("base")?.strip_suffix('}')?.to_owned();
    let values = fields.get(STATE)?.split(' ');
    for (name, value) in STATE_FIELDS.iter().zip(values) {
        json.extend([",\"", name, "\":\"", value, "\""]);
    }
    json.extend([",\"metadata\":", metadata, "}"]);
    Some(json)
}

/// The cursor of a stream's newest event, from the field [`STATE`] of its hash; `None` for an invalid one.
pub(super) fn cursor_of_state(state: &str) -> Option<Cursor> {
    state.split(' ').next()?.parse().ok()
}
