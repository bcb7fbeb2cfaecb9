//! Visit: an ended session of a listed participant.

use super::{DisplayName, Identity, Participant, ParticipantKind, ParticipantSid, Role, StreamId, Timestamp};

/// Ended session of a listed participant, also of a viewer whose changes are no events.
///
/// A session that was recorded as ended by mistake, because LiveKit's list lacked it, is one visit each time it ends.
/// These have the same `sid` and `joined_at`, and the last one has the true end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Stream of the session.
    pub stream_id: StreamId,
    /// Identity of the participant.
    pub identity: Identity,
    /// LiveKit's id of the session.
    pub sid: ParticipantSid,
    /// Display name at the end.
    pub name: Option<DisplayName>,
    /// Role at the end.
    pub role: Role,
    /// LiveKit's kind of the participant.
    pub kind: ParticipantKind,
    /// Time of the connection.
    pub joined_at: Timestamp,
    /// Time of the departure.
    pub left_at: Timestamp,
}

impl Visit {
    /// Returns the visit of a participant that has left; `None` for one that was never connected.
    pub fn of(stream_id: StreamId, participant: &Participant) -> Option<Self> {
        Some(Self {
            stream_id,
            identity: participant.identity.clone(),
            sid: participant.sid.clone()?,
            name: participant.name.clone(),
            role: participant.role,
            kind: participant.kind,
            joined_at: participant.joined_at,
            left_at: participant.left_at?,
        })
    }
}
