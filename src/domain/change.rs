//! Changes of a recorded stream, and their effects.

use std::{fmt, time::Duration};

use super::{
    Attributes, BlockReason, DisplayName, EgressChange, Identity, IngressId, IngressReport, JobId,
    LeaveReason, Metadata, ParticipantSid, ParticipantUpdate, Removal, Role, RoomSid, Session, Timestamp,
    Track, TrackSid,
};

/// Maximum number of participants that one change disconnects. Closing a stream of thousands takes several changes, so
/// that none of them blocks the store for long.
pub const CLOSE_BATCH: usize = 100;

/// Maximum time by which LiveKit's clock may be ahead of the store's. Later times are limited to it, because they would
/// make every following session of the identity look older.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Change of one stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Records that the room exists.
    Activate {
        /// LiveKit's id of the room.
        room_sid: RoomSid,
    },
    /// Begins the stop: the room is about to be deleted, or is deleted already.
    BeginStop {
        /// Reason of the stop.
        reason: StopReason,
        /// Restricts the change to this room, so that a late report about an older room of the name changes nothing.
        room_sid: Option<RoomSid>,
    },
    /// Acquires the operation lock, if it is free or has expired. Only its holder calls LiveKit to create or stop the
    /// stream. The stream keeps its room name meanwhile, so that no call affects the room of a later stream.
    AcquireLock,
    /// Releases the operation lock after a failure, so that another instance can continue.
    ReleaseLock {
        /// See [`Self::RenewLock`].
        until: Timestamp,
    },
    /// Extends the operation lock of the instance that creates or stops the stream.
    RenewLock {
        /// End of the lock as its holder knows it. A different end identifies another holder.
        until: Timestamp,
    },
    /// Disconnects all participants, [`CLOSE_BATCH`] in one call, and then records the status `stopped`.
    Close,
    /// Like [`Change::Close`], with the status `error`.
    Fail {
        /// Reason, as shown in the last event.
        reason: String,
    },
    /// Records a join token before it is returned.
    IssueToken {
        /// Identity of the token.
        identity: Identity,
        /// Display name; `None` keeps an earlier one.
        name: Option<DisplayName>,
        /// Role of the token; `None` for the recorded role, or host without one.
        role: Option<Role>,
        /// Metadata; `None` keeps earlier metadata.
        metadata: Option<Metadata>,
        /// LiveKit's attributes; `None` keeps earlier ones.
        attributes: Option<Attributes>,
        /// Time after which the joining entry expires without a connection.
        joining_ttl: Duration,
    },
    /// Records a connected session, as a webhook reports it.
    Connect(Session),
    /// Records a connected session of LiveKit's list. The list overrides everything that was recorded before it.
    Observe {
        /// Session in the list.
        session: Session,
        /// Time of the list. Only entries written before it are corrected.
        before: Timestamp,
    },
    /// Disconnects a session that LiveKit's list does not contain.
    Lose {
        /// Identity of the session.
        identity: Identity,
        /// LiveKit's id of the session.
        sid: ParticipantSid,
        /// Time of the list. Only an entry written before it is disconnected.
        before: Timestamp,
    },
    /// Records a published track as it is.
    Publish {
        /// Identity of the publisher.
        identity: Identity,
        /// Session of the publisher.
        sid: ParticipantSid,
        /// Published track.
        track: Track,
        /// Identity of the caller who has muted the track; `None` for a report of LiveKit.
        by: Option<Identity>,
    },
    /// Removes a track that is no longer published.
    Unpublish {
        /// Identity of the publisher.
        identity: Identity,
        /// Session of the publisher.
        sid: ParticipantSid,
        /// LiveKit's id of the track.
        track: TrackSid,
    },
    /// Disconnects a participant: its session has ended, or the app removes it.
    Disconnect {
        /// Identity of the participant.
        identity: Identity,
        /// Restricts the change to this session; `None` for the current one.
        sid: Option<ParticipantSid>,
        /// LiveKit's time of the departure, if known.
        at: Option<Timestamp>,
        /// Why this service ended the session; `None` to derive the reason from the state.
        reason: Option<LeaveReason>,
    },
    /// Ends expired joining entries.
    ExpireJoining,
    /// Tells the numbers of active participants of a counted stream, if they are not told and the newest event is old
    /// enough.
    TellCounts,
    /// Replaces the metadata.
    SetMetadata {
        /// Metadata that the caller has read. Other current metadata rejects the change.
        expected: Metadata,
        /// New metadata.
        metadata: Metadata,
    },
    /// Changes a participant at a caller's request.
    UpdateParticipant(ParticipantUpdate),
    /// Raises or lowers a participant's hand.
    SetHand {
        /// Identity of the participant.
        identity: Identity,
        /// True to raise the hand, false to lower it.
        is_raised: bool,
        /// Identity of the caller, if its token has one.
        by: Option<Identity>,
    },
    /// Records that LiveKit is about to be asked for a removal. The departure of the session then is the removal,
    /// whichever report of it is first.
    BeginRemoval(Removal),
    /// Withdraws [`Self::BeginRemoval`], because LiveKit has not made the removal.
    CancelRemoval(Removal),
    /// Records a removal that LiveKit has made.
    Remove(Removal),
    /// Blocks an identity, or changes its block.
    Block {
        /// Identity to block.
        identity: Identity,
        /// Reason, which only `GET` of the blocks shows.
        reason: Option<BlockReason>,
        /// Time after which the block ends by itself.
        expires_in: Option<Duration>,
        /// Identity of the caller, if its token has one.
        by: Option<Identity>,
    },
    /// Ends the block of an identity.
    Unblock {
        /// Blocked identity.
        identity: Identity,
        /// Identity of the caller, if its token has one.
        by: Option<Identity>,
    },
    /// Ends blocks whose time has passed.
    ExpireBlocks,
    /// Records the intent to create an ingress.
    PlanIngress {
        /// Job of the request. A repetition renews the intent, with the effect [`Effect::Unchanged`].
        job: JobId,
        /// Identity of the participant.
        identity: Identity,
    },
    /// Records an ingress that LiveKit has created for an intent.
    ConfirmIngress {
        /// Job of the request.
        job: JobId,
        /// LiveKit's answer.
        report: IngressReport,
        /// Identity of the caller, if its token has one.
        by: Option<Identity>,
    },
    /// Withdraws the intent to create an ingress.
    DropIngressPlan {
        /// Job of the request.
        job: JobId,
        /// Restricts the change to an intent that was last renewed before this time.
        before: Option<Timestamp>,
    },
    /// Records what LiveKit reports of an ingress.
    ReportIngress {
        /// The ingress as LiveKit reports it.
        report: IngressReport,
        /// For a report of LiveKit's list: the list corrects what was recorded before this time, and shows ingresses
        /// of other tools.
        before: Option<Timestamp>,
    },
    /// Records that an ingress is deleted in LiveKit.
    RemoveIngress {
        /// LiveKit's id of the ingress.
        id: IngressId,
        /// For an ingress that LiveKit's list lacks: removes it only if it was recorded before this time.
        before: Option<Timestamp>,
        /// Identity of the caller who has deleted it.
        by: Option<Identity>,
    },
    /// Changes a recording or a broadcast.
    Egress(Box<EgressChange>),
    /// Takes the stream backstage, where viewers have no access, or live.
    SetBackstage {
        /// True for backstage, false for live.
        backstage: bool,
        /// Identity of the caller, if its token has one.
        by: Option<Identity>,
    },
}

impl From<EgressChange> for Change {
    fn from(change: EgressChange) -> Self {
        Self::Egress(change.into())
    }
}

/// Reason of a stop, as in `data.reason` of the last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// A caller has stopped the stream.
    Requested,
    /// LiveKit has reported that the room is closed.
    RoomFinished,
    /// LiveKit no longer has the room and has not reported its end.
    RoomGone,
    /// The stream was empty for its idle time.
    Idle,
}

impl StopReason {
    /// Returns the name used in events.
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

/// Effect of an accepted change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The change was made; its events are in the log.
    Changed,
    /// The state was already as requested, or the change does not apply to it.
    Unchanged,
    /// A part was made (see [`CLOSE_BATCH`]); the caller repeats the change.
    Partial,
    /// A change with this deduplication key was applied before.
    Duplicate,
}
