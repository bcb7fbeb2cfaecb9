//! Blocks of identities.

use std::time::Duration;

use super::{
    hands::put_hand,
    recorder::{Applied, Recorder, UNCHANGED},
    state::Aggregate,
};
use crate::domain::{
    Block, BlockReason, Identity, LeaveReason, Participant, Rejection, StreamStatus, Timestamp,
    block::MAX_BLOCKS,
    change::{CLOSE_BATCH, Effect},
    event::{Draft, EventKind},
};

impl Aggregate {
    /// See [`crate::domain::Stream::denial`].
    pub fn denial(&self, participant: &Participant) -> Option<LeaveReason> {
        self.stream.denial(participant, self.blocks.contains_key(&participant.identity))
    }

    /// Blocks an identity, also one without an entry, and lowers its hand. A repetition replaces the reason and the
    /// expiry, without an event. The session of a present participant ends by a change of its own, when LiveKit has
    /// removed it.
    ///
    /// # Errors
    /// [`Rejection::NotActive`] if the stream is not active, [`Rejection::TooManyBlocks`] at [`MAX_BLOCKS`].
    pub(super) fn block(
        &mut self,
        identity: &Identity,
        reason: Option<BlockReason>,
        expires_in: Option<Duration>,
        by: Option<Identity>,
        now: Timestamp,
    ) -> Applied {
        self.require_active_for_block()?;
        let known = self.blocks.get(identity);
        if known.is_none() && self.blocks.len() >= MAX_BLOCKS {
            return Err(Rejection::TooManyBlocks { max: self.stream.blocks });
        }
        let expires_at = expires_in.map(|expires_in| now.plus(expires_in));
        let first = known.map(|known| (known.blocked_at, known.by.clone()));
        let (blocked_at, blocked_by) = first.unwrap_or_else(|| (now, by.clone()));
        let block = Block { identity: identity.clone(), reason, blocked_at, expires_at, by: blocked_by };
        if known == Some(&block) {
            return UNCHANGED;
        }
        match self.blocks.insert(identity.clone(), block) {
            Some(_) => Ok((Effect::Changed, Vec::new())),
            None => Ok((Effect::Changed, self.begin_block(identity, by, now))),
        }
    }

    /// Records a new block, and lowers the hand of the identity.
    fn begin_block(&mut self, identity: &Identity, by: Option<Identity>, now: Timestamp) -> Vec<Draft> {
        self.stream.blocks += 1;
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        recorder.record_block(EventKind::ParticipantBlocked, identity.clone(), by.clone());
        let entry = self.participants.get_mut(identity).filter(|entry| entry.hand_raised_at.is_some());
        if let Some(entry) = entry {
            put_hand(&mut recorder, entry, None, by);
        }
        recorder.drafts
    }

    /// Ends the block of an identity.
    ///
    /// # Errors
    /// [`Rejection::NotActive`] if the stream is not active.
    pub(super) fn unblock(&mut self, identity: Identity, by: Option<Identity>, now: Timestamp) -> Applied {
        self.require_active_for_block()?;
        if self.blocks.remove(&identity).is_none() {
            return UNCHANGED;
        }
        self.stream.blocks -= 1;
        self.recorded(now, |recorder| recorder.record_block(EventKind::ParticipantUnblocked, identity, by))
    }

    /// Ends blocks whose time has passed, at most [`CLOSE_BATCH`] of them.
    pub(super) fn expire_blocks(&mut self, now: Timestamp) -> Applied {
        let due = |block: &&Block| block.expires_at.is_some_and(|at| at <= now);
        let mut expired: Vec<_> = self.blocks.values().filter(due).cloned().collect();
        expired.sort_by(|a, b| (a.expires_at, &a.identity).cmp(&(b.expires_at, &b.identity)));
        let effect = match expired.len() {
            0 => Effect::Unchanged,
            count if count > CLOSE_BATCH => Effect::Partial,
            _ => Effect::Changed,
        };
        let mut recorder = Recorder::new(&mut self.stream, &mut self.tally, now);
        for Block { identity, .. } in expired.into_iter().take(CLOSE_BATCH) {
            self.blocks.remove(&identity);
            recorder.stream.blocks -= 1;
            recorder.record_block(EventKind::ParticipantUnblocked, identity, None);
        }
        Ok((effect, recorder.drafts))
    }

    const fn require_active_for_block(&self) -> Result<(), Rejection> {
        match self.stream.status {
            StreamStatus::Active => Ok(()),
            status => Err(Rejection::NotActive { status }),
        }
    }
}
