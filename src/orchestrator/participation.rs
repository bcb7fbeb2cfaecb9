//! Joining and leaving.

use super::{
    error::Error, find::permit, leave_request::LeaveRequest, moderation::ParticipantPatch,
    service::Orchestrator,
};
use crate::{
    access::{Action, Caller},
    domain::{
        Attributes, Change, DisplayName, Identity, Metadata, Participant, Rejection, Role, Stream, StreamId,
        StreamRef, TokenMark, change::Effect,
    },
    rooms::{JoinToken, TokenRequest, TokenValidity},
    store::{Applied, DedupKey, Guard},
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

/// What a join token has besides the values of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenTerms {
    /// Validity of the token.
    pub validity: TokenValidity,
    /// Role of the token.
    pub role: Role,
    /// Number of removals of the identity that precede the token.
    pub removals: u32,
}

impl JoinRequest {
    fn token(self, stream: &Stream, terms: TokenTerms) -> TokenRequest {
        TokenRequest {
            room: stream.room_name.clone(),
            identity: self.identity,
            name: self.name,
            role: terms.role,
            metadata: self.metadata,
            attributes: self.attributes,
            mark: TokenMark::new(stream.id, terms.removals),
            validity: terms.validity,
        }
    }
}

/// Result of [`Orchestrator::join`].
pub struct Joined {
    /// The stream after the join was recorded.
    pub stream: Stream,
    /// LiveKit token for the stream's room.
    pub token: JoinToken,
    /// Terms of the token.
    pub terms: TokenTerms,
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
    /// [`Rejection::NotActive`] if the stream is not active; [`Rejection::Blocked`] for a blocked identity;
    /// [`Rejection::Backstage`] for a viewer while the stream is backstage; [`Rejection::Full`] if it has its maximum
    /// of participants; [`Error::Forbidden`] if the caller may not create tokens for the stream.
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
        // The token was recorded by an earlier attempt, and the identity may have been blocked since.
        if applied.effect == Effect::Duplicate {
            self.refuse_token(&applied.stream, &request.identity).await?;
        }
        let entry = match applied.participant {
            Some(entry) => Some(entry),
            // The token was recorded by an earlier attempt.
            None => self.store.participant(stream.id, request.identity.as_str()).await?,
        };
        let removals = entry.as_ref().map_or(0, |entry| entry.removals.count);
        let role = self.recorded_role(stream, &request, entry, caller).await?;
        let (stream, validity) = (applied.stream, TokenValidity::from_now(self.policy.token_ttl));
        let terms = TokenTerms { validity, role, removals };
        let token = self.rooms.token(&request.token(&stream, terms))?;
        Ok(Joined { stream, token, terms })
    }

    /// Returns the role of a token that was recorded. Changes the role of a participant that is connected in another.
    async fn recorded_role(
        &self,
        stream: &StreamRef,
        request: &JoinRequest,
        entry: Option<Participant>,
        caller: &Caller,
    ) -> Result<Role, Error> {
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
        terms: TokenTerms,
    ) -> Result<Joined, Error> {
        let stream = self.find(caller, Action::Join, &id.to_string()).await?;
        self.refuse_token(&stream, &request.identity).await?;
        let token = self.rooms.token_again(&request.token(&stream, terms))?;
        Ok(Joined { stream, token, terms })
    }

    /// Refuses a token of a blocked identity.
    async fn refuse_token(&self, stream: &Stream, identity: &Identity) -> Result<(), Error> {
        if self.is_blocked(stream, identity).await? { Err(Rejection::Blocked.into()) } else { Ok(()) }
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
