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
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, MessageBody},
    rt::net::TcpStream,
    web::Bytes,
};
use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What becomes of a connection that is taken.
pub type Feed = LocalBoxFuture<'static, ()>;
/// Takes a connection.
pub type Taker = Box<dyn FnOnce(TcpStream) -> Feed>;

struct Shared {
    /// None once it is taken.
    stream: Option<TcpStream>,
    /// Waits for everything to be written.
    taker: Option<Taker>,
    /// What it has become, until the HTTP layer is done with it.
    feed: Option<Feed>,
}

/// A connection as the HTTP layer sees it.
pub struct Connection(Rc<RefCell<Shared>>);

impl Connection {
    /// One that nobody wants yet.
    pub fn new(stream: TcpStream) -> Self {
        Self(Rc::new(RefCell::new(Shared { stream: Some(stream), taker: None, feed: None })))
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
        self.with((), |stream| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        self.with(buf.len(), |stream| stream.poll_write(cx, buf))
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
    pub fn into_feed(self) -> Option<Feed> {
        self.0.borrow_mut().feed.take()
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
        }
        Poll::Pending
    }
}
