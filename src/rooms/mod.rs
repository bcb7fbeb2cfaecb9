//! LiveKit rooms: making and deleting them, letting people in and putting them out.
//!
//! Two backends implement the same trait and pass the same suite (`tests/contract/rooms.rs`): [`livekit`] and, for dev
//! mode where no LiveKit server answers, [`simulated`].

pub mod livekit;
mod participant_permission;
pub mod simulated;
mod test_room;
pub mod tokens;
pub mod webhook;

use std::time::Duration;

use async_trait::async_trait;

pub use self::test_room::TestRoomError;
use crate::domain::{
    Attributes, DisplayName, Identity, Metadata, ParticipantSid, Role, RoomName, RoomSid, Session, Timestamp,
    Track, TrackSid,
};

/// What a room is made from.
#[derive(Clone, Debug)]
pub struct RoomSpec {
    /// Its name.
    pub name: RoomName,
    /// What participants read as the room's metadata.
    pub metadata: Metadata,
    /// How many may be in it; none for no limit.
    pub max_participants: Option<u32>,
    /// How long it stays when nobody is in it, before the first and after the last.
    pub empty_timeout: Duration,
}

impl RoomSpec {
    /// The settings in which a room differs from this, as sentences for the caller. LiveKit changes none of them once
    /// a room exists; metadata is no such setting. `default_limit` is the limit of rooms that set none.
    pub fn differences(&self, room: &Room, default_limit: u32) -> Vec<String> {
        let wanted = [
            ("maxParticipants", room.max_participants, self.max_participants.unwrap_or(default_limit)),
            ("emptyTimeout", room.empty_timeout, seconds(self.empty_timeout)),
            (
                "emptyTimeout after the last participant left",
                room.departure_timeout,
                seconds(self.empty_timeout),
            ),
        ];
        let differs = |(_, is, wanted): &(&str, u32, u32)| is != wanted;
        let sentence = |(name, is, wanted)| format!("{name} is {is} instead of {wanted}");
        wanted.into_iter().filter(differs).map(sentence).collect()
    }
}

/// Whole seconds, as LiveKit takes timeouts.
fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// A room as LiveKit describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Its name.
    pub name: String,
    /// LiveKit's id of it.
    pub sid: RoomSid,
    /// Its metadata.
    pub metadata: String,
    /// How many are in it; LiveKit's own count, which is up to 5 s late.
    pub participants: u32,
    /// How many may be in it; 0 for no limit.
    pub max_participants: u32,
    /// Seconds that it stays before the first participant comes.
    pub empty_timeout: u32,
    /// Seconds that it stays after the last participant left.
    pub departure_timeout: u32,
}

/// The participants of a room now, all that LiveKit lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Occupants {
    /// LiveKit's id of the room.
    pub room_sid: RoomSid,
    /// The sessions that are connected.
    pub sessions: Vec<Session>,
    /// Sessions that are listed and not connected just now: on their way in, or from one node to another.
    pub unsettled: Vec<Unsettled>,
}

/// A session that is listed and not connected just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// LiveKit's id of it.
    pub sid: ParticipantSid,
    /// As [`Session::counts`].
    pub counts: bool,
}

impl Occupants {
    /// Returns the occupants of an empty room.
    pub fn none(room_sid: &RoomSid) -> Self {
        Self { room_sid: room_sid.clone(), sessions: Vec::new(), unsettled: Vec::new() }
    }

    /// Whether LiveKit lists no participant of any kind.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.unsettled.is_empty()
    }

    /// Whether a participant is listed that keeps the stream from being idle.
    pub fn keeps_open(&self) -> bool {
        self.sessions.iter().any(Session::counts) || self.unsettled.iter().any(|one| one.counts)
    }
}

