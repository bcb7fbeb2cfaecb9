//! Creation of a stream's LiveKit room.

use std::sync::atomic::Ordering;

use super::{error::Error, lock::OperationLock, service::Orchestrator};
use crate::{
    domain::{Change, Stream, StreamId, StreamRef, StreamStatus, Timestamp},
    rooms::{Occupants, Room, RoomSpec, RoomsError},
    store::Guard,
};

/// A room that CreateRoom returned, and its participants.
struct OpenedRoom {
    room: Room,
    occupants: Occupants,
    /// Records before this time are older than the list of participants.
    before: Timestamp,
}

impl Orchestrator {
    /// Creates the room and activates the stream. Replaces an empty room of that name with other settings. Takes over
    /// an occupied one with the same settings, and records its participants.
    ///
    /// # Errors
    /// [`Error::RoomExists`] for an occupied room with other settings; [`Error::Rooms`] if LiveKit does not create the
    /// room. The stream is then in `error`. If the store does not answer, the sweeper undoes the creation.
    pub(super) async fn open_room(
        &self,
        stream: &StreamRef,
        spec: &RoomSpec,
        lock: &OperationLock,
    ) -> Result<Stream, Error> {
        let opened = match self.prepare_room(stream.id, spec, lock).await {
            Ok(opened) => opened,
            Err(error) => {
                self.abandon(stream, &error, lock).await;
                return Err(error);
            }
        };
        let activate = Change::Activate { room_sid: opened.room.sid.clone() };
        match self.store.apply(stream, activate, Guard::default()).await {
            Ok(applied) => Ok(self.take_over(applied.stream, opened).await),
            Err(error) => {
                // A room whose stream is not activated would remain until its empty timeout.
                self.delete_abandoned(stream, lock).await;
                Err(error.into())
            }
        }
    }

    /// Creates the room. CreateRoom returns an existing room with its old settings, so an empty room with other
    /// settings is deleted and created once more.
    ///
    /// # Errors
    /// [`Error::RoomExists`] for an occupied room with other settings; errors of LiveKit and of the store.
    async fn prepare_room(
        &self,
        id: StreamId,
        spec: &RoomSpec,
        lock: &OperationLock,
    ) -> Result<OpenedRoom, Error> {
        let mut replaced = false;
        loop {
            let opened = self.create_room(id, spec).await?;
            let differences = spec.differences(&opened.room, self.default_limit.load(Ordering::Relaxed));
            if differences.is_empty() {
                return Ok(opened);
            }
            if !opened.occupants.is_empty() {
                return Err(Error::RoomExists(differences));
            }
            if replaced {
                self.learn_defaults(spec, &opened.room, &differences);
                return Ok(opened);
            }
            self.delete_room(&spec.name, lock).await.map_err(unavailable_without_lock)?;
            replaced = true;
        }
    }

    async fn create_room(&self, id: StreamId, spec: &RoomSpec) -> Result<OpenedRoom, Error> {
        let room = self.rooms.create(spec).await?;
        // Records from now on are newer than the list of participants.
        let before = self.store.time_of(id).await?;
        let occupants = self.rooms.occupants_of(&spec.name, &room.sid).await?;
        Ok(OpenedRoom { room, occupants, before })
    }

    /// Learns LiveKit's own limits from a new room that differs from its request. Keeps the default of
    /// `maxParticipants`, so that the next room without a limit is not created twice.
    fn learn_defaults(&self, spec: &RoomSpec, room: &Room, differences: &[String]) {
        if spec.max_participants.is_none() {
            self.default_limit.store(room.max_participants, Ordering::Relaxed);
        }
        tracing::warn!(room = %spec.name, ?differences, "LiveKit's configuration overrides settings of new rooms");
    }

    /// Records the participants that were in the room before, sends the stream's metadata, and removes participants
    /// without access. The reconciler repairs failures.
    async fn take_over(&self, stream: Stream, opened: OpenedRoom) -> Stream {
        let OpenedRoom { room, occupants, before } = opened;
        if stream.metadata.as_text() != room.metadata {
            self.copy_metadata(&stream).await;
        }
        let (reference, mut current) = (stream.reference(), stream);
        for session in occupants.sessions {
            let observe = Change::Observe { session, before };
            match self.store.apply(&reference, observe, Guard::default()).await {
                Ok(applied) => current = applied.stream,
                Err(error) => {
                    tracing::warn!(
                        stream = %reference.id, %error,
                        "participant of an existing room not recorded; the reconciler retries"
                    );
                }
            }
        }
        self.enforce_backstage(&current).await;
        current
    }

