//! The form of event streams: headers, first bytes, heartbeats, last words.

use std::{convert::Infallible, time::Duration};

use actix_web::{HttpResponse, http::header, web::Bytes};
use futures_util::stream;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::domain::Cursor;

/// How often a stream that has nothing to say says so, lest a proxy takes it for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Clients that lost their connection come back after this long, spread over [`RETRY_SPREAD_MS`].
const RETRY_MS: u64 = 1_000;
const RETRY_SPREAD_MS: u64 = 2_000;

/// Where a stream's messages come from.
pub trait Source: 'static {
    /// The next message as bytes, or `Err` with the last words (none for a plain end). Cancelling it loses nothing.
    fn next(&mut self) -> impl Future<Output = Result<Bytes, Option<&'static str>>>;
}

struct Body<S> {
    source: S,
    first: Option<Bytes>,
    heartbeat: Interval,
    ended: bool,
}

impl<S: Source> Body<S> {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.ended {
            return None;
        }
        tokio::select! {
            biased;
            message = self.source.next() => match message {
                Ok(bytes) => {
                    self.heartbeat.reset();
                    Some(bytes)
                }
                Err(last_words) => {
                    self.ended = true;
                    last_words.map(|words| Bytes::from(format!(": {words}\n\n")))
                }
            },
            _ = self.heartbeat.tick() => Some(Bytes::from_static(b":\n\n")),
        }
    }
}

/// An event stream that begins at `from`: a client that sees nothing else can resume from there.
pub fn respond(from: Cursor, source: impl Source) -> HttpResponse {
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat.reset();
    let first = Some(Bytes::from(format!("retry: {}\nid: {from}\n\n", retry_hint())));
    let body = Body { source, first, heartbeat, ended: false };
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
