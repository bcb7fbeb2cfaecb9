//! An event as a client receives it, with the same fields for each transport.

use serde_json::Value;

use super::grpc::{self, StreamEvent};

/// Numbers of connected participants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub hosts: u64,
    pub viewers: u64,
}

impl Counts {
    /// Parses `data.counts` of an event or `participantCounts` of a document.
    pub fn of(counts: &Value) -> Option<Self> {
        Some(Self { hosts: counts["hosts"].as_u64()?, viewers: counts["viewers"].as_u64()? })
    }
}

impl From<grpc::Counts> for Counts {
    fn from(counts: grpc::Counts) -> Self {
        let count = |number: i32| number.try_into().unwrap();
        Self { hosts: count(counts.hosts), viewers: count(counts.viewers) }
    }
}

/// A received event: the fields that every transport sends.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedEvent {
    pub stream: String,
    pub seq: u64,
    pub cursor: String,
    /// Milliseconds since 1970.
    pub at: i64,
    /// Numbers after the event.
    pub counts: Counts,
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
            counts: Counts::of(&json["data"]["counts"]).unwrap(),
            json: Some(json),
        }
    }

    /// Compares the common fields, and the JSON if both events have it.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let is_equal = |(one, two): (&Value, &Value)| one == two;
        let fields =
            |event: &Self| (event.stream.clone(), event.seq, event.cursor.clone(), event.at, event.counts);
        fields(self) == fields(other) && self.json.as_ref().zip(other.json.as_ref()).is_none_or(is_equal)
    }
}

impl From<StreamEvent> for ReceivedEvent {
    fn from(event: StreamEvent) -> Self {
        let StreamEvent { stream_id, seq, cursor, timestamp, participant_counts, .. } = event;
        let counts = participant_counts.unwrap().into();
        Self { stream: stream_id, seq, cursor, at: timestamp, counts, json: None }
    }
}
