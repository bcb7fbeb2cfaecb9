//! Blocks: identities that a stream does not admit.

use std::time::Duration;

use super::access::log_failure;
use crate::{
    access::{Action, Caller},
    domain::{
        Block, BlockReason, Change, Identity, LeaveReason, Participant, ParticipantState, Stream, StreamId,
        StreamRef,
    },
    orchestrator::{error::Error, find::permit, service::Orchestrator},
    store::{Guard, Page},
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
}

impl Orchestrator {
    /// Blocks an identity and removes it from the LiveKit room. The block is recorded first, so it holds for a
    /// connection at the same time, and also if LiveKit does not answer: the reconciler then removes the participant.
    ///
    /// # Errors
    /// [`crate::domain::Rejection::NotActive`]; [`crate::domain::Rejection::TooManyBlocks`]; [`Error::Forbidden`];
    /// [`Error::ParticipantNotFound`] if the block has been ended meanwhile.
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn block(
        &self,
        caller: &Caller,
        stream: &StreamRef,
        request: BlockRequest,
        guard: Guard,
    ) -> Result<Block, Error> {
        permit(caller, Action::Moderate, &stream.room_name)?;
        let BlockRequest { identity, reason, expires_in } = request;
        // No participant has a longer identity, and the size of a stream's blocks is bounded.
        let by = caller.named_identity().filter(Identity::is_within_limit);
        let change = Change::Block { identity: identity.clone(), reason, expires_in, by };
        let applied = self.store.apply(stream, change, guard).await?;
        // The block may have ended since, in particular if this request repeats an earlier one.
        let block = self.blocked(stream.id, &identity).await?;
        // Also after a repetition, because the first request may have ended before the removal.
        if let Err(error) = self.enforce_block(stream, &identity).await {
            log_failure(&applied.stream, &error);
        }
        Ok(block)
    }

    /// Returns the block of an identity that was blocked earlier. Changes nothing.
    ///
    /// # Errors
    /// [`Error::ParticipantNotFound`] if the block has ended; as [`Self::find`].
    pub async fn block_again(
        &self,
        caller: &Caller,
        stream: &str,
        identity: &Identity,
    ) -> Result<(Stream, Block), Error> {
        let stream = self.find(caller, Action::Moderate, stream).await?;
        let block = self.blocked(stream.id, identity).await?;
        Ok((stream, block))
    }

    async fn blocked(&self, id: StreamId, identity: &Identity) -> Result<Block, Error> {
        self.store.block(id, identity.as_str()).await?.ok_or(Error::ParticipantNotFound)
    }

    /// Removes a blocked identity from the LiveKit room, whether it is recorded as connected or not, and records its
    /// departure.
    async fn enforce_block(&self, stream: &StreamRef, identity: &Identity) -> Result<(), Error> {
        let known = self.store.participant(stream.id, identity.as_str()).await?;
        let is_present = |entry: &Participant| entry.state != ParticipantState::Disconnected;
        match known.filter(is_present) {
            Some(entry) => {
                let sid = entry.is_active().then_some(entry.sid).flatten();
                self.put_out(stream, (entry.identity, sid), LeaveReason::Blocked, None).await
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
        let mut blocks = self.store.blocks(stream.id).await?;
        blocks.sort_by_cached_key(Block::list_key);
        blocks.retain(|block| after.is_none_or(|after| block.list_key().as_str() > after));
        let next = blocks.get(limit).and(blocks.get(limit - 1)).map(Block::list_key);
        blocks.truncate(limit);
        Ok(Page { items: blocks, next })
    }
}
