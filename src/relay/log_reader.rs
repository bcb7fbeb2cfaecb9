//! Background reads of a channel's log: the start position of a new channel, and events that the feed lost.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::sleep};

use super::{channel::NextRead, jitter::jitter, reset::ResetFrame, snapshots::Snapshots};
use crate::{
    domain::{Cursor, Event, Topic},
    store::{EventFeed, LogRead, ResetReason, StoreError},
};

/// Maximum events a read. Clients receive one page while the next is read.
const PAGE: usize = 250;
/// Maximum concurrent log reads of one instance, which bounds the load on Redis after a reconnect.
pub(super) const CONCURRENT_READS: usize = 16;
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// Result of a log read.
pub(super) enum LogOutcome {
    /// The start position of a new channel: the tail of its log.
    Position(Cursor),
    /// A page of the events after the channel's last one.
    Events {
        /// In cursor order.
        events: Vec<Arc<Event>>,
        /// False if the log has further events.
        complete: bool,
    },
    /// The log cannot prove that it holds every event after the channel's last one.
    Reset(Arc<ResetFrame>),
}

/// Reads the log of a channel. Retries with backoff until the store answers.
///
/// Cancellation safe: the read changes nothing.
pub(super) async fn read_log(
    (feed, snapshots): (Arc<dyn EventFeed>, Snapshots),
    slots: Arc<Semaphore>,
    topic: Topic,
    next: NextRead,
) -> LogOutcome {
    let mut backoff = MIN_BACKOFF;
    loop {
        let attempt = async {
            // `acquire` fails only on a closed semaphore, and this one is never closed.
            let _slot = slots.acquire().await;
            read_once(&*feed, &snapshots, topic, next).await
        };
        match attempt.await {
            Ok(outcome) => return outcome,
            Err(error) => {
                tracing::warn!(%error, ?topic, "log read failed; retrying");
                sleep(backoff.mul_f64(0.5 + jitter())).await;
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }
    }
}

async fn read_once(
    feed: &dyn EventFeed,
    snapshots: &Snapshots,
    topic: Topic,
    next: NextRead,
) -> Result<LogOutcome, StoreError> {
    let (last, reason) = match next {
        NextRead::Position => {
            let tails = feed.tails(&[topic]).await?;
            return Ok(LogOutcome::Position(tails.first().copied().unwrap_or(Cursor::ORIGIN)));
        }
        NextRead::Reset(last) => (last, ResetReason::Unknown),
        NextRead::After(last) => match feed.read_after(topic, last, PAGE).await? {
            LogRead::Events { events, complete } => return Ok(LogOutcome::Events { events, complete }),
            LogRead::Reset(reason) => (last, reason),
        },
    };
    Ok(LogOutcome::Reset(snapshots.reset(topic, reason, last).await?))
}
