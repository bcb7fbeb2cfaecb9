//! Joining and leaving.

use super::{error::Error, find::permit, moderation::ParticipantPatch, service::Orchestrator};
use crate::{
    access::{Action, Caller},
    domain::{
        Attributes, Change, DisplayName, Identity, Metadata, Participant, Role, Stream, StreamId, StreamRef,
    },
    rooms::{JoinToken, TokenRequest, TokenValidity},
    store::{Applied, DedupKey, Guard, PreviousAttempt},
};

/// Request for a join token.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// Identity of the participant within the stream.
    pub identity: Identity,
    /// Display name in LiveKit; `None` means none.
    pub name: Option<DisplayName>,
    /// Role, which decides the token's LiveKit permissions and is recorded. `None` means the recorded role, or host.
    pub role: Option<Role>,
    /// Metadata of the participant.
    pub metadata: Option<Metadata>,
    /// LiveKit attributes of the participant.
    pub attributes: Option<Attributes>,
    /// Key under which the join is recorded at most once.
    pub dedup_key: Option<DedupKey>,
}

impl JoinRequest {
    fn token(self, stream: &Stream, role: Role, validity: TokenValidity) -> TokenRequest {
        TokenRequest {
            room: stream.room_name.clone(),
            identity: self.identity,
            name: self.name,
            role,
            metadata: self.metadata,
            attributes: self.attributes,
            validity,
        }
    }
}

/// Request to end a participant's session.
#[derive(Clone, Debug)]
pub struct LeaveRequest {
    /// Identity of the participant within the stream.
    pub identity: Identity,
    /// Key under which the departure is recorded at most once.
    pub dedup_key: Option<DedupKey>,
    /// Earlier attempts of the same request.
    pub previous: Option<PreviousAttempt>,
}

impl LeaveRequest {
    /// Makes a request without an idempotency key.
    pub const fn of(identity: Identity) -> Self {
        Self { identity, dedup_key: None, previous: None }
    }

    /// Reports whether an earlier attempt has ended the session, so that a present participant has rejoined since.
    fn is_done(&self, known: Option<&Participant>) -> bool {
        let rejoined = |since| known.is_some_and(|known| known.is_active() && known.joined_at > since);
        self.previous
            .as_ref()
            .is_some_and(|previous| previous.changed_stream.is_some() || rejoined(previous.since))
    }
}

/// Result of [`Orchestrator::join`].
pub struct Joined {
    /// The stream after the join was recorded.
    pub stream: Stream,
    /// LiveKit token for the stream's room.
    pub token: JoinToken,
    /// Role of the token.
    pub role: Role,
}

/// Result of [`Orchestrator::leave`].
pub struct Left {
    /// The stream after the departure was recorded.
    pub stream: Stream,
    /// Entry of the participant; `None` if the identity has never joined.
    pub participant: Option<Participant>,
}

impl Orchestrator {
    /// Creates a join token. Its owner is `joining` until LiveKit reports the connection.
    ///
    /// # Errors
    /// [`crate::domain::Rejection::NotActive`] if the stream is not active; [`crate::domain::Rejection::Backstage`] for
    /// a viewer while it is backstage; [`crate::domain::Rejection::Full`] if it has its maximum of participants;
    /// [`Error::Forbidden`] if the caller may not create tokens for the stream.
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn join(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        request: JoinRequest,
    ) -> Result<Joined, Error> {
        permit(caller, Action::Join, &stream.room_name)?;
        let issue = Change::IssueToken {
            identity: request.identity.clone(),
            name: request.name.clone(),
            role: request.role,
            metadata: request.metadata.clone(),
            attributes: request.attributes.clone(),
            joining_ttl: self.policy.joining_ttl,
        };
        let guard = Guard { dedup_key: request.dedup_key.clone(), ..Guard::default() };
        let applied = self.store.apply(stream, issue, guard).await?;
        let role = self.recorded_role(stream, &request, applied.participant, caller).await?;
        let (stream, validity) = (applied.stream, TokenValidity::from_now(self.policy.token_ttl));
        let token = self.rooms.token(&request.token(&stream, role, validity))?;
        Ok(Joined { stream, token, role })
    }

