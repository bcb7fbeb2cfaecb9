//! Blocks: identities that a stream does not admit.

use std::time::Duration;

use super::access::{Exclusion, log_failure};
use crate::{
    access::{Action, Caller},
    domain::{
        Block, BlockReason, Change, Identity, LeaveReason, Participant, ParticipantState, StreamId,
        StreamRef, Timestamp,
    },
    orchestrator::{error::Error, find::permit, service::Orchestrator},
    store::{DedupKey, Guard, Page, PreviousAttempt},
};

/// Request to block an identity.
#[derive(Clone, Debug)]
pub struct BlockRequest {
    /// Identity to block, which need not be known.
    pub identity: Identity,
    /// Reason, for moderators.
    pub reason: Option<BlockReason>,
    /// Time after which the block ends by itself.
    pub expires_in: Option<Duration>,
    /// Key under which the block is recorded at most once.
    pub dedup_key: Option<DedupKey>,
    /// Earlier attempts of the same request.
    pub previous: Option<PreviousAttempt>,
}

impl BlockRequest {
    /// Makes a request without an idempotency key, for a block that ends with the stream.
    pub const fn of(identity: Identity) -> Self {
        Self { identity, reason: None, expires_in: None, dedup_key: None, previous: None }
    }

    fn block(self, terms: BlockTerms) -> Block {
        let BlockTerms { blocked_at, expires_at, by } = terms;
        Block { identity: self.identity, reason: self.reason, blocked_at, expires_at, by }
    }
}

/// What a block has besides the values of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockTerms {
    /// Time of the block.
    pub blocked_at: Timestamp,
    /// Time at which the block ends by itself; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// Identity of the caller who blocked the identity first.
    pub by: Option<Identity>,
}

impl BlockTerms {
    /// Returns the terms of a block.
    pub fn of(block: &Block) -> Self {
        Self { blocked_at: block.blocked_at, expires_at: block.expires_at, by: block.by.clone() }
    }
}

impl Orchestrator {
    /// Blocks an identity, deletes its ingresses and removes it from the LiveKit room. The block is recorded first, so
    /// it holds for a connection at the same time, and also if LiveKit does not answer: the reconciler then removes the
    /// participant.
    ///
    /// # Errors
    /// [`crate::domain::Rejection::NotActive`]; [`crate::domain::Rejection::TooManyBlocks`]; [`Error::Forbidden`].
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn block(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        request: BlockRequest,
    ) -> Result<Block, Error> {
        permit(caller, Action::Moderate, &stream.room_name)?;
        let BlockRequest { identity, reason, expires_in, dedup_key, .. } = request.clone();
        // No participant has a longer identity, and the size of a stream's blocks is bounded.
        let by = caller.named_identity().filter(Identity::is_within_limit);
        let change = Change::Block { identity: identity.clone(), reason, expires_in, by: by.clone() };
        let guard = Guard { dedup_key, ..Guard::default() };
        let applied = self.store.apply(stream, change, guard).await?;
        let current = self.store.block(stream.id, identity.as_str()).await?;
        // Also after a repetition, because the first request may have ended before the removal.
        if current.is_some()
            && let Err(error) = self.enforce_block(stream, &identity, by.as_ref()).await
        {
            log_failure(&applied.stream, &error);
        }
        // The block of this request may have ended since, in particular if the request repeats an earlier one.
        Ok(applied.block.or(current).unwrap_or_else(|| {
            let first = request.previous.as_ref().map(|previous| previous.since);
            let blocked_at = first.unwrap_or(applied.stream.updated_at);
            let expires_at = expires_in.map(|expires_in| blocked_at.plus(expires_in));
            request.block(BlockTerms { blocked_at, expires_at, by })
        }))
    }

    /// Returns the present block of an identity that was blocked earlier, or the earlier one if that has ended. Changes
    /// nothing.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn block_again(
        &self,
        caller: &Caller,
        id: StreamId,
        request: BlockRequest,
        terms: BlockTerms,
    ) -> Result<Block, Error> {
        self.find(caller, Action::Moderate, &id.to_string()).await?;
        let current = self.store.block(id, request.identity.as_str()).await?;
        Ok(current.unwrap_or_else(|| request.block(terms)))
    }

    /// Deletes the ingresses of a blocked identity, removes it from the LiveKit room, whether it is recorded as
    /// connected or not, and records its departure.
    async fn enforce_block(
        &self,
        stream: &StreamRef,
        identity: &Identity,
        by: Option<&Identity>,
    ) -> Result<(), Error> {
        let deleted = self.remove_ingresses_of(stream, |other| other == identity, by, None).await;
        self.remove_blocked_participant(stream, identity).await?;
        deleted.map(drop)
    }

    async fn remove_blocked_participant(&self, stream: &StreamRef, identity: &Identity) -> Result<(), Error> {
        let known = self.store.participant(stream.id, identity.as_str()).await?;
        let is_present = |entry: &Participant| entry.state != ParticipantState::Disconnected;
        match known.filter(is_present) {
            Some(entry) => {
                let sid = entry.is_active().then_some(entry.sid).flatten();
                let (identity, reason) = (entry.identity, LeaveReason::Blocked);
                self.exclude(stream, Exclusion { identity, sid, reason }, None).await
            }
            None => Ok(self.rooms.remove_participant(&stream.room_name, identity).await?),
        }
    }

    /// Ends the block of an identity. Succeeds without a block.
    ///
    /// # Errors
    /// [`crate::domain::Rejection::NotActive`]; [`Error::Forbidden`].
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn unblock(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        identity: Identity,
        guard: Guard,
    ) -> Result<(), Error> {
        permit(caller, Action::Moderate, &stream.room_name)?;
        let change = Change::Unblock { identity, by: caller.named_identity() };
        self.store.apply(stream, change, guard).await?;
        Ok(())
    }

    /// Returns a page of a stream's blocks, oldest first.
    ///
    /// # Errors
    /// As [`Self::find`].
    #[tracing::instrument(level = "debug", skip_all, fields(stream = id_or_room))]
    pub async fn blocks(
        &self,
        caller: &Caller,
        id_or_room: &str,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Block>, Error> {
        let stream = self.find(caller, Action::Moderate, id_or_room).await?;
        Ok(self.store.blocks(stream.id, limit, after).await?)
    }
}
