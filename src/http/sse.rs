//! The form of event streams: headers, first bytes, heartbeats, last words.

use std::{io, rc::Rc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Version, header},
    rt::net::TcpStream,
    web::Bytes,
};
use tokio::time::{Instant, sleep_until};

use super::{
    problem::Problem,
    takeover::{self, Claim, Preface},
    wire::Wire,
};
use crate::{
    admission::FeedPermit,
    domain::{Cursor, ErrorCode},
    relay::{Ended, Lifetime},
};

/// How often a stream that has nothing to say says so, lest a proxy takes it for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A comment, which clients ignore.
const BEAT: &[u8] = b":\n\n";
/// Clients that lost their connection come back after this long, spread over [`RETRY_SPREAD_MS`].
const RETRY_MS: u64 = 1_000;
const RETRY_SPREAD_MS: u64 = 2_000;
/// The most messages that are written at once.
const BATCH: usize = 16;

/// Where a stream's messages come from.
pub trait Source: 'static {
    /// The next message as bytes, or why there are no more. Cancelling it loses nothing.
    fn next(&mut self) -> impl Future<Output = Result<Bytes, Ended>>;

    /// The next message or the end, if it is there already.
    fn ready(&mut self) -> Option<Result<Bytes, Ended>> {
        None
    }

    /// From now on messages may be given to the wire past [`Self::next`].
    fn attach(&mut self, _: Rc<Wire>) {}
}

/// An event stream that begins at `from`: a client that sees nothing else can resume from there. It keeps its place among
/// the feeds of this instance until it ends.
///
/// # Errors
/// None on connections that can be taken, and all of this server's can.
pub fn respond(
    request: &HttpRequest,
    from: Cursor,
    lifetime: Lifetime,
    permit: FeedPermit,
    source: impl Source,
) -> Result<HttpResponse, Problem> {
    let claim = request.conn_data::<Claim>().ok_or_else(|| Problem::new(ErrorCode::Internal))?.clone();
    let first = Bytes::from(format!("retry: {}\nid: {from}\n\n", retry_hint()));
    let is_chunked = request.version() >= Version::HTTP_11;
    let taker = move |stream: TcpStream| -> takeover::Feed {
        let wire = Rc::new(Wire::new(stream, is_chunked));
        let mut feed = Feed { wire: wire.clone(), source, lifetime, _permit: permit };
        if is_chunked {
            feed.source.attach(wire);
        }
        Box::pin(async move {
            // What fails is the connection, and with it the feed.
            let _ = feed.run().await;
        })
    };
    let mut response = HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header(("x-accel-buffering", "no"))
        // Nothing follows on a connection that has been taken.
        .force_close()
        .body(Preface::new(claim, first, Box::new(taker)));
    // HTTP/1.0 has no chunks: there the end of the connection is the end of the body.
    response.head_mut().no_chunking(!is_chunked);
    Ok(response)
}

/// One client that follows.
struct Feed<S> {
    wire: Rc<Wire>,
    source: S,
    lifetime: Lifetime,
    /// Its place among the feeds of this instance.
    _permit: FeedPermit,
}

impl<S: Source> Feed<S> {
    async fn run(mut self) -> io::Result<()> {
        let end = self.lifetime.end();
        // For the heartbeat and the end of the lifetime, whichever comes first. It is not moved with every message, only
        // when it fires: messages are many.
        let alarm = sleep_until(end.min(self.wire.spoke() + HEARTBEAT));
        tokio::pin!(alarm);
        loop {
            tokio::select! {
                biased;
                () = &mut alarm => {
                    let now = Instant::now();
                    if now >= end {
                        return self.wire.end(last_words(self.lifetime.reason())).await;
                    }
                    if now - self.wire.spoke() >= HEARTBEAT {
                        self.wire.write(&Bytes::from_static(BEAT)).await?;
                    }
                    alarm.as_mut().reset(end.min(self.wire.spoke() + HEARTBEAT));
                }
                message = self.source.next() => {
                    let ended = match message {
                        Ok(bytes) => self.write(bytes).await?,
                        Err(reason) => Some(reason),
                    };
                    if let Some(reason) = ended {
                        return self.wire.end(last_words(reason)).await;
                    }
                }
                // FIN: the client may still read. Where its socket is closed, this write is answered with a reset.
                closed = self.wire.closed() => {
                    closed?;
                    self.wire.write(&Bytes::from_static(BEAT)).await?;
                }
            }
        }
    }

    /// Writes a message, and with it those that wait already. Says why there are no more.
    async fn write(&mut self, first: Bytes) -> io::Result<Option<Ended>> {
        let Some(mut next) = self.source.ready() else {
            return self.wire.write(&first).await.map(|()| None);
        };
        let mut batch = vec![first];
        let ended = loop {
            match next {
                Ok(bytes) => batch.push(bytes),
                Err(reason) => break Some(reason),
            }
            match (batch.len() < BATCH).then(|| self.source.ready()).flatten() {
                Some(more) => next = more,
                None => break None,
            }
        };
        self.wire.write_all(&batch).await.map(|()| ended)
    }
}

/// A feed that is complete simply ends. Any other says why, and when to come back: a hint of its own for each, since all of
/// an instance's clients may hear it at once.
fn last_words(reason: Ended) -> Option<Bytes> {
    (reason != Ended::Complete)
        .then(|| Bytes::from(format!("retry: {}\n: {}\n\n", retry_hint(), reason.as_str())))
}

/// Milliseconds after which to come back: a hint of its own for every connection, so that those which are lost together
/// do not come back together.
pub fn retry_hint() -> u64 {
    RETRY_MS + fastrand::u64(..RETRY_SPREAD_MS)
}
