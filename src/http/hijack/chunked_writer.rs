//! Writer of an endless body on a hijacked connection. Input is discarded.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::{self, ErrorKind, IoSlice},
    pin::pin,
    task::{Context, Poll, ready},
};

use actix_web::{
    rt::net::TcpStream,
    web::{Buf, Bytes},
};
use futures_util::FutureExt;
use socket2::SockRef;
use tokio::{io::Interest, time::Instant};

use crate::relay::{Budget, Charge, DirectSink, DirectWrite};

/// Last chunk of a body (RFC 9112, section 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writer of one body. Its feed writes and waits for the socket; between these writes, the local fan-out of the same
/// thread may write chunks without waiting ([`DirectSink`]).
pub struct ChunkedWriter {
    stream: TcpStream,
    /// False for HTTP/1.0, which has no chunks.
    is_chunked: bool,
    /// True while the feed writes and after [`Self::end`]. Direct writes are refused.
    is_writing: Cell<bool>,
    /// True after the client's FIN.
    is_half_closed: Cell<bool>,
    /// Bytes of a direct write that the socket did not take. They precede every later byte.
    unsent: RefCell<Bytes>,
    /// Charge of the unsent bytes.
    unsent_charge: Cell<Option<Charge>>,
    budget: Budget,
    /// Number of bytes that the socket has taken.
    taken: Cell<u64>,
    /// Time of the last complete write by the feed, or of the last direct write.
    last_write: Cell<Instant>,
}

impl ChunkedWriter {
    /// Returns a writer for a socket on which the response head is already written. What a direct write leaves is charged
    /// to the budget.
    pub fn new(stream: TcpStream, is_chunked: bool, budget: Budget) -> Self {
        let (is_writing, is_half_closed, unsent_charge) = (Cell::default(), Cell::default(), Cell::default());
        let (unsent, taken, last_write) = (RefCell::default(), Cell::default(), Cell::new(Instant::now()));
        Self {
            stream,
            is_chunked,
            is_writing,
            is_half_closed,
            unsent,
            unsent_charge,
            budget,
            taken,
            last_write,
        }
    }

    /// Returns the number of bytes that the socket has taken.
    pub const fn taken(&self) -> u64 {
        self.taken.get()
    }

    fn count(&self, written: usize) {
        self.taken.set(self.taken.get() + written as u64);
    }

    /// Returns the time of the last write.
    pub fn last_write(&self) -> Instant {
        self.last_write.get()
    }

    /// Writes one piece as a chunk; waits without a limit until the socket has taken all of it.
    ///
    /// Not cancellation safe: a dropped write leaves the body incomplete, and later direct writes are refused.
    ///
    /// # Errors
    /// Errors of the socket.
    pub async fn write(&self, piece: &Bytes) -> io::Result<()> {
        self.write_all(std::slice::from_ref(piece)).await
    }

    /// Writes several pieces as one chunk, as [`Self::write`] does.
    ///
    /// # Errors
    /// Errors of the socket.
    pub async fn write_all(&self, pieces: &[Bytes]) -> io::Result<()> {
        if !self.is_chunked {
            let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            return self.write_slices(&mut slices).await;
        }
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let head = format!("{length:x}\r\n");
        let mut slices = Vec::with_capacity(pieces.len() + 2);
        slices.push(IoSlice::new(head.as_bytes()));
        slices.extend(pieces.iter().map(|piece| IoSlice::new(piece)));
        slices.push(IoSlice::new(b"\r\n"));
        self.write_slices(&mut slices).await
    }

    async fn write_slices(&self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.is_writing.set(true);
        poll_fn(|cx| self.poll_unsent(cx)).await?;
        while !slices.is_empty() {
            match self.stream.try_write_vectored(slices) {
                Ok(written) => {
                    self.count(written);
                    IoSlice::advance_slices(&mut slices, written);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll_fn(|cx| self.stream.poll_write_ready(cx)).await?;
                }
                Err(error) => return Err(error),
            }
        }
        self.last_write.set(Instant::now());
        self.is_writing.set(false);
        Ok(())
    }

    /// Writes the bytes that a direct write has left.
    fn poll_unsent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut unsent = self.unsent.borrow_mut();
        while !unsent.is_empty() {
            match self.stream.try_write(&unsent) {
                Ok(written) => {
                    self.count(written);
                    unsent.advance(written);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.unsent_charge.take();
        Poll::Ready(Ok(()))
    }

    /// Waits for the client's FIN the first time, and then for the failure of the connection. Writes unsent bytes
    /// meanwhile.
    ///
    /// A client that has sent FIN may still read, so FIN does not end a feed. If the client's socket is closed, its
    /// host answers the next write with a reset. Cancellation safe.
    ///
    /// # Errors
    /// Errors of the socket.
    pub async fn half_closed(&self) -> io::Result<()> {
        if self.is_half_closed.get() {
            return self.wait_for_failure().await;
        }
        poll_fn(|cx| match self.poll_unsent(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => self.poll_input(cx),
        })
        .await?;
        self.is_half_closed.set(true);
        Ok(())
    }

    /// Waits for a reset, or for data that the client's host does not acknowledge in time (`TCP_USER_TIMEOUT`). After
    /// FIN, reads report neither.
    async fn wait_for_failure(&self) -> io::Result<()> {
        let mut failure = pin!(self.stream.ready(Interest::ERROR));
        poll_fn(|cx| match self.poll_unsent(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => failure.as_mut().poll(cx).map(|ready| ready.and(Err(ErrorKind::ConnectionReset.into()))),
        })
        .await
    }

    /// Discards input up to the client's FIN.
    fn poll_input(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read(&mut [0; 256]) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes the last message, if any, and ends the body. Later direct writes are refused.
    ///
    /// # Errors
    /// Errors of the socket.
    pub async fn end(&self, message: Option<Bytes>) -> io::Result<()> {
        if let Some(message) = message {
            self.write(&message).await?;
        }
        if self.is_chunked {
            self.write_slices(&mut [IoSlice::new(LAST_CHUNK)]).await?;
        }
        self.is_writing.set(true);
        SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write)?;
        // Closing a socket with unread input sends a reset, which may overtake the last message.
        poll_fn(|cx| self.poll_input(cx)).now_or_never().unwrap_or(Ok(()))
    }
}

impl DirectSink for ChunkedWriter {
    fn try_write(&self, chunks: &Bytes) -> DirectWrite {
        if self.is_writing.get() || !self.unsent.borrow().is_empty() {
            return DirectWrite::Refused;
        }
        // The feed gets the same error of the socket at its next write.
        let Ok(written) = self.stream.try_write(chunks) else { return DirectWrite::Refused };
        self.count(written);
        self.last_write.set(Instant::now());
        if written == chunks.len() {
            return DirectWrite::Complete;
        }
        self.unsent.replace(chunks.slice(written..));
        self.unsent_charge.set(Some(self.budget.charge(chunks.len() - written)));
        DirectWrite::Partial
    }
}
