//! Deletion of all orphaned rooms that LiveKit lists.

use super::service::{PAGE, Reconciler};
use crate::{domain::RoomName, orchestrator::error::Error, store::Lease};

impl Reconciler {
    /// Deletes all orphaned rooms. Returns how many were deleted, and how many deletions failed.
    pub(super) async fn delete_orphaned_rooms(&self, lease: &Lease) -> Result<(u64, u64), Error> {
        let (mut count, mut failed, mut offset) = (0, 0, 0);
        loop {
            let names = self.store.closed_rooms(PAGE, offset).await?;
            for room in self.rooms.list(&names).await? {
                let Ok(name) = RoomName::parse(room.name) else { continue };
                self.renew_lease(lease).await?;
                match self.orchestrator.delete_orphaned_room(&name).await {
                    Ok(deleted) => count += u64::from(deleted),
                    // LiveKit cannot delete a room whose node has ended.
                    Err(error @ (Error::Rooms(_) | Error::OperationInProgress(_))) => {
                        tracing::warn!(room = %name, %error, "orphaned room not deleted");
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
