//! Connection as the HTTP layer reads and writes it.

use std::{
    cell::RefCell,
    io::{IoSlice, Result},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::{
    ConnectionHandle,
    protocol_error::{self, ProtocolErrorResponse},
    state::ConnectionState,
};

/// Number of received bytes after which the HTTP layer must decode them before it reads more.
///
/// It would otherwise read up to 128 KiB of a body before the handler can refuse the request, and keep that memory until
/// the connection ends.
const MAX_UNHANDLED_BYTES: usize = 16 * 1024;

/// TCP connection that a response can take from the HTTP layer.
///
/// After the hijack, reads return the end of input, and writes succeed without effect.
pub struct HijackableConnection(Rc<RefCell<ConnectionState>>);

impl HijackableConnection {
    /// Wraps an accepted socket.
    pub fn new(stream: TcpStream) -> Self {
        let state = ConnectionState { stream: Some(stream), ..ConnectionState::default() };
        Self(Rc::new(RefCell::new(state)))
    }

    /// Returns a handle of this connection for handlers and for the server.
    pub fn handle(&self) -> ConnectionHandle {
        ConnectionHandle::new(self.0.clone())
    }

    /// Polls the socket; ready with `if_hijacked` after the hijack.
    fn poll_stream<T>(
        &self,
        if_hijacked: T,
        poll: impl FnOnce(Pin<&mut TcpStream>) -> Poll<Result<T>>,
    ) -> Poll<Result<T>> {
        match &mut self.0.borrow_mut().stream {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Ok(if_hijacked)),
        }
    }

    /// Polls a write; see [`Self::poll_stream`]. Counts what the socket takes.
    fn poll_counted(
        &self,
        if_hijacked: usize,
        poll: impl FnOnce(Pin<&mut TcpStream>) -> Poll<Result<usize>>,
    ) -> Poll<Result<usize>> {
        let written = ready!(self.poll_stream(if_hijacked, poll))?;
        self.0.borrow_mut().taken += written as u64;
        Poll::Ready(Ok(written))
    }
}

impl AsyncRead for HijackableConnection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let ConnectionState { stream, input, idle_input, .. } = &mut *self.0.borrow_mut();
        let Some(stream) = stream else { return Poll::Ready(Ok(())) };
        idle_input.check(cx)?;
        let allowance = MAX_UNHANDLED_BYTES.saturating_sub(input.unhandled_bytes);
        if allowance == 0 {
            // The HTTP layer decodes what it has, flushes, and polls again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !input.is_closed {
            let before = buf.filled().len();
            // The buffer has more room: it doubles whenever it is full.
            ready!(Pin::new(&mut stream.take(allowance as u64)).poll_read(cx, buf))?;
            let received = &buf.filled()[before..];
            if !received.is_empty() {
                input.receive(received);
                if input.running_handlers == 0 {
                    idle_input.expect();
                }
                return Poll::Ready(Ok(()));
            }
            input.is_closed = true;
        }
        input.poll_end(cx)
    }
}

impl AsyncWrite for HijackableConnection {
    /// Replaces an error response of the HTTP layer, which is always its last write, by a problem document.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        match protocol_error::find(buf) {
            Some((0, code)) => {
                let ConnectionState { stream, rejection, .. } = &mut *self.0.borrow_mut();
                let Some(stream) = stream else { return Poll::Ready(Ok(buf.len())) };
                let response = rejection.get_or_insert_with(|| ProtocolErrorResponse::new(code));
                response.poll_write(cx, stream).map_ok(|()| buf.len())
            }
            Some((start, _)) => self.poll_counted(start, |stream| stream.poll_write(cx, &buf[..start])),
            None => self.poll_counted(buf.len(), |stream| stream.poll_write(cx, buf)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        self.poll_counted(length, |stream| stream.poll_write_vectored(cx, bufs))
    }

    /// Runs a stored [`UpgradeHandler`](super::UpgradeHandler): the HTTP layer flushes after its buffer is written.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.0.borrow_mut();
        state.input.unhandled_bytes = 0;
        if let Some(upgrade) = state.upgrade.take()
            && let Some(stream) = state.stream.take()
        {
            state.feed = Some(upgrade(stream));
            // The HTTP layer must poll again to read the end of input.
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        drop(state);
        ready!(self.poll_stream((), |stream| stream.poll_flush(cx)))?;
        self.0.borrow_mut().idle_input.start(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_stream((), |stream| stream.poll_shutdown(cx))
    }
}
