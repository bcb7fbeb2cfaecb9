//! The socket of an answer without an end: bytes go out as chunks, and whatever comes in means nothing.

use std::{
    future::poll_fn,
    io::{self, ErrorKind, IoSlice},
    task::{Context, Poll, ready},
};

use actix_web::{rt::net::TcpStream, web::Bytes};
use tokio::io::AsyncWriteExt;

/// The end of a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A connection of its own for one answer.
pub struct Wire {
    stream: TcpStream,
    /// HTTP/1.0 has no chunks.
    is_chunked: bool,
}

impl Wire {
    /// What follows the head of an answer.
    pub fn new(stream: TcpStream, is_chunked: bool) -> Self {
        Self { stream, is_chunked }
    }

    /// Writes one piece, however long the other side takes, unless it goes away.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn write(&mut self, piece: &Bytes) -> io::Result<()> {
        self.write_all(std::slice::from_ref(piece)).await
    }

    /// As [`Self::write`], for several pieces at once.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn write_all(&mut self, pieces: &[Bytes]) -> io::Result<()> {
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

    async fn put(&mut self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        while !slices.is_empty() {
            match self.stream.try_write_vectored(slices) {
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the other side takes more.
    async fn writable(&self) -> io::Result<()> {
        poll_fn(|cx| match self.stream.poll_write_ready(cx) {
            Poll::Pending => self.poll_closed(cx).map(|gone| gone.and(Err(ErrorKind::BrokenPipe.into()))),
            ready => ready,
        })
        .await
    }

    /// Waits until the other side has closed the connection, or its half of it: then it is gone.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn closed(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_closed(cx)).await
    }

    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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

    /// Writes last words, if there are any, and ends the answer.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn end(mut self, words: Option<Bytes>) -> io::Result<()> {
        if let Some(words) = words {
            self.write(&words).await?;
        }
        if self.is_chunked {
            self.put(&mut [IoSlice::new(LAST_CHUNK)]).await?;
        }
        self.stream.shutdown().await
    }
}
