//! Waits for a client, which end if the client does not read.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use actix_ws::Closed;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::messages::WRITE_TIMEOUT;
use crate::{
    http::hijack::ConnectionHandle,
    relay::{Budget, Eviction, Transport},
};

/// Progress of the client of one connection. Clones share the end of the connection.
#[derive(Clone)]
pub(super) struct ReadProgress {
    connection: ConnectionHandle,
    budget: Budget,
    /// Cancelled if the client does not read, which ends the connection.
    slow_client: CancellationToken,
    /// Set when the budget ends the connection. Dropped with the last clone, after everything that waits in the feeds.
    eviction: Arc<OnceLock<Eviction>>,
}

impl ReadProgress {
    pub(super) fn new(connection: ConnectionHandle, budget: Budget) -> Self {
        Self { connection, budget, slow_client: CancellationToken::new(), eviction: Arc::default() }
    }

    /// Waits until the client must be disconnected because it does not read.
    pub(super) async fn slow_client(&self) {
        self.slow_client.cancelled().await;
    }

    /// Reports whether the client must be disconnected because it does not read.
    pub(super) fn is_slow_client(&self) -> bool {
        self.slow_client.is_cancelled()
    }

    /// Ends the connection of a client that does not keep up.
    pub(super) fn end_slow_client(&self) {
        self.slow_client.cancel();
    }

    /// Waits for a future as long as the client reads.
    ///
    /// # Errors
    /// [`Closed`] if the client has taken nothing for [`WRITE_TIMEOUT`], or for a shorter time if the budget of the
    /// instance is exceeded. The connection then ends.
    pub(super) async fn while_read<T>(&self, future: impl Future<Output = T>) -> Result<T, Closed> {
        tokio::select! {
            biased;
            done = future => return Ok(done),
            () = self.slow_client.cancelled() => {}
            () = self.silence() => {}
            () = self.evicted() => {}
        }
        self.slow_client.cancel();
        Err(Closed)
    }

    /// Waits for the last messages of the connection. Closes the socket if the budget ends the connection before or
    /// meanwhile; the HTTP layer then drops everything that it would still have sent.
    pub(super) async fn finish(&self, last: impl Future<Output = ()>) {
        if self.eviction.get().is_none() {
            tokio::select! {
                biased;
                () = last => return,
                () = self.evicted() => {}
            }
        }
        self.connection.abort();
    }

    /// Waits until the budget of the instance ends the connection.
    async fn evicted(&self) {
        let eviction = self.budget.stalled(Transport::WebSocket, || self.connection.taken()).await;
        // Two feeds of the connection may stall.
        let _ = self.eviction.set(eviction);
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
