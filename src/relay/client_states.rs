//! States of a stream for one client, until its access ends.

use std::sync::Arc;

use super::{
    access::Access,
    state_updates::{StateFrame, StateUpdates},
    subscriber::Ended,
};
use crate::domain::Cursor;

/// Subscription of one client to a stream's states, which ends when its participant is blocked.
pub struct ClientStates {
    pub(super) updates: StateUpdates,
    pub(super) access: Access,
}

impl ClientStates {
    /// Returns the cursor of the first state.
    pub fn from(&self) -> Cursor {
        self.updates.from()
    }

    /// Returns the size of the first state, which was read for this client alone. Valid before the first
    /// [`Self::next`].
    pub fn first_bytes(&self) -> usize {
        self.updates.first_bytes()
    }

    /// Reports whether the stream had ended when the subscription started. Valid before the first [`Self::next`].
    pub fn starts_ended(&self) -> bool {
        self.updates.starts_ended()
    }

    /// Returns the first state, then the newest state after each change, while the client has access.
    ///
    /// Cancellation safe: a dropped future has consumed no state.
    ///
    /// # Errors
    /// The reason why no further state follows.
    pub async fn next(&mut self) -> Result<Arc<StateFrame>, Ended> {
        loop {
            if let Some(ended) = self.access.check().await {
                return Err(ended);
            }
            let signal = self.access.signal();
            tokio::select! {
                biased;
                state = self.updates.next() => return state,
                () = signal => {}
            }
        }
    }
}
