//! One broadcast.

use std::time::Duration;

use serde::Serialize;

use super::{Cursor, Metadata, Participant, RoomName, RoomSid, StreamId, StreamStatus, Timestamp};

/// The most participants that a stream document carries. All of them are paged through on a route of their own.
pub const MAX_LISTED_PARTICIPANTS: usize = 1_000;

/// How long the operation lock of a stream lasts unless the instance that creates or stops the stream renews it. After
/// this time without a renewal the instance is taken for dead, and another one goes on.
pub const OPERATION_LOCK: Duration = Duration::from_secs(10);

/// What names a stream for good: its id, and the room name that it holds while it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRef {
    /// The stream's id.
    pub id: StreamId,
    /// The name of its LiveKit room.
    pub room_name: RoomName,
}

/// A stream without its participants.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// The stream's id.
    pub id: StreamId,
    /// The name of its LiveKit room.
    pub room_name: RoomName,
    /// LiveKit's id of the room; none until the room exists.
    pub room_sid: Option<RoomSid>,
    /// Where it is in its life.
    pub status: StreamStatus,
    /// What the app attached to it.
    pub metadata: Metadata,
    /// How many may be active at once; none for no limit.
    pub max_participants: Option<u32>,
    /// How long it may be empty before it is stopped; none for ever.
    pub idle_after: Option<Duration>,
    /// How many are active now.
    pub participant_count: u32,
    /// The most that were ever active at once.
    pub peak_participant_count: u32,
    /// How many are connected and do not count: agents, recorders, hidden participants.
    pub uncounted: u32,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When it became active.
    pub started_at: Option<Timestamp>,
    /// When its newest event was recorded.
    pub updated_at: Timestamp,
    /// When it became stopped, or failed.
    pub stopped_at: Option<Timestamp>,
    /// Since when nobody is in it; none while somebody is.
    pub empty_since: Option<Timestamp>,
    /// End of the operation lock. Until then only its holder, which creates or stops the stream, calls LiveKit for it.
    pub lock_expires_at: Option<Timestamp>,
    /// Why it is being or was stopped, or failed.
    pub reason: Option<String>,
    /// The sequence number of its newest event.
    pub version: u64,
}

impl Stream {
    /// A stream at its very beginning, before its first event.
    pub fn begun(new: NewStream, now: Timestamp) -> Self {
        Self {
            id: new.id,
            room_name: new.room_name,
            room_sid: None,
            status: StreamStatus::Creating,
            metadata: new.metadata,
            max_participants: new.max_participants,
            idle_after: new.idle_after,
            participant_count: 0,
            peak_participant_count: 0,
            uncounted: 0,
            created_at: now,
            started_at: None,
            updated_at: now,
            stopped_at: None,
            empty_since: None,
            lock_expires_at: Some(now.plus(OPERATION_LOCK)),
            reason: None,
            version: 0,
        }
    }

    /// What names this stream.
    pub fn reference(&self) -> StreamRef {
        StreamRef { id: self.id, room_name: self.room_name.clone() }
    }

    /// Whether nobody has been in it for as long as it may be empty.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.idle_deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Whether it is being created or stopped.
    pub fn is_under_way(&self) -> bool {
        matches!(self.status, StreamStatus::Creating | StreamStatus::Stopping)
    }

    /// When it is to be stopped unless somebody joins.
    pub fn idle_deadline(&self) -> Option<Timestamp> {
        let live = self.status == StreamStatus::Active;
        let deadline = self.empty_since.zip(self.idle_after).map(|(since, after)| since.plus(after));
        deadline.filter(|_| live)
    }
}

/// What a stream is created from.
#[derive(Clone, Debug, PartialEq)]
pub struct NewStream {
    /// Its id.
    pub id: StreamId,
    /// The name of its room.
    pub room_name: RoomName,
    /// What the app attaches to it.
    pub metadata: Metadata,
    /// How many may be active at once; none for no limit.
    pub max_participants: Option<u32>,
    /// How long it may be empty before it is stopped; none for ever.
    pub idle_after: Option<Duration>,
}

/// A stream with its participants: at most [`MAX_LISTED_PARTICIPANTS`], in the order of
/// [`Participant::list_key`].
#[derive(Clone, Debug, PartialEq)]
pub struct StreamView {
    /// The stream.
    pub stream: Stream,
    /// Those who may publish first, then the newest.
    pub participants: Vec<Participant>,
    /// The position of its newest event: what begins after it follows this state without a gap.
    pub cursor: Cursor,
}

impl StreamView {
    /// The document of `GET /streams/{id}/state`.
    pub fn state(&self) -> impl Serialize + '_ {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct State<'a> {
            stream_id: StreamId,
            status: StreamStatus,
            participants: &'a [Participant],
            participant_count: u32,
            started_at: Option<Timestamp>,
            updated_at: Timestamp,
            stopped_at: Option<Timestamp>,
            metadata: &'a Metadata,
            version: u64,
        }
        let stream = &self.stream;
        State {
            stream_id: stream.id,
            status: stream.status,
            participants: &self.participants,
            participant_count: stream.participant_count,
            started_at: stream.started_at,
            updated_at: stream.updated_at,
            stopped_at: stream.stopped_at,
            metadata: &stream.metadata,
            version: stream.version,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    id: StreamId,
    stream_id: StreamId,
    room_name: &'a RoomName,
    room_sid: Option<&'a RoomSid>,
    status: StreamStatus,
    metadata: &'a Metadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    participants: Option<&'a [Participant]>,
    participant_count: u32,
    peak_participant_count: u32,
    max_participants: Option<u32>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    updated_at: Timestamp,
    stopped_at: Option<Timestamp>,
    version: u64,
}

impl<'a> Document<'a> {
    fn of(stream: &'a Stream, participants: Option<&'a [Participant]>) -> Self {
        Self {
            id: stream.id,
            stream_id: stream.id,
            room_name: &stream.room_name,
            room_sid: stream.room_sid.as_ref(),
            status: stream.status,
            metadata: &stream.metadata,
            participants,
            participant_count: stream.participant_count,
            peak_participant_count: stream.peak_participant_count,
            max_participants: stream.max_participants,
            created_at: stream.created_at,
            started_at: stream.started_at,
            updated_at: stream.updated_at,
            stopped_at: stream.stopped_at,
            version: stream.version,
        }
    }
}

impl Serialize for Stream {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Document::of(self, None).serialize(serializer)
    }
}

impl Serialize for StreamView {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Document::of(&self.stream, Some(&self.participants)).serialize(serializer)
    }
}
