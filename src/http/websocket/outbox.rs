//! Outbox of a connection: sends the messages of all its feeds through one channel, bounded in bytes.
//!
//! A message that is larger than the channel is sent in fragments (RFC 6455, section 5.4), so that the connection holds
//! copies of a few of them instead of the whole message. Fragments are slices of bytes that all clients share.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use actix_http::ws::Item;
use actix_web::{rt, web::Bytes};
use actix_ws::{Closed, Session};
use bytestring::ByteString;
use tokio::{
    sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::messages::{Message, WRITE_TIMEOUT};
use crate::{
    http::hijack::ConnectionHandle,
    relay::{Budget, Charge, Eviction, Transport},
};

/// Bytes that may be in the channel of one connection. A larger message is sent in fragments.
const CHANNEL_BYTES: usize = 64 * 1024;
/// Size of a fragment.
const FRAGMENT_BYTES: usize = 16 * 1024;

/// Sending side of one connection. Clones share the bound.
#[derive(Clone)]
pub(super) struct Outbox {
    session: Session,
    connection: ConnectionHandle,
    room: Arc<Semaphore>,
    /// Held while a message is sent, because other messages must not come between its fragments.
    turn: Arc<Mutex<()>>,
    budget: Budget,
    /// Cancelled if the client does not read, which ends the connection.
    slow_client: CancellationToken,
    /// Set when the budget ends the connection. Dropped with the last clone, after everything that waits in the feeds.
    eviction: Arc<OnceLock<Eviction>>,
}

impl Outbox {
    /// Returns the outbox of a connection. The channel of the session is bounded in messages only.
    pub(super) fn new(session: Session, connection: ConnectionHandle, budget: Budget) -> Self {
        let room = Arc::new(Semaphore::new(CHANNEL_BYTES));
        let (turn, slow_client, eviction) = (Arc::default(), CancellationToken::new(), Arc::default());
        Self { session, connection, room, turn, budget, slow_client, eviction }
    }

    /// Waits until the client must be disconnected because it does not read.
    pub(super) async fn slow_client(&self) {
        self.slow_client.cancelled().await;
    }

    /// Ends the connection of a client that does not keep up.
    pub(super) fn end_slow_client(&self) {
        self.slow_client.cancel();
    }

    /// Closes the socket if the budget has ended the connection; returns false if it has not.
    pub(super) fn abort_if_evicted(&self) -> bool {
        let is_evicted = self.eviction.get().is_some();
        if is_evicted {
            self.connection.abort();
        }
        is_evicted
    }

    /// Sends a text message; waits until the channel has room for it.
    ///
    /// Cancellation safe: the message is sent as a whole or not at all.
    ///
    /// # Errors
    /// [`Closed`] if the connection is closed, or if it ends because the client has taken nothing for [`WRITE_TIMEOUT`],
    /// or for a shorter time if the budget of the instance is exceeded.
    pub(super) async fn send(&mut self, message: impl Into<Message>) -> Result<(), Closed> {
        let message = message.into();
        let charge = self.budget.charge(message.len());
        let turn = self.while_read(self.turn.clone().lock_owned()).await?;
        if message.len() <= CHANNEL_BYTES {
            return self.send_whole(message, charge).await;
        }
        // A feed may be cancelled, and a message whose first fragment is sent must be completed.
        let sending = rt::spawn(self.clone().send_fragments(message, charge, turn));
        sending.await.unwrap_or(Err(Closed))
    }

    async fn send_whole(&mut self, message: Message, charge: Charge) -> Result<(), Closed> {
        let room = self.room(message.len()).await?;
        let queued =
            Bytes::from_owner(Queued { bytes: message.joined(), _room: room, _charge: Some(charge) });
        // The service's own JSON is UTF-8.
        let text = ByteString::try_from(queued).map_err(|_| Closed)?;
        self.session.text(text).await
    }

    async fn send_fragments(
        mut self,
        message: Message,
        _charge: Charge,
        _turn: OwnedMutexGuard<()>,
    ) -> Result<(), Closed> {
        let mut item: fn(Bytes) -> Item = Item::FirstText;
        let mut fragments = message.fragments(FRAGMENT_BYTES).peekable();
        while let Some(bytes) = fragments.next() {
            let room = self.room(bytes.len()).await?;
            let queued = Bytes::from_owner(Queued { bytes, _room: room, _charge: None });
            let is_last = fragments.peek().is_none();
            self.session.continuation(if is_last { Item::Last(queued) } else { item(queued) }).await?;
            item = Item::Continue;
        }
        Ok(())
    }

    async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Closed> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = self.while_read(self.room.clone().acquire_many_owned(bytes)).await?;
        // The semaphore is never closed.
        room.map_err(|_| Closed)
    }

    /// Waits for a future as long as the client reads.
    async fn while_read<T>(&self, future: impl Future<Output = T>) -> Result<T, Closed> {
        tokio::select! {
            biased;
            done = future => return Ok(done),
            () = self.slow_client.cancelled() => {}
            () = self.silence() => {}
            eviction = self.budget.stalled(Transport::WebSocket, || self.connection.taken()) => {
                // Two feeds of the connection may stall.
                let _ = self.eviction.set(eviction);
            }
        }
        self.slow_client.cancel();
        Err(Closed)
    }

    /// Waits until the client has taken nothing for [`WRITE_TIMEOUT`].
    async fn silence(&self) {
        loop {
            let before = self.connection.taken();
            sleep(WRITE_TIMEOUT).await;
            if self.connection.taken() == before {
                return;
            }
        }
    }
}

/// Bytes in the channel. They leave it when the connection encodes them.
struct Queued {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
    _charge: Option<Charge>,
}

impl AsRef<[u8]> for Queued {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
