//! Stream: one broadcast in one LiveKit room.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    Audience, Cursor, InitialAudience, LeaveReason, Metadata, Participant, ParticipantCounts, RoomName,
    RoomSid, StreamId, StreamStatus, Timestamp,
    size::{ENVELOPE_BYTES, MAX_MESSAGE_BYTES, json_size},
};

/// Maximum number of participants in a stream's document. Pages list all participants.
pub const MAX_LISTED_PARTICIPANTS: usize = 1_000;

/// Time after which an operation lock expires without a renewal. Another instance then continues the creation or stop.
pub const OPERATION_LOCK: Duration = Duration::from_secs(10);

/// Permanent names of a stream: its id and its room name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRef {
    /// Id of the stream.
    pub id: StreamId,
    /// Name of the LiveKit room.
    pub room_name: RoomName,
}

/// Stream without its participants. `M` is the type of its metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream<M = Metadata> {
    /// Id of the stream.
    pub id: StreamId,
    /// Name of the LiveKit room.
    pub room_name: RoomName,
    /// LiveKit's id of the room; `None` until the room exists.
    pub room_sid: Option<RoomSid>,
    /// Status in the lifecycle.
    pub status: StreamStatus,
    /// Metadata from the app.
    pub metadata: M,
    /// Maximum number of active participants; `None` for no limit.
    pub max_participants: Option<u32>,
    /// Time after which an empty stream is stopped; `None` for never.
    pub idle_after: Option<Duration>,
    /// How the changes of viewers are told.
    pub audience: Audience,
    /// Numbers of active participants.
    pub counts: ParticipantCounts,
    /// Greatest number of active participants so far.
    pub peak_participant_count: u32,
    /// Number of connected participants that do not count: agents, recorders, hidden participants.
    pub uncounted: u32,
    /// Number of blocked identities.
    pub blocks: u32,
    /// Number of ingresses.
    pub ingresses: u32,
    /// True while a recording is starting, active or ending.
    pub recording: bool,
    /// True while a broadcast is starting, active or ending.
    pub broadcasting: bool,
    /// Time of the creation.
    pub created_at: Timestamp,
    /// Time at which the stream became active.
    pub started_at: Option<Timestamp>,
    /// Time of the newest event.
    pub updated_at: Timestamp,
    /// Time at which the stream ended.
    pub stopped_at: Option<Timestamp>,
    /// True if the stream is backstage: viewers have no access.
    pub backstage: bool,
    /// Time at which the stream last went live; `None` before.
    pub live_at: Option<Timestamp>,
    /// Time since which no counted participant is active; `None` while one is.
    pub empty_since: Option<Timestamp>,
    /// End of the operation lock; `None` if no instance holds it.
    pub lock_expires_at: Option<Timestamp>,
    /// Reason of the stop or the failure.
    pub reason: Option<String>,
    /// Sequence number of the newest event.
    pub version: u64,
    /// Sequence number of the newest event that is no `participant_count_updated`.
    pub content_version: u64,
}

impl Stream {
    /// Returns a stream before its first event. Its creator holds the operation lock.
    pub fn unrecorded(new: NewStream, now: Timestamp) -> Self {
        Self {
            id: new.id,
            room_name: new.room_name,
            room_sid: None,
            status: StreamStatus::Creating,
            metadata: new.metadata,
            max_participants: new.max_participants,
            idle_after: new.idle_after,
            audience: new.audience.audience,
            counts: ParticipantCounts::default(),
            peak_participant_count: 0,
            uncounted: 0,
            blocks: 0,
            ingresses: 0,
            recording: false,
            broadcasting: false,
            created_at: now,
            started_at: None,
            updated_at: now,
            stopped_at: None,
            backstage: new.backstage,
            live_at: None,
            empty_since: None,
            lock_expires_at: Some(now.plus(OPERATION_LOCK)),
            reason: None,
            version: 0,
            content_version: 0,
        }
    }

    /// Returns the permanent names of the stream.
    pub fn reference(&self) -> StreamRef {
        StreamRef { id: self.id, room_name: self.room_name.clone() }
    }

    /// Reports whether the stream has been empty for its idle time.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.idle_deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Reports whether any participant is connected to the active stream, whether it counts or not.
    pub const fn is_occupied(&self) -> bool {
        self.empty_since.is_none() || self.uncounted > 0
    }

    /// Returns a key that sorts lists of streams: the oldest first, then by id.
    pub fn list_key(&self) -> String {
        format!("{:016}:{}", self.created_at.as_millis(), self.id)
    }

    /// Reports whether the stream is being created or stopped.
    pub fn is_under_way(&self) -> bool {
        matches!(self.status, StreamStatus::Creating | StreamStatus::Stopping)
    }

