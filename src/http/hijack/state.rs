//! State of a connection that its parts share.

use std::{
    io::Result,
    task::{Context, Poll, Waker},
};

use actix_web::rt::net::TcpStream;
use futures_util::future::LocalBoxFuture;

use super::{idle_input::IdleInput, protocol_error::ProtocolErrorResponse, request_end::RequestEnd};

/// Future that serves a hijacked connection until it ends.
pub type Feed = LocalBoxFuture<'static, ()>;
/// Takes the socket of a hijacked connection.
pub type UpgradeHandler = Box<dyn FnOnce(TcpStream) -> Feed>;

/// State of a connection.
#[derive(Default)]
pub(super) struct ConnectionState {
    /// Socket; `None` after the hijack.
    pub(super) stream: Option<TcpStream>,
    /// Waits until the HTTP layer has written its buffer.
    pub(super) upgrade: Option<UpgradeHandler>,
    /// Feed of a hijacked connection, until the server takes it.
    pub(super) feed: Option<Feed>,
    pub(super) input: InputState,
    /// Time limit for input without a handler.
    pub(super) idle_input: IdleInput,
    /// Response that replaces an error response of the HTTP layer.
    pub(super) rejection: Option<ProtocolErrorResponse>,
    /// Number of bytes that the socket has taken from the HTTP layer.
    pub(super) taken: u64,
}

/// State of the receiving half. Decides when the HTTP layer sees the end of input.
#[derive(Default)]
pub(super) struct InputState {
    /// True after the client's FIN.
    pub(super) is_closed: bool,
    /// Bytes received since the HTTP layer has last decoded its input.
    pub(super) unhandled_bytes: usize,
    pub(super) request_end: RequestEnd,
    /// Length of the body of the request in a handler; `None` if it is chunked.
    pub(super) body_length: Option<u64>,
    /// Number of requests in a handler. Pipelined requests that wait are not counted.
    pub(super) running_handlers: usize,
    /// True while a handler waits for more of a request body.
    pub(super) is_body_awaited: bool,
    /// True if nothing of the request's body is left to discard.
    pub(super) is_body_complete: bool,
    /// Waker of the HTTP layer, which waits for the end of input.
    reader: Option<Waker>,
}

impl InputState {
    /// Records received bytes.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.unhandled_bytes += bytes.len();
        self.request_end.receive(bytes);
    }

    /// Reports the end of input once the HTTP layer can decode everything that it has buffered.
    ///
    /// actix-http decodes nothing while a handler leaves a body unread, and drops undecoded input at the end of input.
    /// The end is therefore delayed while a handler runs, unless the handler waits for more of the body.
    pub(super) fn poll_end(&mut self, cx: &Context<'_>) -> Poll<Result<()>> {
        if self.running_handlers == 0 || self.is_body_awaited {
            return Poll::Ready(Ok(()));
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
