//! Orphaned rooms. A join token outlives its stream, and LiveKit opens a room of that name again for a client that uses
//! the token. Stopping is final, so such a room is deleted while such a token may be valid and no new stream has the
//! name.

use super::{error::Error, lock::OperationLock, service::Orchestrator};
use crate::{
    domain::{RoomName, stream::OPERATION_LOCK},
    rooms::RoomsError,
};

impl Orchestrator {
    /// Deletes the room if its stream has ended. Returns false if the room name cannot be locked.
    ///
    /// # Errors
    /// Errors of the store and of LiveKit.
    pub(super) async fn delete_orphaned_room(&self, room: &RoomName) -> Result<bool, Error> {
        let lock = OperationLock::requested();
        if !self.store.lock_room_name(room, OPERATION_LOCK).await? {
            return Ok(false);
        }
        let deleted = self.delete_room(room, &lock).await;
        // Without an answer, LiveKit may execute the deletion later and delete the next room of that name. After the
        // lock has expired, another instance may hold it.
        let settled =
            !matches!(deleted, Err(Error::Rooms(RoomsError::Unavailable(_)) | Error::OperationInProgress(_)));
        if settled && lock.lasts() {
            self.store.unlock_room_name(room).await?;
        }
        deleted?;
        tracing::info!(%room, "orphaned room deleted: a client opened it with the token of an ended stream");
        Ok(true)
    }
}
