//! Test of the command `check` whether LiveKit's webhooks arrive.

use std::sync::Arc;

use crate::{
    domain::RoomName,
    store::{ProbeWebhooks, StoreError},
};

/// Name prefix of the rooms that the command `check` creates to test whether webhooks arrive.
pub const CHECK_ROOM: &str = "livestream-orchestrator-check-";

/// Reads whether an instance has received a webhook about one room of `check`. It gives access to no stream.
pub struct WebhookProbe {
    store: Arc<dyn ProbeWebhooks>,
    room: RoomName,
}

impl WebhookProbe {
    /// Makes a probe for a room whose name begins with [`CHECK_ROOM`].
    pub fn new(store: Arc<dyn ProbeWebhooks>, room: RoomName) -> Self {
        Self { store, room }
    }

    /// Reports whether any instance has received a webhook about the room within the last minute.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the store does not answer.
    pub async fn has_arrived(&self) -> Result<bool, StoreError> {
        self.store.has_probe_webhook(&self.room).await
    }
}
