//! An event as a client receives it, with the same fields for each transport.

use serde_json::Value;

use super::grpc::StreamEvent;

/// A received event: the fields that every transport sends.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedEvent {
    pub stream: String,
    pub seq: u64,
    pub cursor: String,
    /// Milliseconds since 1970.
    pub at: i64,
    /// The whole event; `None` over gRPC.
    pub json: Option<Value>,
}

impl ReceivedEvent {
    pub fn from_json(json: Value) -> Self {
        let text = |key: &str| json[key].as_str().unwrap_or_else(|| panic!("no {key} in {json}"));
        Self {
            stream: text("streamId").to_owned(),
            seq: json["seq"].as_u64().unwrap(),
            cursor: text("cursor").to_owned(),
            at: chrono::DateTime::parse_from_rfc3339(text("timestamp")).unwrap().timestamp_millis(),
            json: Some(json),
        }
    }

    /// Compares the common fields, and the JSON if both events have it.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let is_equal = |(one, two): (&Value, &Value)| one == two;
        (&self.stream, self.seq, &self.cursor, self.at) == (&other.stream, other.seq, &other.cursor, other.at)
            && self.json.as_ref().zip(other.json.as_ref()).is_none_or(is_equal)
    }
}

impl From<StreamEvent> for ReceivedEvent {
    fn from(event: StreamEvent) -> Self {
        let StreamEvent { stream_id, seq, cursor, timestamp, .. } = event;
        Self { stream: stream_id, seq, cursor, at: timestamp, json: None }
    }
}
