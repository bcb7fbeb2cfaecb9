//! The LiveKit room of a stream that is being created.

use std::sync::atomic::Ordering;

use super::{error::Error, lock::OperationLock, service::Orchestrator};
use crate::{
    domain::{Change, Stream, StreamRef, StreamStatus, Timestamp},
    rooms::{Occupants, Room, RoomSpec, RoomsError},
    store::Guard,
};

/// A room as CreateRoom answered, and its participants.
struct Made {
    room: Room,
    occupants: Occupants,
    /// What was recorded before this is older than the list of participants.
    before: Timestamp,
}

impl Orchestrator {
    /// Makes the room and makes the stream active. An empty room of that name with other settings is replaced; an
    /// occupied one with the same settings is taken over, and its participants are recorded.
    ///
    /// # Errors
    /// [`Error::RoomExists`] for an occupied room with other settings, [`Error::Rooms`] where LiveKit does not make the
    /// room. The stream is in `error` then. A store that does not answer leaves the stream to the sweeper.
    pub(super) async fn open_room(
        &self,
        stream: &StreamRef,
        spec: &RoomSpec,
        lock: &OperationLock,
    ) -> Result<Stream, Error> {
        let made = match self.make_room(spec, lock).await {
            Ok(made) => made,
            Err(error) => {
                self.abandon(stream, &error, lock).await;
                return Err(error);
            }
        };
        let activate = Change::Activate { room_sid: made.room.sid.clone() };
        match self.store.apply(stream, activate, Guard::default()).await {
            Ok(applied) => Ok(self.take_over(applied.stream, made).await),
            Err(error) => {
                // The stream stays as it is recorded; a room without a stream would stay for ever.
                self.delete_abandoned(stream, lock).await;
                Err(error.into())
            }
        }
    }

    /// CreateRoom answers with the room that it finds, which keeps its settings: they decide whether the room will do.
    async fn make_room(&self, spec: &RoomSpec, lock: &OperationLock) -> Result<Made, Error> {
        let mut replaced = false;
        loop {
            let made = self.create_room(spec).await?;
            let differences = spec.differences(&made.room, self.default_limit.load(Ordering::Relaxed));
            if differences.is_empty() {
                return Ok(made);
            }
            if !made.occupants.is_empty() {
                return Err(Error::RoomExists(differences));
            }
            if replaced {
                self.learn_defaults(spec, &made.room, &differences);
                return Ok(made);
            }
            self.delete_room(&spec.name, lock).await?;
            replaced = true;
        }
    }

    async fn create_room(&self, spec: &RoomSpec) -> Result<Made, Error> {
        let room = self.rooms.create(spec).await?;
        // What is recorded from now on is newer than the list.
        let before = self.store.now().await?;
        let occupants = self.rooms.occupants_of(&spec.name, &room.sid).await?;
        Ok(Made { room, occupants, before })
    }

    /// A room that was made a moment ago and differs has LiveKit's own defaults. The default of `maxParticipants` is
    /// remembered, so that the next room that sets none is not made twice.
    fn learn_defaults(&self, spec: &RoomSpec, room: &Room, differences: &[String]) {
        if spec.max_participants.is_none() {
            self.default_limit.store(room.max_participants, Ordering::Relaxed);
        }
        tracing::warn!(room = %spec.name, ?differences, "LiveKit's own configuration limits rooms");
    }

    /// Records the participants that were in the room already, and gives the room the stream's metadata. What fails
    /// here is repaired by the reconciler.
    async fn take_over(&self, stream: Stream, made: Made) -> Stream {
        let Made { room, occupants, before } = made;
        if stream.metadata.as_text() != room.metadata {
            self.copy_metadata(&stream).await;
        }
        let (reference, mut current) = (stream.reference(), stream);
        for session in occupants.sessions {
            let observe = Change::Observe { session, before };
            match self.store.apply(&reference, observe, Guard::default()).await {
                Ok(applied) => current = applied.stream,
                Err(error) => {
                    tracing::warn!(stream = %reference.id, %error, "a participant of a room that was taken over is not recorded yet");
                }
            }
        }
        current
    }

    /// Goes on with a creation whose first attempt died: none where that one has failed for good. The instance that made
    /// it may still have the lock, so nothing is deleted here; making the room and recording it are the same twice as
    /// once.
    pub(super) async fn continue_creation(
        &self,
        stream: Stream,
        spec: &RoomSpec,
    ) -> Result<Option<Stream>, Error> {
        match stream.status {
            StreamStatus::Error => Ok(None),
            StreamStatus::Creating => {
                let made = self.create_room(spec).await?;
                let differences = spec.differences(&made.room, self.default_limit.load(Ordering::Relaxed));
                if !differences.is_empty() && !made.occupants.is_empty() {
                    return Err(Error::RoomExists(differences));
                }
                if !differences.is_empty() {
                    return Err(Error::OperationInProgress(
                        "the first attempt of this creation is being undone",
                    ));
                }
                let activate = Change::Activate { room_sid: made.room.sid.clone() };
                let applied = self.store.apply(&stream.reference(), activate, Guard::default()).await?;
                Ok(Some(self.take_over(applied.stream, made).await))
            }
            _ => Ok(Some(stream)),
        }
    }

    /// A creation that failed: the room name is free again.
    async fn abandon(&self, stream: &StreamRef, cause: &Error, lock: &OperationLock) {
        tracing::warn!(stream = %stream.id, %cause, "the room could not be made");
        let reason = match cause {
            Error::RoomExists(_) => "room_exists",
            Error::Rooms(RoomsError::Refused(_)) => "livekit_error",
            // LiveKit may have made the room all the same.
            _ => {
                self.delete_abandoned(stream, lock).await;
                "livekit_unavailable"
            }
        };
        if let Err(error) = self.close(stream, Change::Fail { reason: reason.to_owned() }).await {
            tracing::error!(stream = %stream.id, %error, "a failed creation could not be recorded");
        }
    }

    /// Only while the stream holds its room name, or no stream does: the room may be a later stream's by now.
    async fn delete_abandoned(&self, stream: &StreamRef, lock: &OperationLock) {
        let holder = self.store.id_of_room(&stream.room_name).await;
        if holder.is_ok_and(|holder| holder.is_some_and(|id| id != stream.id)) {
            return;
        }
        if let Err(error) = self.delete_unused_room(stream, lock).await {
            tracing::warn!(stream = %stream.id, %error, "a room that may exist could not be deleted");
        }
    }

    /// Deletes the room of a stream that never became active. An occupied room is another tool's and stays: this service
    /// gives out no join token before a stream is active.
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
            tracing::warn!(stream = %stream.id, "an occupied room of a stream that never became active is left alone");
            return Ok(());
        }
        self.delete_room(&stream.room_name, lock).await
    }
}
