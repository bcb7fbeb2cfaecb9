//! Connections of the gRPC port: accepted within limits, and closed if no call begins in time, or none is running.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::{Stream, stream};
use rustix::io::Errno;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{self, Sleep, sleep},
};
use tonic::transport::server::Connected;

use super::calls::{CallCounter, ConnectionInfo};
use crate::{
    admission::{ConnectionLimiter, ConnectionPermit, Port},
    relay::MAX_UNSENT_BYTES,
};

/// Maximum time in which the HTTP/2 preface and the headers of the first call must arrive.
const FIRST_CALL_TIMEOUT: Duration = Duration::from_secs(9);
/// Time between two checks for calls. A connection is closed if none was running since the last check, so after at most
/// twice this time; longer than nginx keeps idle connections (55 s), so that nginx closes first.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(150);
/// Pause after an accept that failed for lack of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
/// Minimum time between two log lines about failed accepts.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Returns the accepted connections that the limits admit. Others are closed at once.
pub fn incoming(
    listener: TcpListener,
    limiter: ConnectionLimiter,
) -> impl Stream<Item = io::Result<GrpcConnection>> {
    stream::unfold(Acceptor { listener, limiter, logged_at: None }, |mut acceptor| async move {
        let connection = acceptor.next().await;
        Some((Ok(connection), acceptor))
    })
}

struct Acceptor {
    listener: TcpListener,
    limiter: ConnectionLimiter,
    logged_at: Option<Instant>,
}

impl Acceptor {
    /// Returns the next connection that the limits admit.
    async fn next(&mut self) -> GrpcConnection {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    if let Some(permit) = self.limiter.open(Port::Grpc, peer.ip()) {
                        return GrpcConnection::new(stream, permit);
                    }
                }
                Err(error) if is_exhausted(&error) => {
                    self.log(&error);
                    sleep(ACCEPT_PAUSE).await;
                }
                // The client has disconnected. The next one is not at fault.
                Err(error) => tracing::debug!(%error, "gRPC connection ended before it was accepted"),
            }
        }
    }

    /// Logs at most one error in [`LOG_INTERVAL`].
    fn log(&mut self, error: &io::Error) {
        if self.logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            self.logged_at = Some(Instant::now());
            tracing::warn!(%error, "gRPC connections not accepted: raise nofile, or lower MAX_CONNECTIONS");
        }
    }
}

/// Reports whether an accept failed for lack of files or memory, so that the next one fails too.
fn is_exhausted(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS].map(Some).contains(&Errno::from_io_error(error))
}

/// Connection of a gRPC client. Reading fails if no call has begun within [`FIRST_CALL_TIMEOUT`], and later if none was
/// running for [`IDLE_CHECK_INTERVAL`], which ends the connection. HTTP/2 pings find a client that does not answer.
pub struct GrpcConnection {
    stream: TcpStream,
    calls: CallCounter,
    next_check: Pin<Box<Sleep>>,
    _permit: ConnectionPermit,
}

impl GrpcConnection {
    fn new(stream: TcpStream, permit: ConnectionPermit) -> Self {
        let unsent = |()| SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
        if let Err(error) = stream.set_nodelay(true).and_then(unsent) {
            tracing::warn!(%error, "socket options of a gRPC connection not set");
        }
        let next_check = Box::pin(sleep(FIRST_CALL_TIMEOUT));
        Self { stream, calls: CallCounter::default(), next_check, _permit: permit }
    }

    /// Fails at the time of a check if no call was running since the last one.
    fn check_calls(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.next_check.as_mut().poll(cx).is_ready() {
            if !self.calls.take_activity() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.next_check.as_mut().reset(time::Instant::now() + IDLE_CHECK_INTERVAL);
        }
        Ok(())
    }
}

impl Connected for GrpcConnection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        ConnectionInfo { addresses: self.stream.connect_info(), calls: self.calls.clone() }
    }
}

impl AsyncRead for GrpcConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_calls(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for GrpcConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{io::AsyncReadExt, time::timeout};

    use super::*;
    use crate::{admission::ConnectionLimits, telemetry::Metrics};

    async fn connect() -> (GrpcConnection, TcpStream) {
        let limits = ConnectionLimits { total: 10, of_port: 10, of_address: 10 };
        let limiter = ConnectionLimiter::new(limits, &[], Arc::new(Metrics::new().unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        (GrpcConnection::new(stream, limiter.open(Port::Grpc, peer.ip()).unwrap()), client)
    }

    #[tokio::test(start_paused = true)]
    async fn connection_is_open_while_a_call_is_running_and_ends_without_one() {
        let (mut connection, _client) = connect().await;
        let running = connection.connect_info().calls.begin();
        let read = timeout(IDLE_CHECK_INTERVAL * 10, connection.read_u8()).await;
        assert!(read.is_err(), "the call is running: {read:?}");
        drop(running);
        let read = timeout(IDLE_CHECK_INTERVAL * 2, connection.read_u8()).await;
        assert_eq!(read.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn connection_without_a_first_call_ends() {
        let (mut connection, _client) = connect().await;
        let read = timeout(Duration::from_secs(10), connection.read_u8()).await;
        assert_eq!(read.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn accept_pauses_only_without_files_or_memory() {
        let is_exhausted = |errno: Errno| is_exhausted(&io::Error::from_raw_os_error(errno.raw_os_error()));
        assert!([Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS].into_iter().all(is_exhausted));
        assert!(!is_exhausted(Errno::CONNABORTED) && !is_exhausted(Errno::PROTO));
        assert!(!super::is_exhausted(&io::ErrorKind::ConnectionReset.into()));
    }
}