    /// Continues the creation of an earlier attempt of the same request. Returns `None` if that attempt has failed.
    ///
    /// The first instance may still hold the lock, so this one deletes no room. Creating the room and activating the
    /// stream have the same result when they are repeated.
    ///
    /// # Errors
    /// [`Error::RoomExists`] for an occupied room with other settings; [`Error::OperationInProgress`] for an empty one,
    /// which the lock's holder must replace first; errors of LiveKit and of the store.
    pub(super) async fn continue_creation(
        &self,
        stream: Stream,
        spec: &RoomSpec,
    ) -> Result<Option<Stream>, Error> {
        match stream.status {
            StreamStatus::Error => Ok(None),
            StreamStatus::Creating => self.activate_again(&stream, spec).await.map(Some),
            _ => Ok(Some(stream)),
        }
    }

    async fn activate_again(&self, stream: &Stream, spec: &RoomSpec) -> Result<Stream, Error> {
        let opened = self.create_room(stream.id, spec).await?;
        let differences = spec.differences(&opened.room, self.default_limit.load(Ordering::Relaxed));
        if !differences.is_empty() && !opened.occupants.is_empty() {
            return Err(Error::RoomExists(differences));
        }
        if !differences.is_empty() {
            return Err(Error::OperationInProgress("the first attempt of this creation is being undone"));
        }
        let activate = Change::Activate { room_sid: opened.room.sid.clone() };
        let applied = self.store.apply(&stream.reference(), activate, Guard::default()).await?;
        Ok(self.take_over(applied.stream, opened).await)
    }

    /// Records that a creation failed, which frees the room name.
    async fn abandon(&self, stream: &StreamRef, cause: &Error, lock: &OperationLock) {
        tracing::warn!(stream = %stream.id, %cause, "LiveKit room not created; the creation fails");
        let reason = match cause {
            Error::RoomExists(_) => "room_exists",
            Error::Rooms(RoomsError::Refused(_)) => "livekit_error",
            // LiveKit may have created the room without an answer.
            _ => {
                self.delete_abandoned(stream, lock).await;
                "livekit_unavailable"
            }
        };
        if let Err(error) = self.close(stream, Change::Fail { reason: reason.to_owned() }).await {
            tracing::error!(stream = %stream.id, %error, "failed creation not recorded; the sweeper retries");
        }
    }

    /// Deletes the room of a failed creation, unless another stream owns the room name by now.
    async fn delete_abandoned(&self, stream: &StreamRef, lock: &OperationLock) {
        let holder = self.store.id_of_room(&stream.room_name).await;
        if holder.is_ok_and(|holder| holder.is_some_and(|id| id != stream.id)) {
            return;
        }
        if let Err(error) = self.delete_unused_room(stream, lock).await {
            tracing::warn!(stream = %stream.id, %error, "room of a failed creation not deleted");
        }
    }

    /// Deletes the room of a stream that never became active. Keeps an occupied room: another tool created it, because
    /// this service creates no join token before a stream is active.
    ///
    /// # Errors
    /// Errors of LiveKit; [`Error::OperationInProgress`] if the lock is lost.
    pub(super) async fn delete_unused_room(
        &self,
        stream: &StreamRef,
        lock: &OperationLock,
    ) -> Result<(), Error> {
        let occupants = self.rooms.occupants(&stream.room_name).await?;
        if occupants.is_some_and(|occupants| !occupants.is_empty()) {
            tracing::warn!(stream = %stream.id, "occupied room of a failed creation kept: another tool uses it");
            return Ok(());
        }
        self.delete_room(&stream.room_name, lock).await
    }
}

/// Replaces the error of a lost lock: the creation ends in `error`, so the caller has no operation to wait for.
fn unavailable_without_lock(error: Error) -> Error {
    match error {
        Error::OperationInProgress(cause) => RoomsError::Unavailable(cause.to_owned()).into(),
        other => other,
    }
}
