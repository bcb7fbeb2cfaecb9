//! Stopping streams, and deleting rooms under a claim.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    Error, Orchestrator,
    streams::{UNDER_WAY_POLL, UNDER_WAY_WAIT},
};
use crate::{
    domain::{Change, RoomName, StopReason, Stream, StreamRef, StreamStatus, change::Effect, stream::CLAIM},
    rooms::RoomsError,
    store::{Applied, Guard, StoreError},
};

/// How long before its end a claim is not relied on any more: the time that one call of LiveKit may take.
const CLAIM_MARGIN: Duration = Duration::from_secs(10);

/// The caller's claim on a stream or a room name. It is counted from before it was asked for, by a clock that goes on
/// while the process is stopped.
#[derive(Clone, Copy)]
pub(super) struct Claim {
    since: Instant,
}

impl Claim {
    /// To be made just before the claim is asked for.
    pub(super) fn taken() -> Self {
        Self { since: Instant::now() }
    }

    pub(super) fn lasts(self) -> bool {
        self.since.elapsed() + CLAIM_MARGIN < CLAIM
    }
}

impl Orchestrator {
    /// Stops a stream, whoever else is doing so. One that is stopped already is the answer as it is.
    ///
    /// # Errors
    /// [`Error::Rooms`] where the room could not be deleted: the stream stays in `stopping`, and stopping again goes on
    /// from there.
    pub async fn stop(&self, stream: &Stream, reason: StopReason, guard: Guard) -> Result<Stream, Error> {
        self.stop_by(stream, Change::BeginStop { reason, room_sid: None }, guard).await
    }

    /// Stops a stream by this first change.
    pub(super) async fn stop_by(
        &self,
        stream: &Stream,
        begin: Change,
        guard: Guard,
    ) -> Result<Stream, Error> {
        let reference = stream.reference();
        let mut claim = Claim::taken();
        let begun = self.store.apply(&reference, begin, guard).await?;
        if begun.stream.status != StreamStatus::Stopping {
            return Ok(begun.stream);
        }
        let mut ours = begun.effect == Effect::Changed;
        if !ours {
            claim = Claim::taken();
            let claimed = self.store.apply(&reference, Change::Claim, Guard::default()).await?;
            ours = claimed.effect == Effect::Changed;
        }
        if ours {
            self.finish_stop(&reference, claim).await
        } else {
            self.stopped_by_another(&reference).await
        }
    }

    /// Deletes the room and closes the stream, for who has claimed it.
    pub(super) async fn finish_stop(&self, stream: &StreamRef, claim: Claim) -> Result<Stream, Error> {
        self.delete_claimed(stream, claim).await?;
        self.close(stream, Change::Close).await
    }

    /// Deletes the room of a stream that the caller has claimed, or lets go of the claim.
    pub(super) async fn delete_claimed(&self, stream: &StreamRef, claim: Claim) -> Result<(), Error> {
        let deleted = self.delete_room(&stream.room_name, claim).await;
        if deleted.is_err() {
            self.store.apply(stream, Change::Release, Guard::default()).await?;
        }
        Ok(deleted?)
    }

    /// Deletes a room by its name, which is all that LiveKit knows rooms by: only while the caller's claim on the name
    /// lasts, lest it meets the room of a later stream.
    pub(super) async fn delete_room(&self, room: &RoomName, claim: Claim) -> Result<(), RoomsError> {
        if !claim.lasts() {
            return Err(RoomsError::Unavailable("there was no answer while the claim lasted".to_owned()));
        }
        self.rooms.delete(room).await
    }

    /// Another request is at it; its outcome is the answer.
    async fn stopped_by_another(&self, stream: &StreamRef) -> Result<Stream, Error> {
        let deadline = Instant::now() + UNDER_WAY_WAIT;
        loop {
            let current = self.store.get(stream.id).await?.ok_or(StoreError::NotFound)?;
            if current.status.is_final() {
                return Ok(current);
            }
            if current.claimed_until.is_none() || Instant::now() > deadline {
                let words = "another request could not stop it either".to_owned();
                return Err(RoomsError::Unavailable(words).into());
            }
            sleep(UNDER_WAY_POLL).await;
        }
    }

    /// Makes a closing change as often as it takes to let everybody go.
    pub(super) async fn close(&self, stream: &StreamRef, change: Change) -> Result<Stream, Error> {
        loop {
            let Applied { effect, stream: closed, .. } =
                self.store.apply(stream, change.clone(), Guard::default()).await?;
            if effect != Effect::Partial {
                return Ok(closed);
            }
        }
    }
}