    /// Returns the time at which the empty stream is stopped; `None` if it is not empty or never idle.
    pub fn idle_deadline(&self) -> Option<Timestamp> {
        let live = self.status == StreamStatus::Active;
        let deadline = self.empty_since.zip(self.idle_after).map(|(since, after)| since.plus(after));
        deadline.filter(|_| live)
    }
}

impl<M> Stream<M> {
    /// Returns the reason for which a participant has no access to the stream; `None` if it has access.
    pub fn denial(&self, participant: &Participant, is_blocked: bool) -> Option<LeaveReason> {
        if is_blocked {
            return Some(LeaveReason::Blocked);
        }
        if participant.is_active() && participant.removals.end_session() {
            return Some(LeaveReason::Removed);
        }
        (self.backstage && participant.is_audience()).then_some(LeaveReason::Backstage)
    }

    /// Returns the versions that meet the requirement of a change: the current one, and those after which only counts
    /// were told.
    pub const fn accepted_versions(&self) -> RangeInclusive<u64> {
        self.content_version..=self.version
    }

    /// Returns the number of active participants.
    pub const fn participant_count(&self) -> u32 {
        self.counts.total()
    }

    /// Returns the stream with another value, or another type, of metadata.
    pub fn map_metadata<N>(self, convert: impl FnOnce(M) -> N) -> Stream<N> {
        Stream {
            id: self.id,
            room_name: self.room_name,
            room_sid: self.room_sid,
            status: self.status,
            metadata: convert(self.metadata),
            max_participants: self.max_participants,
            idle_after: self.idle_after,
            audience: self.audience,
            counts: self.counts,
            peak_participant_count: self.peak_participant_count,
            uncounted: self.uncounted,
            blocks: self.blocks,
            ingresses: self.ingresses,
            recording: self.recording,
            broadcasting: self.broadcasting,
            created_at: self.created_at,
            started_at: self.started_at,
            updated_at: self.updated_at,
            stopped_at: self.stopped_at,
            backstage: self.backstage,
            live_at: self.live_at,
            empty_since: self.empty_since,
            lock_expires_at: self.lock_expires_at,
            reason: self.reason,
            version: self.version,
            content_version: self.content_version,
        }
    }
}

/// Stream whose metadata may be absent. Events carry it, see [`Draft::new`](super::event::Draft::new).
pub type PartialStream = Stream<Option<Metadata>>;

impl PartialStream {
    /// Returns the stream with its own metadata, or with `known` if its own is absent.
    pub fn with_metadata(self, known: Metadata) -> Stream {
        self.map_metadata(|own| own.unwrap_or(known))
    }
}

/// Settings of a new stream.
#[derive(Clone, Debug, PartialEq)]
pub struct NewStream {
    /// Id of the stream.
    pub id: StreamId,
    /// Name of the LiveKit room.
    pub room_name: RoomName,
    /// Metadata from the app.
    pub metadata: Metadata,
    /// Maximum number of active participants; `None` for no limit.
    pub max_participants: Option<u32>,
    /// Time after which an empty stream is stopped; `None` for never.
    pub idle_after: Option<Duration>,
    /// How the changes of viewers are told.
    pub audience: InitialAudience,
    /// True if the stream begins backstage, false if it is live at once.
    pub backstage: bool,
}

/// Stream with its first participants, in the order of [`Participant::list_key`]: at most
/// [`MAX_LISTED_PARTICIPANTS`], and as many as fit into a message.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamView {
    /// State of the stream as of [`Self::cursor`].
    pub stream: Stream,
    /// Hosts first, then the newest participants.
    pub participants: Vec<Participant>,
    /// True if the stream has more listed participants than [`Self::participants`].
    pub participants_truncated: bool,
    /// Position of the newest event. The events after it follow this state without a gap.
    pub cursor: Cursor,
}

impl StreamView {
    /// Makes a view whose document is at most [`MAX_MESSAGE_BYTES`] in any message. `has_more` tells that the stream
    /// has more than `participants`.
    pub fn new(stream: Stream, mut participants: Vec<Participant>, has_more: bool, cursor: Cursor) -> Self {
        let mut rest = MAX_MESSAGE_BYTES.saturating_sub(ENVELOPE_BYTES + json_size(&stream));
        let fits = |participant: &&Participant| {
            let left = rest.checked_sub(json_size(*participant) + ",".len());
            rest = left.unwrap_or_default();
            left.is_some()
        };
        let count = participants.iter().take_while(fits).count();
        let participants_truncated = has_more || count < participants.len();
        participants.truncate(count);
        Self { stream, participants, participants_truncated, cursor }
    }
}
