//! The socket of an answer without an end: bytes go out as chunks, and whatever comes in means nothing.

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

use crate::relay::{DirectSink, DirectWrite};

/// The end of a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A connection of its own for one answer. Its feed writes to it and waits until that is done; in between, others on the
/// same thread may give it chunks.
pub struct Wire {
    stream: TcpStream,
    /// HTTP/1.0 has no chunks.
    is_chunked: bool,
    /// Whether the feed is writing: nobody else may.
    is_writing: Cell<bool>,
    /// Whether the client has sent FIN.
    is_half_closed: Cell<bool>,
    /// What was given and has not gone out yet.
    rest: RefCell<Bytes>,
    /// When something was said last.
    spoke: Cell<Instant>,
}

impl Wire {
    /// What follows the head of an answer.
    pub fn new(stream: TcpStream, is_chunked: bool) -> Self {
        let (is_writing, is_half_closed) = (Cell::default(), Cell::default());
        let (rest, spoke) = (RefCell::default(), Cell::new(Instant::now()));
        Self { stream, is_chunked, is_writing, is_half_closed, rest, spoke }
    }

    /// When something was said last.
    pub fn spoke(&self) -> Instant {
        self.spoke.get()
    }

    /// Writes one piece, however long the client takes, unless the connection fails.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn write(&self, piece: &Bytes) -> io::Result<()> {
        self.write_all(std::slice::from_ref(piece)).await
    }

    /// As [`Self::write`], for several pieces at once.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn write_all(&self, pieces: &[Bytes]) -> io::Result<()> {
        if !self.is_chunked {
            let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            return self.put(&mut slices).await;
        }
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let head = format!("{length:x}\r\n");
        let mut slices = Vec::with_capacity(pieces.len() + 2);
        slices.push(IoSlice::new(head.as_bytes()));
        slices.extend(pieces.iter().map(|piece| IoSlice::new(piece)));
        slices.push(IoSlice::new(b"\r\n"));
        self.put(&mut slices).await
    }

    async fn put(&self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.is_writing.set(true);
        poll_fn(|cx| self.poll_rest(cx)).await?;
        while !slices.is_empty() {
            match self.stream.try_write_vectored(slices) {
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll_fn(|cx| self.stream.poll_write_ready(cx)).await?;
                }
                Err(error) => return Err(error),
            }
        }
        self.spoke.set(Instant::now());
        self.is_writing.set(false);
        Ok(())
    }

    /// Writes what was given and has not gone out.
    fn poll_rest(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut rest = self.rest.borrow_mut();
        while !rest.is_empty() {
            match self.stream.try_write(&rest) {
                Ok(written) => rest.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for the client's FIN, once; afterwards for the failure of the connection. What was given goes out meanwhile.
    ///
    /// A client that has sent FIN may still read, so FIN alone ends no feed. Where the client's socket is closed, the
    /// next write is answered with a reset.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn closed(&self) -> io::Result<()> {
        if self.is_half_closed.get() {
            return self.failed().await;
        }
        poll_fn(|cx| match self.poll_rest(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => self.poll_input(cx),
        })
        .await?;
        self.is_half_closed.set(true);
        Ok(())
    }

    /// Waits for the failure of the connection: a reset, or data that the client's host has not acknowledged in time.
    /// Reading shows neither, once the client has sent FIN.
    async fn failed(&self) -> io::Result<()> {
        let mut failure = pin!(self.stream.ready(Interest::ERROR));
        poll_fn(|cx| match self.poll_rest(cx) {
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

    /// Writes last words, if there are any, and ends the answer. Nothing can be given afterwards.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn end(&self, words: Option<Bytes>) -> io::Result<()> {
        if let Some(words) = words {
            self.write(&words).await?;
        }
        if self.is_chunked {
            self.put(&mut [IoSlice::new(LAST_CHUNK)]).await?;
        }
        self.is_writing.set(true);
        SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write)?;
        // A socket that is closed with something unread sends a reset, which may overtake the last words.
        poll_fn(|cx| self.poll_input(cx)).now_or_never().unwrap_or(Ok(()))
    }
}

impl DirectSink for Wire {
    fn try_write(&self, chunks: &Bytes) -> DirectWrite {
        if self.is_writing.get() || !self.rest.borrow().is_empty() {
            return DirectWrite::Refused;
        }
        // Whatever is wrong with the connection, its feed finds out.
        let Ok(written) = self.stream.try_write(chunks) else { return DirectWrite::Refused };
        self.spoke.set(Instant::now());
        if written == chunks.len() {
            return DirectWrite::Complete;
        }
        self.rest.replace(chunks.slice(written..));
        DirectWrite::Partial
    }
}
