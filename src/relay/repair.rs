//! Reading the log for a channel: where it begins, and what it missed.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::sleep};

use super::frame::ResetFrame;
use crate::{
    domain::{Cursor, Event},
    store::{EventFeed, LogRead, StoreError, Topic},
};

/// How many events are read at a time, so that clients take in one page while the next is read.
const PAGE: usize = 250;
/// How many channels of an instance read at once after a reconnect.
pub(super) const CONCURRENT_READS: usize = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What the log said.
pub(super) enum Repair {
    /// The channel is new; this is where it begins.
    Begin(Cursor),
    /// This is what it missed, or the first part of it.
    Missed {
        /// In order.
        events: Vec<Arc<Event>>,
        /// Whether that is all.
        complete: bool,
    },
    /// There is no saying what it missed.
    Reset(ResetFrame),
}

/// Reads until the log answers.
pub(super) async fn read(
    feed: Arc<dyn EventFeed>,
    slots: Arc<Semaphore>,
    topic: Topic,
    last: Option<Cursor>,
) -> Repair {
    let mut pause = FIRST_PAUSE;
    loop {
        let attempt = async {
            // The semaphore is never closed.
            let _slot = slots.acquire().await;
            read_once(&*feed, topic, last).await
        };
        match attempt.await {
            Ok(repair) => return repair,
            Err(error) => {
                tracing::warn!(%error, ?topic, "the log could not be read; trying again");
                sleep(pause.mul_f64(0.5 + super::jitter())).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn read_once(feed: &dyn EventFeed, topic: Topic, last: Option<Cursor>) -> Result<Repair, StoreError> {
    let Some(last) = last else {
        let tails = feed.tails(&[topic]).await?;
        return Ok(Repair::Begin(tails.first().copied().unwrap_or(Cursor::ORIGIN)));
    };
    match feed.read_after(topic, last, PAGE).await? {
        LogRead::Events { events, complete } => Ok(Repair::Missed { events, complete }),
        LogRead::Lost(lost) => Ok(Repair::Reset(ResetFrame::new(lost.as_str(), feed.snapshot(topic).await?))),
    }
}
