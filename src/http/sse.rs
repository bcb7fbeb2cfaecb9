//! The form of event streams: headers, first bytes, heartbeats, last words.

use std::{convert::Infallible, pin::Pin, time::Duration};

use actix_web::{HttpResponse, http::header, web::Bytes};
use futures_util::stream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    admission::Permit,
    domain::Cursor,
    relay::{Ended, Lifetime},
};

/// How often a stream that has nothing to say says so, lest a proxy takes it for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Clients that lost their connection come back after this long, spread over [`RETRY_SPREAD_MS`].
const RETRY_MS: u64 = 1_000;
const RETRY_SPREAD_MS: u64 = 2_000;

/// Where a stream's messages come from.
pub trait Source: 'static {
    /// The next message as bytes, or why there are no more. Cancelling it loses nothing.
    fn next(&mut self) -> impl Future<Output = Result<Bytes, Ended>>;
}

struct Body<S> {
    source: S,
    first: Option<Bytes>,
    /// When something was said last.
    spoke: Instant,
    lifetime: Lifetime,
    /// For the heartbeat and the end of the lifetime, whichever comes first. It is not moved with every message, only
    /// when it fires: messages are many.
    alarm: Pin<Box<Sleep>>,
    ended: bool,
    /// Its place among the feeds of this instance.
    _permit: Permit,
}

impl<S: Source> Body<S> {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.ended {
            return None;
        }
        loop {
            tokio::select! {
                biased;
                () = &mut self.alarm => {
                    let now = Instant::now();
                    if now >= self.lifetime.end() {
                        return self.end(self.lifetime.reason());
                    }
                    let silent = now - self.spoke >= HEARTBEAT;
                    self.spoke = if silent { now } else { self.spoke };
                    let next = self.lifetime.end().min(self.spoke + HEARTBEAT);
                    self.alarm.as_mut().reset(next);
                    if silent {
                        return Some(Bytes::from_static(b":\n\n"));
                    }
                }
                message = self.source.next() => match message {
                    Ok(bytes) => {
                        self.spoke = Instant::now();
                        return Some(bytes);
                    }
                    Err(reason) => return self.end(reason),
                },
            }
        }
    }

    /// A feed that is complete simply ends. Any other says why, and when to come back: a hint of its own for each, since
    /// all of an instance's clients may hear it at once.
    fn end(&mut self, reason: Ended) -> Option<Bytes> {
        self.ended = true;
        (reason != Ended::Complete)
            .then(|| Bytes::from(format!("retry: {}\n: {}\n\n", retry_hint(), reason.as_str())))
    }
}

/// An event stream that begins at `from`: a client that sees nothing else can resume from there. It keeps its place among
/// the feeds of this instance until it ends.
pub fn respond(from: Cursor, lifetime: Lifetime, permit: Permit, source: impl Source) -> HttpResponse {
    let first = Some(Bytes::from(format!("retry: {}\nid: {from}\n\n", retry_hint())));
    let spoke = Instant::now();
    let alarm = Box::pin(sleep_until(lifetime.end().min(spoke + HEARTBEAT)));
    let body = Body { source, first, spoke, lifetime, alarm, ended: false, _permit: permit };
    let bytes = stream::unfold(body, |mut body| async move {
        let bytes = body.next().await?;
        Some((Ok::<_, Infallible>(bytes), body))
    });
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(Box::pin(bytes))
}

/// Milliseconds after which to come back: a hint of its own for every connection, so that those which are lost together
/// do not come back together.
pub fn retry_hint() -> u64 {
    RETRY_MS + u64::from(uuid::Uuid::new_v4().as_fields().0) % RETRY_SPREAD_MS
}
