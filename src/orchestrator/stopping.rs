//! Stopping streams, and deleting rooms under the operation lock.

use super::{
    error::Error,
    find::permit,
    lock::{InProgressWait, OperationLock},
    service::Orchestrator,
};
use crate::{
    access::{Action, Caller},
    domain::{Change, RoomName, StopReason, Stream, StreamRef, StreamStatus, change::Effect},
    media::MediaError,
    rooms::RoomsError,
    store::{Applied, Guard, StoreError},
};

impl Orchestrator {
    /// Stops a stream at a caller's request. Returns a stream that has ended unchanged. Continues a stop that another
    /// instance has left, or waits up to 6 s for one that another request executes.
    ///
    /// # Errors
    /// [`Error::Rooms`] if LiveKit does not answer, or does not delete the room, and [`Error::Ingress`] if it refuses
    /// to delete an ingress: the stream stays in `stopping`, and the next stop continues.
    /// [`Error::OperationInProgress`] if another request still stops the stream. [`Error::Forbidden`] if the caller may
    /// not stop the stream.
    #[tracing::instrument(level = "debug", skip_all, fields(caller = caller.identity(), stream = %stream.id))]
    pub async fn stop(&self, caller: &Caller, stream: &Stream, guard: Guard) -> Result<Stream, Error> {
        permit(caller, Action::Stop, &stream.room_name)?;
        self.stop_for(stream, StopReason::Requested, guard).await
    }

    /// Stops a stream for `reason`, as [`Self::stop`] but without a permission check.
    ///
    /// # Errors
    /// As [`Self::stop`], except [`Error::Forbidden`].
    pub(super) async fn stop_for(
        &self,
        stream: &Stream,
        reason: StopReason,
        guard: Guard,
    ) -> Result<Stream, Error> {
        self.stop_with_change(stream, Change::BeginStop { reason, room_sid: None }, guard).await
    }

    /// Stops a stream: applies `begin`, then deletes the room and closes the stream.
    ///
    /// # Errors
    /// As [`Self::stop`], except [`Error::Forbidden`].
    pub(super) async fn stop_with_change(
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
            None => self.await_stop(&reference).await,
        }
    }

    /// Takes the operation lock after its lease has expired or was released. Returns `None` if another instance holds
    /// it.
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

    /// Ends the recordings and broadcasts, deletes the ingresses and the room, and closes the stream. The caller holds
    /// `lock`, which is renewed meanwhile.
    pub(super) async fn finish_stop(
        &self,
        stream: &StreamRef,
        lock: &OperationLock,
    ) -> Result<Stream, Error> {
        let steps = async {
            let deleted = self.delete_media_and_room(stream, lock).await;
            self.release_lock_on_error(stream, lock, deleted).await?;
            self.close(stream, Change::Close).await
        };
        self.while_locked(stream, lock, steps).await
    }

    /// Ends the recordings first, so that they have their results before the stream's last event, and deletes the
    /// ingresses before the room, because an encoder would bring the room back.
    async fn delete_media_and_room(&self, stream: &StreamRef, lock: &OperationLock) -> Result<(), Error> {
        self.end_egresses(stream, self.policy.egress_stop_wait).await?;
        match self.end_ingresses(stream).await {
            // The request is about the stream, whose room LiveKit does not delete either.
            Err(Error::Ingress(MediaError::Unavailable(cause))) => Err(RoomsError::Unavailable(cause).into()),
            Err(error) => Err(error),
            Ok(()) => self.delete_room(&stream.room_name, lock).await,
        }
    }

    /// Releases the operation lock if `deleted` is an error, and returns `deleted`.
    pub(super) async fn release_lock_on_error(
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

    /// Deletes a room while the caller's lock lasts. LiveKit deletes rooms by name, so a later call could delete the
    /// room of a later stream.
    ///
    /// # Errors
    /// [`Error::OperationInProgress`] if the lock is lost; errors of LiveKit.
    pub(super) async fn delete_room(&self, room: &RoomName, lock: &OperationLock) -> Result<(), Error> {
        if !lock.lasts() {
            return Err(Error::OperationInProgress("the operation lock is lost"));
        }
        Ok(self.rooms.delete(room).await?)
    }

    /// Waits for the end of a stop that another request executes, and returns its result.
    async fn await_stop(&self, stream: &StreamRef) -> Result<Stream, Error> {
        let mut wait = InProgressWait::start();
        loop {
            let current = self.store.get(stream.id).await?.ok_or(StoreError::NotFound)?;
            if current.status.is_final() {
                return Ok(current);
            }
            if current.lock_expires_at.is_none() {
                // A request releases the lock before the end only if LiveKit did not delete the room.
                let cause = "the request that stopped the stream could not delete its room";
                return Err(RoomsError::Unavailable(cause.to_owned()).into());
            }
            if wait.is_over() {
                return Err(Error::OperationInProgress("another request stops the stream"));
            }
            wait.pause().await;
        }
    }

    /// Repeats a closing change until it has recorded the departure of every participant.
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
