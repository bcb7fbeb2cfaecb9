//! Stopping streams, and deleting rooms under the operation lock.

use tokio::time::{Instant, sleep};

use super::{
    error::Error,
    lock::{IN_PROGRESS_POLL, IN_PROGRESS_WAIT, OperationLock},
    service::Orchestrator,
};
use crate::{
    domain::{Change, RoomName, StopReason, Stream, StreamRef, StreamStatus, change::Effect},
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
        let lock = OperationLock::requested();
        let begun = self.store.apply(&reference, begin, guard).await?;
        if begun.stream.status != StreamStatus::Stopping {
            return Ok(begun.stream);
        }
        if begun.effect == Effect::Changed {
            return self.finish_stop(&reference, &lock.acquired(&begun.stream)).await;
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
        let lock = OperationLock::requested();
        let taken = self.store.apply(stream, Change::AcquireLock, Guard::default()).await?;
        if taken.effect != Effect::Changed {
            return Ok(None);
        }
        let lock = lock.acquired(&taken.stream);
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
        deleted: Result<(), Error>,
    ) -> Result<(), Error> {
        if deleted.is_err()
            && let Some(until) = lock.until()
        {
            self.store.apply(stream, Change::ReleaseLock { until }, Guard::default()).await?;
        }
        deleted
    }

    /// Deletes a room by its name, which is all that LiveKit knows rooms by: only while the caller's lock on the name
    /// lasts, lest it meets the room of a later stream.
    pub(super) async fn delete_room(&self, room: &RoomName, lock: &OperationLock) -> Result<(), Error> {
        if !lock.lasts() {
            return Err(Error::OperationInProgress("the operation lock is lost"));
        }
        Ok(self.rooms.delete(room).await?)
    }

    /// Another request is at it; its outcome is the answer.
    async fn stopped_by_another(&self, stream: &StreamRef) -> Result<Stream, Error> {
        let deadline = Instant::now() + IN_PROGRESS_WAIT;
        loop {
            let current = self.store.get(stream.id).await?.ok_or(StoreError::NotFound)?;
            if current.status.is_final() {
                return Ok(current);
            }
            if current.lock_expires_at.is_none() || Instant::now() > deadline {
                return Err(Error::OperationInProgress("another request stops the stream"));
            }
            sleep(IN_PROGRESS_POLL).await;
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
