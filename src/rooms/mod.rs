//! LiveKit rooms: creation, deletion, participants, join tokens, webhooks.
//!
//! Two backends implement the same trait and pass the same suite (`tests/contract/rooms.rs`): [`livekit`] and, for dev
//! mode where no LiveKit server answers, [`simulated`].

pub mod livekit;
mod livekit_messages;
mod participant_permission;
mod protojson;
pub mod simulated;
mod test_room;
mod token_validity;
pub mod tokens;
mod track_selection;
pub mod webhook;
mod webhook_egress;
mod webhook_ingress;

use std::time::Duration;

use async_trait::async_trait;

pub use self::{test_room::TestRoomError, token_validity::TokenValidity, track_selection::TrackSelection};
use crate::domain::{
    Attributes, DisplayName, EgressReport, Identity, IngressReport, Metadata, ParticipantSid, Role, RoomName,
    RoomSid, Session, Timestamp, TokenMark, Track, TrackSid,
};

/// Settings of a new room.
#[derive(Clone, Debug)]
pub struct RoomSpec {
    /// Name of the room.
    pub name: RoomName,
    /// Metadata of the room, which participants can read.
    pub metadata: Metadata,
    /// Maximum number of participants; `None` for no limit.
    pub max_participants: Option<u32>,
    /// Time after which LiveKit deletes the room if it is empty, before the first and after the last participant.
    pub empty_timeout: Duration,
}

impl RoomSpec {
    /// Describes the settings in which a room differs, one sentence each, for the caller.
    ///
    /// Only settings that LiveKit cannot change after the creation are compared, so metadata is not. `default_limit` is
    /// LiveKit's limit of rooms without a limit of their own.
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

/// Returns whole seconds, LiveKit's unit of timeouts.
fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// Room, as LiveKit describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Name of the room.
    pub name: String,
    /// LiveKit's id of the room.
    pub sid: RoomSid,
    /// Metadata of the room.
    pub metadata: String,
    /// LiveKit's number of participants, which is up to 5 s old.
    pub participants: u32,
    /// Maximum number of participants; 0 for no limit.
    pub max_participants: u32,
    /// Seconds after which LiveKit deletes the room if no participant has joined.
    pub empty_timeout: u32,
    /// Seconds after which LiveKit deletes the room when the last participant has left.
    pub departure_timeout: u32,
}

/// Participants of a room that LiveKit lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Occupants {
    /// LiveKit's id of the room.
    pub room_sid: RoomSid,
    /// Connected sessions.
    pub sessions: Vec<Session>,
    /// Sessions that are listed and not connected at the moment: they join, or migrate between LiveKit nodes.
    pub unsettled: Vec<Unsettled>,
}

/// Session that is listed and not connected at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// LiveKit's id of the session.
    pub sid: ParticipantSid,
    /// See [`Session::counts`].
    pub counts: bool,
}

impl Occupants {
    /// Returns the occupants of an empty room.
    pub fn none(room_sid: &RoomSid) -> Self {
        Self { room_sid: room_sid.clone(), sessions: Vec::new(), unsettled: Vec::new() }
    }

    /// Reports whether LiveKit lists no participant of any kind.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.unsettled.is_empty()
    }

    /// Reports whether a listed participant keeps the stream from being idle.
    pub fn keeps_open(&self) -> bool {
        self.sessions.iter().any(Session::counts) || self.unsettled.iter().any(|one| one.counts)
    }
}

/// Content of a join token.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Room that the token admits to.
    pub room: RoomName,
    /// Identity of the participant.
    pub identity: Identity,
    /// Display name.
    pub name: Option<DisplayName>,
    /// Role, which determines the permissions.
    pub role: Role,
    /// Metadata of the participant, which others can read.
    pub metadata: Option<Metadata>,
    /// Attributes of the participant, which others can read.
    pub attributes: Option<Attributes>,
    /// Mark of the token, which is one more attribute.
    pub mark: TokenMark,
    /// Validity of the token. Its expiry does not end a connection.
    pub validity: TokenValidity,
}

/// Update of a connected participant. `None` keeps a value.
#[derive(Clone, Debug, Default)]
pub struct SessionUpdate {
    /// Role, whose permissions replace all permissions.
    pub role: Option<Role>,
    /// Display name.
    pub name: Option<DisplayName>,
    /// Metadata, which others can read.
    pub metadata: Option<Metadata>,
}

/// Signed join token.
#[derive(Clone)]
pub struct JoinToken {
    /// JSON Web Token. A secret: it is never logged.
    pub jwt: String,
    /// Validity of the token.
    pub validity: TokenValidity,
}

