//! Rows of the history, as JSON and as CSV.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::csv::Cell;
use crate::{
    domain::{
        Audience, Cursor, Metadata, ParticipantKind, Role, StreamStatus, Timestamp, Visit as DomainVisit,
    },
    history::{EventRecord, Point, StreamRecord},
};

/// A row of a list of the history.
pub(super) trait Row: Serialize {
    /// Name of the file of a download, without its ending.
    const FILE: &str;
    /// Names of the columns, which are the fields of the JSON.
    const COLUMNS: &[&str];

    /// Returns the values of the columns.
    fn cells(&self) -> Vec<Cell<'_>>;

    /// Returns the position of the row, from which the next page continues.
    fn position(&self) -> String;
}

/// A stream of the history.
#[derive(Serialize, ToSchema)]
#[schema(as = HistoryStream)]
#[serde(rename_all = "camelCase")]
pub struct Stream {
    #[schema(value_type = String)]
    id: crate::domain::StreamId,
    #[schema(value_type = String)]
    room_name: crate::domain::RoomName,
    status: StreamStatus,
    audience: Audience,
    #[schema(value_type = Object)]
    metadata: Metadata,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    stopped_at: Option<Timestamp>,
    /// Reason of the stop or the failure.
    #[schema(required = true, example = "requested")]
    stop_reason: Option<String>,
    /// Greatest number of viewers that an event told. Events of a counted stream are up to a second apart.
    peak_viewers: u32,
}

impl From<StreamRecord> for Stream {
    fn from(record: StreamRecord) -> Self {
        Self {
            id: record.id,
            room_name: record.room_name,
            status: record.status,
            audience: record.audience,
            metadata: record.metadata.unwrap_or_default(),
            created_at: record.created_at,
            started_at: record.started_at,
            stopped_at: record.stopped_at,
            stop_reason: record.stop_reason,
            peak_viewers: record.peak_viewers,
        }
    }
}

impl Row for Stream {
    const FILE: &str = "streams";
    #[rustfmt::skip]
    const COLUMNS: &[&str] = &[
        "id", "roomName", "status", "audience", "metadata", "createdAt", "startedAt", "stoppedAt", "stopReason",
        "peakViewers",
    ];

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            Cell::shown(self.id),
            Cell::Text(self.room_name.as_str()),
            Cell::Text(self.status.as_str()),
            Cell::Text(self.audience.as_str()),
            Cell::Text(self.metadata.as_text()),
            Cell::shown(self.created_at),
            Cell::optional(self.started_at),
            Cell::optional(self.stopped_at),
            Cell::Text(self.stop_reason.as_deref().unwrap_or_default()),
            Cell::shown(self.peak_viewers),
        ]
    }

    fn position(&self) -> String {
        format!("{}:{}", self.created_at.as_millis(), self.id)
    }
}

/// An ended session of a participant.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Visit {
    identity: String,
    #[schema(required = true)]
    name: Option<String>,
    /// Role at the end.
    role: Role,
    /// LiveKit's kind, unless it is a standard one.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<ParticipantKind>,
    /// LiveKit's id of the session.
    sid: String,
    #[schema(value_type = String, format = DateTime)]
    joined_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    left_at: Timestamp,
    /// Whole seconds between the two.
    seconds: u64,
}

impl From<DomainVisit> for Visit {
    fn from(visit: DomainVisit) -> Self {
        Self {
            identity: visit.identity.as_str().to_owned(),
            name: visit.name.map(|name| name.as_str().to_owned()),
            role: visit.role,
            kind: Some(visit.kind).filter(|kind| *kind != ParticipantKind::Standard),
            sid: visit.sid.as_str().to_owned(),
            joined_at: visit.joined_at,
            left_at: visit.left_at,
            seconds: visit.joined_at.until(visit.left_at).as_secs(),
        }
    }
}

impl Row for Visit {
    const FILE: &str = "visits";
    const COLUMNS: &[&str] = &["identity", "name", "role", "kind", "sid", "joinedAt", "leftAt", "seconds"];

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            Cell::Text(&self.identity),
            Cell::Text(self.name.as_deref().unwrap_or_default()),
            Cell::Text(self.role.as_str()),
            Cell::Text(self.kind.unwrap_or_default().as_str()),
            Cell::Text(&self.sid),
            Cell::shown(self.joined_at),
            Cell::shown(self.left_at),
            Cell::shown(self.seconds),
        ]
    }

    fn position(&self) -> String {
        format!("{}:{}", self.joined_at.as_millis(), self.sid)
    }
}

/// An event, which is rendered as clients received it.
pub(super) struct Event {
    cursor: Cursor,
    hosts: u32,
    viewers: u32,
    json: Box<RawValue>,
}

impl Event {
    /// Returns `None` if the stored text is no JSON.
    pub(super) fn of(record: EventRecord) -> Option<Self> {
        let json = RawValue::from_string(record.json).ok()?;
        Some(Self { cursor: record.cursor, hosts: record.counts.hosts, viewers: record.counts.viewers, json })
    }
}

impl Serialize for Event {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

/// What the columns of an event take from its JSON.
#[derive(Deserialize, Default)]
struct Head {
    r#type: String,
    seq: u64,
    timestamp: String,
}

impl Row for Event {
    const FILE: &str = "events";
    const COLUMNS: &[&str] = &["cursor", "timestamp", "type", "seq", "hosts", "viewers", "event"];

    fn cells(&self) -> Vec<Cell<'_>> {
        let head: Head = serde_json::from_str(self.json.get()).unwrap_or_default();
        vec![
            Cell::shown(self.cursor),
            Cell::Owned(head.timestamp),
            Cell::Owned(head.r#type),
            Cell::shown(head.seq),
            Cell::shown(self.hosts),
            Cell::shown(self.viewers),
            Cell::Text(self.json.get()),
        ]
    }

    fn position(&self) -> String {
        self.cursor.to_string()
    }
}

/// A number of viewers.
#[derive(Serialize, ToSchema)]
pub struct ViewerCount {
    /// Beginning of the step.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// Greatest number of viewers in the step.
    viewers: u32,
}

impl From<Point> for ViewerCount {
    fn from(Point { time, viewers }: Point) -> Self {
        Self { time, viewers }
    }
}

impl Row for ViewerCount {
    const FILE: &str = "viewers";
    const COLUMNS: &[&str] = &["time", "viewers"];

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![Cell::shown(self.time), Cell::shown(self.viewers)]
    }

    fn position(&self) -> String {
        self.time.to_string()
    }
}