    /// Returns the role of a token that was recorded. Changes the role of a participant that is connected in another.
    async fn recorded_role(
        &self,
        stream: &StreamRef,
        request: &JoinRequest,
        entry: Option<Participant>,
        caller: &Caller,
    ) -> Result<Role, Error> {
        let entry = match entry {
            Some(entry) => Some(entry),
            // The token was recorded by an earlier attempt.
            None => self.store.participant(stream.id, request.identity.as_str()).await?,
        };
        let Some(role) = request.role else { return Ok(entry.map_or(Role::Host, |entry| entry.role)) };
        let is_other = |entry: &Participant| entry.role != role || !entry.role_recorded;
        if entry.is_some_and(|entry| entry.is_active() && is_other(&entry)) {
            let patch = ParticipantPatch::role(request.identity.clone(), role);
            self.update_participant(stream, patch, caller.named_identity()).await?;
        }
        Ok(role)
    }

    /// Returns the token of a join that was made earlier with the same request. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not create tokens for the stream;
    /// [`crate::store::StoreError::NotFound`] if the stream has expired.
    pub async fn join_again(
        &self,
        caller: &Caller,
        id: StreamId,
        request: JoinRequest,
        role: Role,
        validity: TokenValidity,
    ) -> Result<Joined, Error> {
        let stream = self.find(caller, Action::Join, &id.to_string()).await?;
        let token = self.rooms.token_again(&request.token(&stream, role, validity))?;
        Ok(Joined { stream, token, role })
    }

    /// Removes a participant from the LiveKit room and records the departure. The join token stays valid, so the
    /// participant may rejoin.
    ///
    /// # Errors
    /// [`Error::Rooms`] if LiveKit does not remove a connected participant: the record then stays unchanged.
    /// [`Error::Forbidden`] if the caller may not end this identity's session.
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn leave(&self, caller: &Caller, stream: Stream, request: LeaveRequest) -> Result<Left, Error> {
        permit(caller, caller.leave_action(&request.identity), &stream.room_name)?;
        let known = self.store.participant(stream.id, request.identity.as_str()).await?;
        if stream.status.is_final() || request.is_done(known.as_ref()) {
            return Ok(Left { stream, participant: known });
        }
        let LeaveRequest { identity, dedup_key, .. } = request;
        let guard = Guard { dedup_key, ..Guard::default() };
        let applied = match known.filter(Participant::is_active) {
            Some(known) => self.remove_connected(&stream, known, guard).await?,
            None => self.remove_absent(&stream, identity, guard).await?,
        };
        Ok(Left { stream: applied.stream, participant: applied.participant })
    }

    /// Returns the entry of a participant whose session was ended earlier. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not end this identity's session;
    /// [`crate::store::StoreError::NotFound`] if the stream has expired.
    pub async fn left(&self, caller: &Caller, id: StreamId, identity: &Identity) -> Result<Left, Error> {
        let stream = self.find(caller, caller.leave_action(identity), &id.to_string()).await?;
        let participant = self.store.participant(id, identity.as_str()).await?;
        Ok(Left { stream, participant })
    }

    /// Removes a connected participant and records the departure of that session. A later session stays recorded.
    async fn remove_connected(
        &self,
        stream: &Stream,
        known: Participant,
        guard: Guard,
    ) -> Result<Applied, Error> {
        self.rooms.remove_participant(&stream.room_name, &known.identity).await?;
        let disconnect =
            Change::Disconnect { identity: known.identity, sid: known.sid, at: None, reason: None };
        Ok(self.store.apply(&stream.reference(), disconnect, guard).await?)
    }

    /// Records the departure of a participant that is not recorded as connected, then removes the participant. A
    /// connection that begins in between is therefore ended too.
    async fn remove_absent(
        &self,
        stream: &Stream,
        identity: Identity,
        guard: Guard,
    ) -> Result<Applied, Error> {
        let disconnect = Change::Disconnect { identity: identity.clone(), sid: None, at: None, reason: None };
        let applied = self.store.apply(&stream.reference(), disconnect, guard).await?;
        self.rooms.remove_participant(&stream.room_name, &identity).await?;
        Ok(applied)
    }
}