/// Failure of a call to LiveKit.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RoomsError {
    /// LiveKit does not answer. The call may have taken effect.
    #[error("LiveKit does not answer: {0}")]
    Unavailable(String),
    /// LiveKit answered with an error, or with an invalid answer, as it does for a wrong key.
    #[error("LiveKit refused: {0}")]
    Refused(String),
}

/// Rooms of one LiveKit deployment.
///
/// # Errors
/// Every call can fail with a [`RoomsError`], within a bounded time.
#[async_trait]
pub trait Rooms: Send + Sync {
    /// Creates the room and returns it. An existing room of the name is returned unchanged.
    async fn create(&self, spec: &RoomSpec) -> Result<Room, RoomsError>;

    /// Deletes the room and disconnects its participants. Succeeds if the room does not exist.
    async fn delete(&self, room: &RoomName) -> Result<(), RoomsError>;

    /// Disconnects a participant. Succeeds if the participant is not in the room.
    async fn remove_participant(&self, room: &RoomName, identity: &Identity) -> Result<(), RoomsError>;

    /// Updates a connected participant. Succeeds if the participant is not in the room. LiveKit sends no webhook,
    /// except `track_unpublished` for the tracks of a participant that may no longer publish.
    async fn update_participant(
        &self,
        room: &RoomName,
        identity: &Identity,
        update: &SessionUpdate,
    ) -> Result<(), RoomsError>;

    /// Mutes a participant's tracks and returns them with the participant's session. Returns none if the participant is
    /// not in the room or publishes no such track. LiveKit sends no webhook.
    async fn mute(
        &self,
        room: &RoomName,
        identity: &Identity,
        selection: &TrackSelection,
    ) -> Result<Vec<(ParticipantSid, Track)>, RoomsError>;

    /// Sets the room's metadata.
    async fn set_metadata(&self, room: &RoomName, metadata: &Metadata) -> Result<(), RoomsError>;

    /// Returns the existing rooms among the named ones.
    async fn list(&self, names: &[RoomName]) -> Result<Vec<Room>, RoomsError>;

    /// Returns the participants of a room whose sid is known; none if the room does not exist.
    async fn occupants_of(&self, room: &RoomName, room_sid: &RoomSid) -> Result<Occupants, RoomsError>;

    /// Returns the participants of a room; `None` if the room does not exist.
    async fn occupants(&self, room: &RoomName) -> Result<Option<Occupants>, RoomsError> {
        match self.list(std::slice::from_ref(room)).await?.pop() {
            Some(Room { sid, .. }) => self.occupants_of(room, &sid).await.map(Some),
            None => Ok(None),
        }
    }

    /// Checks that LiveKit answers.
    async fn ping(&self) -> Result<(), RoomsError>;

    /// Signs a join token. In the simulation its owner connects at once.
    fn token(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError>;

    /// Signs the token of an earlier request again. Equal requests have equal tokens, and no owner connects.
    fn token_again(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError>;

    /// Reports whether the rooms exist only in this process.
    fn simulated(&self) -> bool;
}

/// Event that LiveKit reports.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomEvent {
    /// Id of the event, equal in every delivery of it.
    pub id: Option<String>,
    /// Room of the event.
    pub room: RoomName,
    /// LiveKit's id of the room, if the event has it.
    pub room_sid: Option<RoomSid>,
    /// Time by LiveKit's clock, in whole seconds.
    pub at: Option<Timestamp>,
    /// Type and content of the event.
    pub kind: RoomEventKind,
}

/// Type and content of a room event.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomEventKind {
    /// A participant has connected.
    Joined(Session),
    /// A session has ended.
    Left {
        /// Identity of the participant.
        identity: Identity,
        /// LiveKit's id of the session.
        sid: ParticipantSid,
    },
    /// A participant publishes a track.
    Published {
        /// Identity of the participant.
        identity: Identity,
        /// LiveKit's id of the session.
        sid: ParticipantSid,
        /// Published track.
        track: Track,
    },
    /// A participant no longer publishes a track.
    Unpublished {
        /// Identity of the participant.
        identity: Identity,
        /// LiveKit's id of the session.
        sid: ParticipantSid,
        /// LiveKit's id of the track.
        track: TrackSid,
    },
    /// LiveKit has created the room.
    Started,
    /// LiveKit has closed the room.
    Finished,
    /// An ingress of the room has started or ended.
    IngressChanged(IngressReport),
    /// An egress of the room has started, changed or ended. Its paths are those of LiveKit.
    EgressChanged(Box<EgressReport>),
    /// Event that does not affect streams.
    Other,
}