/// Whom a join token is for.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// The room it opens.
    pub room: RoomName,
    /// Who enters with it.
    pub identity: Identity,
    /// What they are called.
    pub name: Option<DisplayName>,
    /// What they may do.
    pub role: Role,
    /// What others read as their metadata.
    pub metadata: Option<Metadata>,
    /// What others read as their attributes.
    pub attributes: Option<Attributes>,
    /// How long it opens the room. It does not end a connection that was made with it.
    pub ttl: Duration,
}

/// A signed join token.
#[derive(Clone)]
pub struct JoinToken {
    /// The JSON Web Token. A secret: it is never logged.
    pub jwt: String,
    /// Until when it opens the room.
    pub expires_at: Timestamp,
}

/// Why a room did not do what it was asked to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RoomsError {
    /// LiveKit does not answer. Whether the call took effect is not known.
    #[error("LiveKit does not answer: {0}")]
    Unavailable(String),
    /// LiveKit answered with an error, or with something that is no answer (as for a wrong key).
    #[error("LiveKit refused: {0}")]
    Refused(String),
}

/// The rooms of one LiveKit deployment.
///
/// # Errors
/// Every call fails with a [`RoomsError`] within a bounded time.
#[async_trait]
pub trait Rooms: Send + Sync {
    /// Makes the room, or finds it if there is one of that name, which then keeps its settings. Answers with the room
    /// as it is.
    async fn create(&self, spec: &RoomSpec) -> Result<Room, RoomsError>;

    /// Deletes the room; everybody in it is put out. One that is not there is as good as deleted.
    async fn delete(&self, room: &RoomName) -> Result<(), RoomsError>;

    /// Puts somebody out of the room. One who is not there is as good as out.
    async fn remove(&self, room: &RoomName, identity: &Identity) -> Result<(), RoomsError>;

    /// Sets what participants read as the room's metadata.
    async fn set_metadata(&self, room: &RoomName, metadata: &Metadata) -> Result<(), RoomsError>;

    /// Those of the named rooms that there are.
    async fn list(&self, names: &[RoomName]) -> Result<Vec<Room>, RoomsError>;

    /// The participants of a room whose sid is known. A room that is not there has none.
    async fn occupants_of(&self, room: &RoomName, room_sid: &RoomSid) -> Result<Occupants, RoomsError>;

    /// The participants of a room now; none for a room that is not there.
    async fn occupants(&self, room: &RoomName) -> Result<Option<Occupants>, RoomsError> {
        match self.list(std::slice::from_ref(room)).await?.pop() {
            Some(Room { sid, .. }) => self.occupants_of(room, &sid).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether the deployment answers.
    async fn ping(&self) -> Result<(), RoomsError>;

    /// Signs a join token.
    fn token(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError>;

    /// Whether these rooms exist in this process only.
    fn simulated(&self) -> bool;
}

/// Something that LiveKit says has happened.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomEvent {
    /// The event's own id, the same in every repetition.
    pub id: Option<String>,
    /// The room it happened in.
    pub room: RoomName,
    /// LiveKit's id of that room, where it said.
    pub room_sid: Option<RoomSid>,
    /// When, in LiveKit's time, to the second.
    pub at: Option<Timestamp>,
    /// What.
    pub kind: RoomEventKind,
}

/// What happened in a room.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomEventKind {
    /// Somebody is connected.
    Joined(Session),
    /// A session is over.
    Left {
        /// Whose.
        identity: Identity,
        /// LiveKit's id of the session.
        sid: ParticipantSid,
    },
    /// Somebody publishes a track.
    Published {
        /// Who.
        identity: Identity,
        /// LiveKit's id of the session.
        sid: ParticipantSid,
        /// What.
        track: Track,
    },
    /// Somebody has ceased to publish a track.
    Unpublished {
        /// Who.
        identity: Identity,
        /// LiveKit's id of the session.
        sid: ParticipantSid,
        /// LiveKit's id of the track.
        track: TrackSid,
    },
    /// The room exists.
    Started,
    /// The room is over.
    Finished,
    /// Something that changes nothing here.
    Other,
}
