//! Everything that can happen to a stream once it is recorded, and why it may be refused.

use std::{fmt, time::Duration};

use super::{
    Attributes, DisplayName, Identity, Metadata, ParticipantKind, ParticipantMetadata, ParticipantSid, Role,
    RoomSid, StreamStatus, Timestamp, Track, TrackSid, Tracks,
};

/// How many participants one change lets go of at the most when a stream closes, so that closing a stream of thousands
/// never holds the store for long.
pub const CLOSE_BATCH: usize = 100;

/// How far LiveKit's clock may be ahead of the store's. A time beyond is not believed: it would lock every later session
/// of that identity out.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// One thing that happens to a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Its room exists now.
    Activate {
        /// LiveKit's id of the room.
        room_sid: RoomSid,
    },
    /// Its room is about to be deleted, or already is.
    BeginStop {
        /// Why.
        reason: StopReason,
        /// Only if this is its room; a late word about an older room of the same name changes nothing.
        room_sid: Option<RoomSid>,
    },
    /// Acquires the operation lock, whose last holder has ended or given up. One instance at a time calls LiveKit for a
    /// stream, so that no instance deletes the room of a later stream of the same name.
    AcquireLock,
    /// Releases the operation lock: its holder cannot finish the operation, and another instance may continue it.
    ReleaseLock {
        /// As in [`Self::RenewLock`].
        until: Timestamp,
    },
    /// Prolongs the operation lock of the instance that creates or stops the stream.
    RenewLock {
        /// The end of the lock as its holder knows it. Another end is another holder's.
        until: Timestamp,
    },
    /// It is over: everybody still there is let go of, [`CLOSE_BATCH`] a time, then it becomes stopped.
    Close,
    /// As [`Change::Close`], but it becomes an error.
    Fail {
        /// Why, in words for people.
        reason: String,
    },
    /// A join token was handed out.
    IssueToken {
        /// For whom.
        identity: Identity,
        /// What they are called.
        name: Option<DisplayName>,
        /// What they may do.
        role: Role,
        /// What the app attaches to them.
        metadata: Option<Metadata>,
        /// LiveKit's attributes of them.
        attributes: Option<Attributes>,
        /// How long they count as joining without connecting.
        joining_ttl: Duration,
    },
    /// LiveKit says that somebody is connected.
    Connect(Session),
    /// LiveKit lists somebody as connected. Its list is the truth about everything but what is newer than it.
    Observe {
        /// As listed.
        session: Session,
        /// Only what was recorded before this may be corrected.
        before: Timestamp,
    },
    /// LiveKit does not list a session any more.
    Lose {
        /// Whose.
        identity: Identity,
        /// By its LiveKit participant sid.
        sid: ParticipantSid,
        /// Only if it was recorded before this.
        before: Timestamp,
    },
    /// LiveKit says that somebody publishes a track.
    Publish {
        /// Who.
        identity: Identity,
        /// In this session.
        sid: ParticipantSid,
        /// What.
        track: Track,
    },
    /// LiveKit says that somebody has ceased to publish a track.
    Unpublish {
        /// Who.
        identity: Identity,
        /// In this session.
        sid: ParticipantSid,
        /// The track's sid.
        track: TrackSid,
    },
    /// LiveKit says that a session is over, or the app wants somebody out.
    Disconnect {
        /// Who.
        identity: Identity,
        /// Only this session, by its LiveKit participant sid; none for whichever there is.
        sid: Option<ParticipantSid>,
        /// LiveKit's time of it, where known.
        at: Option<Timestamp>,
    },
    /// Drop the `joining` entries whose time is up.
    ExpireJoining,
    /// Replace the metadata.
    SetMetadata {
        /// Only if it still is this; somebody else may have been quicker.
        expected: Metadata,
        /// With this.
        metadata: Metadata,
    },
}

/// One connection of one identity as LiveKit describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// LiveKit's id of the room.
    pub room_sid: RoomSid,
    /// LiveKit's id of the connection.
    pub sid: ParticipantSid,
    /// Who it is.
    pub identity: Identity,
    /// What they are called, where LiveKit knows.
    pub name: Option<DisplayName>,
    /// What they may do, where LiveKit said.
    pub role: Option<Role>,
    /// What is attached to them; none where LiveKit has no text.
    pub metadata: Option<ParticipantMetadata>,
    /// Their attributes.
    pub attributes: Attributes,
    /// LiveKit's kind of them.
    pub kind: ParticipantKind,
    /// Whether LiveKit hides them from other participants.
    pub hidden: bool,
    /// LiveKit's time of the connection.
    pub joined_at: Option<Timestamp>,
    /// What it publishes.
    pub tracks: Tracks,
}

impl Session {
    /// As [`super::Participant::is_listed`].
    pub fn is_listed(&self) -> bool {
        self.kind.is_listed() && !self.hidden
    }

    /// As [`super::Participant::counts`].
    pub fn counts(&self) -> bool {
        self.is_listed() && self.kind.counts()
    }
}

/// Why a stream was stopped; the word in `data.reason` of its last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody asked for it.
    Requested,
    /// LiveKit closed the room.
    RoomFinished,
    /// LiveKit no longer has the room, and never said so.
    RoomGone,
    /// Nobody was in it for too long.
    Idle,
}

impl StopReason {
    /// The word used in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::RoomFinished => "room_finished",
            Self::RoomGone => "room_gone",
            Self::Idle => "idle",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a change was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The lifecycle has no such move.
    #[error("a stream that is {from} cannot become {to}")]
    InvalidTransition {
        /// The present status.
        from: StreamStatus,
        /// The status asked for.
        to: StreamStatus,
    },
    /// The change needs a live stream.
    #[error("the stream is {status}")]
    NotActive {
        /// The present status.
        status: StreamStatus,
    },
    /// As many as may be are active.
    #[error("all {max} places are taken")]
    Full {
        /// How many may be.
        max: u32,
    },
    /// The stream is not at the version that the caller expected.
    #[error("the stream is at version {current}")]
    VersionMismatch {
        /// The present version.
        current: u64,
    },
    /// The metadata was changed by somebody else in the meantime.
    #[error("the metadata has changed")]
    MetadataChanged,
}

/// What a change that was not refused did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It was made; its events are in the log.
    Changed,
    /// There was nothing to do.
    Unchanged,
    /// A part was made (see [`CLOSE_BATCH`]); the same change is to be made again.
    Partial,
    /// It was made before: the webhook's id is known.
    Duplicate,
}
