//! Event streams (WHATWG HTML, "Server-sent events"): response head, first bytes, heartbeats, last message.

use std::{io, rc::Rc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Version, header},
    rt::net::TcpStream,
    web::Bytes,
};
use tokio::time::{Instant, sleep_until};

use super::{
    framing,
    hijack::{ChunkedWriter, ConnectionHandle, Feed, InitialBody},
    problem::Problem,
};
use crate::{
    admission::FeedPermit,
    domain::{Cursor, ErrorCode},
    relay::{Budget, Ended, Eviction, Lifetime, Transport},
};

/// Time without a message after which a heartbeat is written, so that proxies do not end an idle response.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Least reconnection time of clients in milliseconds; see [`retry_hint`].
const RETRY_MS: u64 = 1_000;
/// Width of the range of reconnection times, in milliseconds.
const RETRY_SPREAD_MS: u64 = 2_000;
/// Maximum messages in one chunk.
const MAX_BATCH: usize = 16;
/// Bytes of a chunk to which no further message is added.
const BATCH_BYTES: usize = 64 * 1024;

/// Source of the messages of an event stream.
pub trait MessageSource: 'static {
    /// Transport of the messages, for the metrics.
    const TRANSPORT: Transport;

    /// Waits for the next encoded message, or for the end of the stream. Cancellation safe.
    fn next(&mut self) -> impl Future<Output = Result<Bytes, Ended>>;

    /// Returns the next message or the end if it is available without waiting.
    fn ready(&mut self) -> Option<Result<Bytes, Ended>> {
        None
    }

    /// Returns the comment that is written when the source has had no message for a while.
    fn heartbeat(&self) -> Bytes {
        framing::heartbeat(&[])
    }

    /// Allows the source to write messages directly to the socket, in place of returning them from [`Self::next`].
    fn attach(&mut self, _: Rc<ChunkedWriter>) {}
}

/// Returns an event stream response. Its first bytes name the cursor `from`, so that a client can resume from there
/// before it has received an event. Without `from`, the client keeps the cursor that it has. The permit is held until
/// the stream ends. Messages that the client does not read are charged to the budget.
///
/// # Errors
/// [`ErrorCode::Internal`] on a connection that cannot be hijacked; this server has none.
pub fn respond(
    request: &HttpRequest,
    from: Option<Cursor>,
    (lifetime, budget): (Lifetime, Budget),
    permit: FeedPermit,
    source: impl MessageSource,
) -> Result<HttpResponse, Problem> {
    let connection = request.conn_data::<ConnectionHandle>();
    let connection = connection.ok_or_else(|| Problem::new(ErrorCode::Internal))?.clone();
    let id = from.map(|from| format!("id: {from}\n")).unwrap_or_default();
    let first = Bytes::from(format!("retry: {}\n{id}\n", retry_hint()));
    let is_chunked = request.version() >= Version::HTTP_11;
    let upgrade = move |socket: TcpStream| -> Feed {
        let writer = Rc::new(ChunkedWriter::new(socket, is_chunked, budget.clone()));
        let mut source = source;
        if is_chunked {
            source.attach(writer.clone());
        }
        let stream = EventStream { writer, source, lifetime, budget, _permit: permit, eviction: None };
        Box::pin(async move {
            // An error of the socket ends the stream without a message, because its client is gone.
            let _ = stream.run().await;
        })
    };
    let mut response = HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header(("x-accel-buffering", "no"))
        // The connection ends with the stream.
        .force_close()
        .body(InitialBody::new(connection, first, Box::new(upgrade)));
    // In HTTP/1.0, which has no chunks, the end of the connection ends the body.
    response.head_mut().no_chunking(!is_chunked);
    Ok(response)
}

/// Event stream on a hijacked connection.
struct EventStream<S> {
    writer: Rc<ChunkedWriter>,
    source: S,
    lifetime: Lifetime,
    budget: Budget,
    _permit: FeedPermit,
    /// The last field, because it is dropped after everything that waited for the client.
    eviction: Option<Eviction>,
}

impl<S: MessageSource> EventStream<S> {
    /// Writes messages and heartbeats until the source or the lifetime ends. An error is one of the socket.
    async fn run(mut self) -> io::Result<()> {
        let end = self.lifetime.end();
        // One timer for the heartbeat and the end of the lifetime. It is set again only when it fires, because setting
        // it for every message costs more.
        let timer = sleep_until(end.min(self.writer.last_write() + HEARTBEAT));
        tokio::pin!(timer);
        loop {
            tokio::select! {
                biased;
                () = &mut timer => {
                    let now = Instant::now();
                    if now >= end {
                        return self.writer.end(last_message(self.lifetime.reason())).await;
                    }
                    if now - self.writer.last_write() >= HEARTBEAT {
                        self.write_comment().await?;
                    }
                    timer.as_mut().reset(end.min(self.writer.last_write() + HEARTBEAT));
                }
                message = self.source.next() => {
                    let ended = match message {
                        Ok(bytes) => self.write(bytes).await?,
                        Err(reason) => Some(reason),
                    };
                    if let Some(reason) = ended {
                        return self.writer.end(last_message(reason)).await;
                    }
                }
                // A client that has sent FIN may still read. If its socket is closed, its host answers this write with
                // a reset.
                half_closed = self.writer.half_closed() => {
                    half_closed?;
                    self.write_comment().await?;
                }
            }
        }
    }

    /// Writes a message and those that are available without waiting; returns the end of the source if it is reached.
    async fn write(&mut self, first: Bytes) -> io::Result<Option<Ended>> {
        let mut bytes = first.len();
        let mut batch = vec![first];
        let ended = loop {
            let is_full = batch.len() >= MAX_BATCH || bytes >= BATCH_BYTES;
            match (!is_full).then(|| self.source.ready()).flatten() {
                Some(Ok(message)) => {
                    bytes += message.len();
                    batch.push(message);
                }
                Some(Err(reason)) => break Some(reason),
                None => break None,
            }
        };
        self.write_batch(&batch, bytes).await.map(|()| ended)
    }

    async fn write_comment(&mut self) -> io::Result<()> {
        let comment = self.source.heartbeat();
        let bytes = comment.len();
        self.write_batch(&[comment], bytes).await
    }

    /// Writes messages. A client that stalls while the budget is exceeded gets an error, because a comment would
    /// end up within a message.
    async fn write_batch(&mut self, batch: &[Bytes], bytes: usize) -> io::Result<()> {
        let _charge = self.budget.charge(bytes);
        tokio::select! {
            biased;
            written = self.writer.write_all(batch) => written,
            eviction = self.budget.stalled(S::TRANSPORT, || self.writer.taken()) => {
                self.eviction = Some(eviction);
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}

/// Returns the reason of the end and the reconnection time; `None` for a complete stream, whose clients need not
/// reconnect.
fn last_message(reason: Ended) -> Option<Bytes> {
    (reason != Ended::Complete)
        .then(|| Bytes::from(format!("retry: {}\n: {}\n\n", retry_hint(), reason.as_str())))
}

/// Returns a random reconnection time in milliseconds. Clients that lose their connections together reconnect spread
/// out.
pub fn retry_hint() -> u64 {
    RETRY_MS + fastrand::u64(..RETRY_SPREAD_MS)
}
