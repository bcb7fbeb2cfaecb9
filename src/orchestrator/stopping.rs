//! Stopping streams, and deleting rooms under the operation lock.

use tokio::time::{Instant, sleep};

use super::{
    Error, Orchestrator,
    lock::OperationLock,
    streams::{UNDER_WAY_POLL, UNDER_WAY_WAIT},
};
use crate::{
    domain::{Change, RoomName, StopReason, Stream, StreamRef, StreamStatus, change::Effect},
    rooms::RoomsError,
    store::{Applied, Guard, StoreError},
};

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
        let lock = OperationLock::asked();
        let begun = self.store.apply(&reference, begin, guard).await?;
        if begun.stream.status != StreamStatus::Stopping {
            return Ok(begun.stream);
        }
        if begun.effect == Effect::Changed {
            return self.finish_stop(&reference, &lock.given(&begun.stream)).await;
        }
        match self.take_lock(&reference).await? {
            Some((_, lock)) => self.finish_stop(&reference, &lock).await,
            None => self.stopped_by_another(&reference).await,
        }
    }

    /// Takes over the operation lock of a stream whose holder has died or given up; none where it is held.
    pub(super) async fn take_lock(
        &self,
        stream: &StreamRef,
    ) -> Result<Option<(Stream, OperationLock)>, Error> {
        let lock = OperationLock::asked();
        let taken = self.store.apply(stream, Change::AcquireLock, Guard::default()).await?;
        if taken.effect != Effect::Changed {
            return Ok(None);
        }
        let lock = lock.given(&taken.stream);
        Ok(Some((taken.stream, lock)))
    }

    /// Deletes the room and closes the stream, for the holder of its lock.
    pub(super) async fn finish_stop(
        &self,
        stream: &StreamRef,
        lock: &OperationLock,
    ) -> Result<Stream, Error> {
        let steps = async {
            let deleted = self.delete_room(&stream.room_name, lock).await;
            self.or_release(stream, lock, deleted).await?;
            self.close(stream, Change::Close).await
        };
        self.while_locked(stream, lock, steps).await
    }

    /// Releases the lock where the room could not be deleted, so that another try may begin.
    pub(super) async fn or_release(
        &self,
        stream: &StreamRef,
        lock: &OperationLock,
        deleted: Result<(), RoomsError>,
    ) -> Result<(), Error> {
        if deleted.is_err()
            && let Some(until) = lock.until()
        {
            self.store.apply(stream, Change::ReleaseLock { until }, Guard::default()).await?;
        }
        Ok(deleted?)
    }

    /// Deletes a room by its name, which is all that LiveKit knows rooms by: only while the caller's lock on the name
    /// lasts, lest it meets the room of a later stream.
    pub(super) async fn delete_room(&self, room: &RoomName, lock: &OperationLock) -> Result<(), RoomsError> {
        if !lock.lasts() {
            return Err(RoomsError::Unavailable("the operation lock could not be renewed".to_owned()));
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
            if current.lock_expires_at.is_none() || Instant::now() > deadline {
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
