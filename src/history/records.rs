//! What the history keeps.

use std::{fmt, time::Duration};

use super::error::HistoryError;
use crate::{
    domain::{
        Audience, Cursor, Egress, EgressId, EgressStateTime, EgressStatus, Metadata, PartialStream,
        ParticipantCounts, RoomName, StreamId, StreamStatus, Timestamp,
    },
    store::ResetReason,
};

/// An event, as clients received it.
#[derive(Clone, PartialEq, Eq)]
pub struct EventRecord {
    /// The stream of the event.
    pub stream_id: StreamId,
    /// Position in the log.
    pub cursor: Cursor,
    /// Numbers of active participants after the event.
    pub counts: ParticipantCounts,
    /// The event's JSON.
    pub json: String,
}

impl fmt::Debug for EventRecord {
    /// Leaves out the JSON, which has names and metadata of participants.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventRecord")
            .field("stream_id", &self.stream_id)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

/// A stream as of its newest stored event.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamRecord {
    /// Id of the stream.
    pub id: StreamId,
    /// Position of its newest stored event.
    pub newest: Cursor,
    /// Name of the LiveKit room. Names repeat.
    pub room_name: RoomName,
    /// Status after the newest event.
    pub status: StreamStatus,
    /// How the changes of viewers were told.
    pub audience: Audience,
    /// Metadata from the app; `None` until an event that carries it is stored.
    pub metadata: Option<Metadata>,
    /// Time of the creation.
    pub created_at: Timestamp,
    /// Time at which the stream became active.
    pub started_at: Option<Timestamp>,
    /// Time at which the stream ended.
    pub stopped_at: Option<Timestamp>,
    /// Reason of the stop or the failure.
    pub stop_reason: Option<String>,
    /// Greatest number of viewers that an event told.
    pub peak_viewers: u32,
}

impl StreamRecord {
    /// Returns the record of a stream as of one event.
    pub(super) fn of(stream: &PartialStream, newest: Cursor) -> Self {
        Self {
            id: stream.id,
            newest,
            room_name: stream.room_name.clone(),
            status: stream.status,
            audience: stream.audience,
            metadata: stream.metadata.clone(),
            created_at: stream.created_at,
            started_at: stream.started_at,
            stopped_at: stream.stopped_at,
            stop_reason: stream.reason.clone(),
            peak_viewers: stream.counts.viewers,
        }
    }
}

/// A recording in one of its states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordingRecord {
    pub(super) stream_id: StreamId,
    pub(super) id: EgressId,
    pub(super) created_at: Timestamp,
    pub(super) status: EgressStatus,
    /// Order of the state among those of the recording.
    pub(super) time: EgressStateTime,
    /// The recording's JSON as in events, without the location of files.
    pub(super) json: String,
}

impl RecordingRecord {
    /// # Errors
    /// [`HistoryError::Corrupt`] for a recording that cannot be rendered.
    pub(super) fn of(stream_id: StreamId, recording: &Egress) -> Result<Self, HistoryError> {
        Ok(Self {
            stream_id,
            id: recording.id.clone(),
            created_at: recording.created_at,
            status: recording.status,
            time: recording.state_time,
            json: serde_json::to_string(recording).map_err(|_| HistoryError::Corrupt("recording"))?,
        })
    }
}

/// A log of a partition that the history stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Log {
    /// The events of all streams.
    Events,
    /// The ended visits.
    Visits,
}

impl Log {
    /// Returns the name of the log in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Visits => "visits",
        }
    }
}

/// Entries of a partition's log that may be missing: those after one cursor up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Position of the newest stored entry before the gap.
    pub after: Cursor,
    /// Last position of the gap.
    pub until: Cursor,
    /// Why the log could not be continued.
    pub reason: ResetReason,
}

/// Selects streams of the history by the time of their creation, and by their room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamSelection {
    /// Earliest time.
    pub from: Option<Timestamp>,
    /// Time before which the streams were created.
    pub to: Option<Timestamp>,
    /// Name of the room.
    pub room_name: Option<RoomName>,
}

/// Bounds of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowLimit {
    /// Maximum number of rows.
    pub rows: u32,
    /// Number of bytes of texts after which no further row is read. A page has at least one row, unless there is none.
    pub bytes: usize,
}

/// A page of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// True if further rows follow.
    pub has_more: bool,
}

impl<T> Rows<T> {
    /// Returns the page without rows.
    pub const fn empty() -> Self {
        Self { rows: Vec::new(), has_more: false }
    }

    /// Converts the rows.
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Rows<U> {
        Rows { rows: self.rows.into_iter().map(convert).collect(), has_more: self.has_more }
    }
}

/// How long the persons of one role were connected, over their ended visits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchTime {
    /// Number of persons: different identities.
    pub persons: u64,
    /// Sum over all persons.
    pub total: Duration,
    /// Median over the persons.
    pub median: Duration,
}

/// Watch times of a stream. Agents are in neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchTimes {
    /// Visits that ended as a viewer's.
    pub viewers: WatchTime,
    /// Visits that ended as a host's.
    pub hosts: WatchTime,
}

/// Numbers of viewers that events of one step of time have told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewerStep {
    /// Number of the step, from 0.
    pub number: i64,
    /// Greatest number.
    pub most: u32,
    /// Last number.
    pub last: u32,
}
