//! Response body that ends in a hijack.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, MessageBody},
    web::Bytes,
};

use super::{ConnectionHandle, UpgradeHandler};

/// First bytes of a body; an [`UpgradeHandler`] then takes the socket and writes the rest.
pub struct InitialBody {
    connection: ConnectionHandle,
    first: Option<Bytes>,
    upgrade: Option<UpgradeHandler>,
}

impl InitialBody {
    /// Returns the body of a response on this connection.
    pub fn new(connection: ConnectionHandle, first: Bytes, upgrade: UpgradeHandler) -> Self {
        Self { connection, first: Some(first), upgrade: Some(upgrade) }
    }
}

impl MessageBody for InitialBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        // The HTTP layer polls again after it has buffered the first bytes, and writes its buffer next.
        if let Some(upgrade) = self.upgrade.take() {
            self.connection.set_upgrade(upgrade);
            return Poll::Pending;
        }
        // The end of the body lets the HTTP layer end the request. The connection discards its last chunk.
        if self.connection.is_hijacked() { Poll::Ready(None) } else { Poll::Pending }
    }
}
