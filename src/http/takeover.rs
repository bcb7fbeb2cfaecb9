//! Connections that are taken from the HTTP layer once the head of an endless answer is sent.
//!
//! What the HTTP layer keeps for each connection, two buffers of 8 KiB and the state of a request, is of no use to a feed,
//! and of every message it makes a copy. So a feed's answer is begun as any other, through all middleware; when its head
//! and first bytes are written, the feed takes the socket, and for the HTTP layer the connection is over.

use std::{
    cell::RefCell,
    convert::Infallible,
    io::{IoSlice, Result},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use actix_web::{
    body::{BodySize, MessageBody},
    rt::net::TcpStream,
    web::Bytes,
};
use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::refusal::{self, Refusal};

/// What becomes of a connection that is taken.
pub type Feed = LocalBoxFuture<'static, ()>;
/// Takes a connection.
pub type Taker = Box<dyn FnOnce(TcpStream) -> Feed>;

#[derive(Default)]
struct Shared {
    /// None once it is taken.
    stream: Option<TcpStream>,
    /// Waits for everything to be written.
    taker: Option<Taker>,
    /// What it has become, until the HTTP layer is done with it.
    feed: Option<Feed>,
    input: Input,
    /// The answer to a request that the HTTP layer refused by itself.
    refusal: Option<Refusal>,
}

/// The state of the receiving half, and what decides when the HTTP layer sees its end.
#[derive(Default)]
struct Input {
    /// Whether the client has sent FIN.
    is_closed: bool,
    /// Requests in a handler. Pipelined requests wait for their turn and are not counted.
    handling: usize,
    /// Whether a handler waits for more of a request body.
    is_awaited: bool,
    /// Wakes the HTTP layer, which waits for input.
    reader: Option<Waker>,
}

impl Input {
    /// Reports the end of input to the HTTP layer once that layer can decode everything that it has buffered.
    ///
    /// actix-http decodes nothing while a handler leaves a body unread, and drops what is not decoded at the end of
    /// input. So the end is held back while a handler runs, unless the handler waits for more of the body.
    fn poll_end(&mut self, cx: &Context<'_>) -> Poll<Result<()>> {
        if self.handling == 0 || self.is_awaited {
            return Poll::Ready(Ok(()));
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// A connection as the HTTP layer sees it.
pub struct Connection(Rc<RefCell<Shared>>);

impl Connection {
    /// One that nobody wants yet.
    pub fn new(stream: TcpStream) -> Self {
        Self(Rc::new(RefCell::new(Shared { stream: Some(stream), ..Shared::default() })))
    }

    /// The way to take it.
    pub fn claim(&self) -> Claim {
        Claim(self.0.clone())
    }

    /// Does something to the stream; what is not there any more has ended, and takes whatever is written.
    fn with<T>(&self, gone: T, act: impl FnOnce(Pin<&mut TcpStream>) -> Poll<Result<T>>) -> Poll<Result<T>> {
        match &mut self.0.borrow_mut().stream {
            Some(stream) => act(Pin::new(stream)),
            None => Poll::Ready(Ok(gone)),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let Shared { stream, input, .. } = &mut *self.0.borrow_mut();
        let Some(stream) = stream else { return Poll::Ready(Ok(())) };
        if !input.is_closed {
            let before = buf.filled().len();
            ready!(Pin::new(stream).poll_read(cx, buf))?;
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            input.is_closed = true;
        }
        input.poll_end(cx)
    }
}

impl AsyncWrite for Connection {
    /// Replaces a refusal of the HTTP layer's own, which is the last thing that it writes, by a problem document.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        match refusal::find(buf) {
            Some((0, code)) => {
                let Shared { stream, refusal, .. } = &mut *self.0.borrow_mut();
                let Some(stream) = stream else { return Poll::Ready(Ok(buf.len())) };
                let refusal = refusal.get_or_insert_with(|| Refusal::new(code));
                refusal.poll_write(cx, stream).map_ok(|()| buf.len())
            }
            Some((start, _)) => self.with(start, |stream| stream.poll_write(cx, &buf[..start])),
            None => self.with(buf.len(), |stream| stream.poll_write(cx, buf)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let all = bufs.iter().map(|buf| buf.len()).sum();
        self.with(all, |stream| stream.poll_write_vectored(cx, bufs))
    }

    /// The HTTP layer comes here when it has written everything that it had.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut shared = self.0.borrow_mut();
        if let Some(taker) = shared.taker.take()
            && let Some(stream) = shared.stream.take()
        {
            shared.feed = Some(taker(stream));
            // It is to see that there is nothing left for it.
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        drop(shared);
        self.with((), |stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.with((), |stream| stream.poll_shutdown(cx))
    }
}

/// The way to take a connection.
#[derive(Clone)]
pub struct Claim(Rc<RefCell<Shared>>);

impl Claim {
    /// What has become of the connection, if it was taken.
    pub fn take_feed(&self) -> Option<Feed> {
        self.0.borrow_mut().feed.take()
    }

    /// The refusal that was sent on the connection, and the connection, once the HTTP layer is done with both.
    pub fn take_refused(&self) -> Option<(Refusal, TcpStream)> {
        let mut shared = self.0.borrow_mut();
        Some((shared.refusal.take()?, shared.stream.take()?))
    }

    /// Marks a request as being handled until the result is dropped.
    pub fn handle(&self) -> Handling {
        self.0.borrow_mut().input.handling += 1;
        Handling(self.clone())
    }

    /// Notes whether the handler waits for more of the request body.
    pub fn await_body(&self, is_awaited: bool) {
        let input = &mut self.0.borrow_mut().input;
        input.is_awaited = is_awaited;
        if is_awaited {
            input.wake();
        }
    }

    fn is_taken(&self) -> bool {
        self.0.borrow().stream.is_none()
    }
}

/// A request in a handler.
pub struct Handling(Claim);

impl Drop for Handling {
    fn drop(&mut self) {
        let input = &mut self.0.0.borrow_mut().input;
        input.handling -= 1;
        input.is_awaited = false;
        input.wake();
    }
}

/// The body of an answer that goes on elsewhere: its first bytes, and who takes the connection then.
pub struct Preface {
    claim: Claim,
    first: Option<Bytes>,
    taker: Option<Taker>,
}

impl Preface {
    /// A body of these bytes, after which `taker` goes on.
    pub fn new(claim: Claim, first: Bytes, taker: Taker) -> Self {
        Self { claim, first: Some(first), taker: Some(taker) }
    }
}

impl MessageBody for Preface {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Bytes, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        // Whoever asks for more has the first bytes in its buffer, and writes them next.
        if let Some(taker) = self.taker.take() {
            self.claim.0.borrow_mut().taker = Some(taker);
            return Poll::Pending;
        }
        // For the HTTP layer the body ends with the connection. What it writes for that goes nowhere.
        if self.claim.is_taken() { Poll::Ready(None) } else { Poll::Pending }
    }
}
