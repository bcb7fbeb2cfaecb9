//! Orphaned rooms. A join token outlives its stream, and LiveKit opens a room of that name again for a client that uses
//! the token. Stopping is final, so such a room is deleted while such a token may be valid and no new stream has the name.

use super::{Error, Orchestrator, lock::OperationLock, webhooks::Outcome};
use crate::{
    domain::{RoomName, RoomSid, stream::OPERATION_LOCK},
    rooms::RoomsError,
    store::Lease,
};

/// How the names of rooms begin that `check` makes to see whether LiveKit's webhooks arrive.
pub const CHECK_ROOM: &str = "livestream-orchestrator-check-";
/// How many names are asked LiveKit about at a time.
const PAGE: usize = 500;

impl Orchestrator {
    /// LiveKit speaks of a room that no live stream has, or says that a room exists.
    ///
    /// # Errors
    /// Those of the store. A room that cannot be deleted now is deleted by the reconciler.
    pub(super) async fn hear_of_room(
        &self,
        room: &RoomName,
        room_sid: Option<&RoomSid>,
    ) -> Result<Outcome, Error> {
        if room.as_str().starts_with(CHECK_ROOM) {
            self.store.record_probe_webhook(room).await?;
            return Ok(Outcome::Applied);
        }
        if let Some(id) = self.store.id_of_room(room).await?
            && let Some(stream) = self.store.get(id).await?
            && (!stream.status.is_final() || stream.room_sid.as_ref() == room_sid)
        {
            // A live stream's room, or a late word about the room that is over.
            return Ok(Outcome::Ignored);
        }
        match self.delete_remnant(room).await {
            Ok(true) => Ok(Outcome::Applied),
            Ok(false) => Ok(Outcome::Ignored),
            Err(Error::Rooms(error)) => {
                tracing::warn!(%room, %error, "a room that came back could not be deleted yet");
                Ok(Outcome::Ignored)
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes the room if its stream is over; says whether it did.
    async fn delete_remnant(&self, room: &RoomName) -> Result<bool, Error> {
        let lock = OperationLock::asked();
        if !self.store.lock_room_name(room, OPERATION_LOCK).await? {
            return Ok(false);
        }
        let deleted = self.delete_room(room, &lock).await;
        // Where LiveKit did not answer it may still be about it, and the next room of that name would be the one to go.
        // After a lock that has run out the name may be held by another instance.
        let settled = !matches!(deleted, Err(RoomsError::Unavailable(_)));
        if settled && lock.lasts() {
            self.store.unlock_room_name(room).await?;
        }
        deleted?;
        tracing::info!(%room, "a room that came back after its stream was stopped is deleted");
        Ok(true)
    }

    /// Deletes all such rooms; says how many there were, and how many could not be deleted.
    pub(super) async fn delete_remnants(&self, lease: &Lease) -> Result<(u64, u64), Error> {
        let (mut count, mut failed, mut offset) = (0, 0, 0);
        loop {
            let names = self.store.closed_rooms(PAGE, offset).await?;
            for room in self.rooms.list(&names).await? {
                let Ok(name) = RoomName::parse(room.name) else { continue };
                self.keep_lease(lease).await?;
                match self.delete_remnant(&name).await {
                    Ok(deleted) => count += u64::from(deleted),
                    // A room whose node has died can be undeletable.
                    Err(Error::Rooms(error)) => {
                        tracing::warn!(room = %name, %error, "a room that came back could not be deleted");
                        failed += 1;
                    }
                    Err(error) => return Err(error),
                }
            }
            offset += names.len();
            if names.len() < PAGE {
                return Ok((count, failed));
            }
        }
    }
}
