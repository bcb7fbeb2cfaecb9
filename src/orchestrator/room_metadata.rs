//! Copy of a stream's metadata in its LiveKit room.

use super::service::Orchestrator;
use crate::domain::{Stream, StreamStatus};

/// Maximum number of copies, each of which follows a concurrent change.
const MAX_COPIES: usize = 20;

impl Orchestrator {
    /// Sends the stream's metadata to LiveKit, again after each concurrent change.
    ///
    /// A failure is only logged, because the change is stored and published already. The reconciler repairs the room.
    pub(super) async fn copy_metadata(&self, stream: &Stream) {
        if stream.status != StreamStatus::Active {
            return;
        }
        let mut sent = stream.metadata.clone();
        for _ in 0..MAX_COPIES {
            if let Err(error) = self.rooms.set_metadata(&stream.room_name, &sent).await {
                tracing::warn!(
                    stream = %stream.id, %error,
                    "metadata not copied to the LiveKit room; the reconciler retries"
                );
                return;
            }
            // LiveKit may have received a concurrent change before this one. The stored metadata must be the last.
            match self.store.get(stream.id).await {
                Ok(Some(current)) if current.metadata != sent => sent = current.metadata,
                _ => return,
            }
        }
    }
}
