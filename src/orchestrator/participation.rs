//! Letting people in and putting them out.

use super::{error::Error, service::Orchestrator};
use crate::{
    domain::{Attributes, Change, DisplayName, Identity, Metadata, Participant, Role, Stream, StreamRef},
    rooms::{JoinToken, TokenRequest},
    store::{DedupKey, Guard, PreviousAttempt},
};

/// Who wants to join, and how.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// Who.
    pub identity: Identity,
    /// What they are called.
    pub name: Option<DisplayName>,
    /// What they may do.
    pub role: Role,
    /// What the app attaches to them.
    pub metadata: Option<Metadata>,
    /// LiveKit's attributes of them.
    pub attributes: Option<Attributes>,
    /// Under what this is recorded once only, however often it is asked for.
    pub dedup_key: Option<DedupKey>,
}

/// Who leaves.
#[derive(Clone, Debug)]
pub struct LeaveRequest {
    /// Who.
    pub identity: Identity,
    /// Under what this is recorded once only, however often it is asked for.
    pub dedup_key: Option<DedupKey>,
    /// What came of earlier attempts at the same.
    pub previous: Option<PreviousAttempt>,
}

impl LeaveRequest {
    /// Asked for once.
    pub const fn of(identity: Identity) -> Self {
        Self { identity, dedup_key: None, previous: None }
    }

    /// Whether they have left already, by an earlier attempt, and this is somebody who has come back.
    fn is_done(&self, known: Option<&Participant>) -> bool {
        let came_back = |since| known.is_some_and(|known| known.is_active() && known.joined_at > since);
        self.previous
            .as_ref()
            .is_some_and(|previous| previous.changed_stream.is_some() || came_back(previous.since))
    }
}

/// A place in a stream.
pub struct Joined {
    /// The stream.
    pub stream: Stream,
    /// What opens its room.
    pub token: JoinToken,
}

/// The outcome of leaving.
pub struct Left {
    /// The stream.
    pub stream: Stream,
    /// The entry of who left; none for one who never came.
    pub participant: Option<Participant>,
}

impl Orchestrator {
    /// Hands out a join token. Its owner counts as joining until they connect.
    ///
    /// # Errors
    /// [`crate::domain::Rejection::NotActive`] where the stream is not live, [`crate::domain::Rejection::Full`] where
    /// as many as may be are active.
    pub async fn join(&self, stream: &StreamRef, request: JoinRequest) -> Result<Joined, Error> {
        let JoinRequest { identity, name, role, metadata, attributes, dedup_key } = request;
        let issue = Change::IssueToken {
            identity: identity.clone(),
            name: name.clone(),
            role,
            metadata: metadata.clone(),
            attributes: attributes.clone(),
            joining_ttl: self.policy.joining_ttl,
        };
        let guard = Guard { dedup_key, ..Guard::default() };
        let applied = self.store.apply(stream, issue, guard).await?;
        let token = self.rooms.token(&TokenRequest {
            room: applied.stream.room_name.clone(),
            identity,
            name,
            role,
            metadata,
            attributes,
            ttl: self.policy.token_ttl,
        })?;
        Ok(Joined { stream: applied.stream, token })
    }

    /// Puts somebody out of the room and records it at once. Their token stays good, so they may come back.
    ///
    /// # Errors
    /// [`Error::Rooms`] where LiveKit did not put them out: they are still there, and are said to be.
    pub async fn leave(&self, stream: Stream, request: LeaveRequest) -> Result<Left, Error> {
        let known = self.store.participant(stream.id, request.identity.as_str()).await?;
        if stream.status.is_final() || request.is_done(known.as_ref()) {
            return Ok(Left { stream, participant: known });
        }
        let LeaveRequest { identity, dedup_key, .. } = request;
        let guard = Guard { dedup_key, ..Guard::default() };
        let reference = stream.reference();
        let applied = if let Some(known) = known.filter(Participant::is_active) {
            self.rooms.remove(&stream.room_name, &identity).await?;
            // Only the session that was seen: who has come back in the meantime stays.
            let disconnect = Change::Disconnect { identity, sid: known.sid, at: None };
            self.store.apply(&reference, disconnect, guard).await?
        } else {
            // Should they connect just now, they are put out after it is said, so that it is true.
            let disconnect = Change::Disconnect { identity: identity.clone(), sid: None, at: None };
            let applied = self.store.apply(&reference, disconnect, guard).await?;
            self.rooms.remove(&stream.room_name, &identity).await?;
            applied
        };
        Ok(Left { stream: applied.stream, participant: applied.participant })
    }
}
