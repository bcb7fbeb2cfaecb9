//! Session: one connection of a participant, as LiveKit describes it.

use super::{
    Attributes, DisplayName, Identity, ParticipantKind, ParticipantMetadata, ParticipantSid, Role, RoomSid,
    StreamId, Timestamp, TokenMark, Tracks,
};

/// Connection of one identity, as LiveKit describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// LiveKit's id of the room.
    pub room_sid: RoomSid,
    /// LiveKit's id of the session.
    pub sid: ParticipantSid,
    /// Identity of the participant.
    pub identity: Identity,
    /// Display name, if LiveKit reports one.
    pub name: Option<DisplayName>,
    /// Role, if LiveKit reports the permission.
    pub role: Option<Role>,
    /// Metadata; `None` if LiveKit's text is empty.
    pub metadata: Option<ParticipantMetadata>,
    /// LiveKit's attributes.
    pub attributes: Attributes,
    /// Mark of the token; `None` if this service has not made the token.
    pub mark: Option<TokenMark>,
    /// LiveKit's kind of the participant.
    pub kind: ParticipantKind,
    /// True if LiveKit hides the participant from others.
    pub hidden: bool,
    /// LiveKit's time of the connection.
    pub joined_at: Option<Timestamp>,
    /// Published tracks.
    pub tracks: Tracks,
}

impl Session {
    /// Returns the number of removals in a stream that precede the token; `None` if this service has not made it.
    pub fn removals_before_token(&self, stream: StreamId) -> Option<u32> {
        self.mark.as_ref().map(|mark| mark.removals_in(stream))
    }

    /// See [`super::Participant::is_listed`].
    pub fn is_listed(&self) -> bool {
        self.kind.is_listed() && !self.hidden
    }

    /// See [`super::Participant::counts`].
    pub fn counts(&self) -> bool {
        self.is_listed() && self.kind.counts()
    }
}
