//! Outbox of a feed: sends messages through the connection's channel, bounded in bytes.

use std::sync::{Arc, OnceLock};

use actix_web::web::Bytes;
use actix_ws::{Closed, Session};
use bytestring::ByteString;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::messages::WRITE_TIMEOUT;
use crate::relay::{Budget, Charge, Eviction, Transport};

/// Bytes of all feeds that may be in the channel of one connection. A larger message is in it alone.
const CHANNEL_BYTES: usize = 256 * 1024;

/// Sending side of one connection, for its feeds. Clones share the bound.
#[derive(Clone)]
pub(super) struct Outbox {
    session: Session,
    room: Arc<Semaphore>,
    budget: Budget,
    /// Set when the client must be disconnected. Dropped with the last clone, after everything that waits in the feeds.
    eviction: Arc<OnceLock<Eviction>>,
}

impl Outbox {
    /// Returns the outbox of a connection. The channel of the session is bounded in messages only.
    pub(super) fn new(session: Session, budget: Budget) -> Self {
        let room = Arc::new(Semaphore::new(CHANNEL_BYTES));
        Self { session, room, budget, eviction: Arc::default() }
    }

    /// Sends a text message; waits until the channel has room for it.
    ///
    /// # Errors
    /// [`Closed`] if the connection is closed, or if the client does not take the message within [`WRITE_TIMEOUT`], or
    /// earlier if the budget of the instance is exceeded.
    pub(super) async fn send(&mut self, message: impl Into<Bytes>) -> Result<(), Closed> {
        let budget = self.budget.clone();
        tokio::select! {
            biased;
            sent = timeout(WRITE_TIMEOUT, self.enqueue(message.into())) => sent.unwrap_or(Err(Closed)),
            eviction = budget.stalled(Transport::WebSocket) => {
                // A second feed of the connection may stall too.
                let _ = self.eviction.set(eviction);
                Err(Closed)
            }
        }
    }

    async fn enqueue(&mut self, bytes: Bytes) -> Result<(), Closed> {
        let charge = self.budget.charge(bytes.len());
        let room = u32::try_from(bytes.len().min(CHANNEL_BYTES)).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(room).await.map_err(|_| Closed)?;
        let message = Bytes::from_owner(Queued { bytes, _room: room, _charge: charge });
        // The service's own JSON is UTF-8.
        self.session.text(ByteString::try_from(message).map_err(|_| Closed)?).await
    }
}

/// A message in the channel. It leaves the channel when the connection encodes it.
struct Queued {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
    _charge: Charge,
}

impl AsRef<[u8]> for Queued {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
