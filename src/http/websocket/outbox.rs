//! Outbox of a connection: sends the messages of all its feeds through one channel, bounded in bytes.
//!
//! A message that is larger than the channel is sent in fragments (RFC 6455, section 5.4), so that the connection holds
//! copies of a few of them instead of the whole message. Fragments are slices of bytes that all clients share.

use std::sync::Arc;

use actix_http::ws::Item;
use actix_web::{rt, web::Bytes};
use actix_ws::{CloseReason, Closed, Session};
use bytestring::ByteString;
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::{messages::Message, read_progress::ReadProgress};
use crate::relay::{Budget, Charge};

/// Bytes that may be in the channel of one connection. A larger message is sent in fragments.
const CHANNEL_BYTES: u32 = 64 * 1024;
/// Size of a fragment.
const FRAGMENT_BYTES: usize = 16 * 1024;

/// Sending side of one connection. Clones share the bound. Every wait for the client is one of its [`ReadProgress`],
/// because the channel of the session holds 32 messages, whatever their size.
#[derive(Clone)]
pub(super) struct Outbox {
    session: Session,
    progress: ReadProgress,
    room: Arc<Semaphore>,
    /// Held while a message is sent, because other messages must not come between its fragments.
    turn: Arc<Mutex<()>>,
    budget: Budget,
}

impl Outbox {
    /// Returns the outbox of a connection. The channel of the session is bounded in messages only.
    pub(super) fn new(session: Session, progress: ReadProgress, budget: Budget) -> Self {
        let room = Arc::new(Semaphore::new(CHANNEL_BYTES as usize));
        Self { session, progress, room, turn: Arc::default(), budget }
    }

    /// Sends a text message; waits until the channel has room for it.
    ///
    /// Cancellation safe: the message is sent as a whole or not at all.
    ///
    /// # Errors
    /// [`Closed`] if the connection is closed, or if it ends because the client does not read
    /// ([`ReadProgress::while_read`]).
    pub(super) async fn send(&mut self, message: impl Into<Message>) -> Result<(), Closed> {
        let message = message.into();
        let charge = self.budget.charge(message.len());
        let turn = self.progress.while_read(self.turn.clone().lock_owned()).await?;
        if message.len() <= CHANNEL_BYTES as usize {
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
        self.progress.while_read(self.session.text(text)).await?
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
            let fragment = if is_last { Item::Last(queued) } else { item(queued) };
            self.progress.while_read(self.session.continuation(fragment)).await??;
            item = Item::Continue;
        }
        Ok(())
    }

    async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Closed> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = self.progress.while_read(self.room.clone().acquire_many_owned(bytes)).await?;
        // The semaphore is never closed.
        room.map_err(|_| Closed)
    }

    /// Sends a ping. It may come between the fragments of a message.
    ///
    /// # Errors
    /// Those of [`Self::send`].
    pub(super) async fn ping(&mut self) -> Result<(), Closed> {
        self.progress.while_read(self.session.ping(b"")).await?
    }

    /// Answers a ping of the client, as [`Self::ping`] does.
    ///
    /// # Errors
    /// Those of [`Self::send`].
    pub(super) async fn pong(&mut self, payload: &[u8]) -> Result<(), Closed> {
        self.progress.while_read(self.session.pong(payload)).await?
    }

    /// Sends the close frame, and waits until the channel is empty.
    pub(super) async fn close(self, reason: Option<CloseReason>) {
        let last = async {
            // A closed connection needs no close frame.
            let _ = self.session.close(reason).await;
            // The semaphore is never closed.
            let _ = self.room.acquire_many(CHANNEL_BYTES).await;
        };
        self.progress.finish(last).await;
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
