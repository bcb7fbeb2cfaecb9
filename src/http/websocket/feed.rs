//! One feed of a connection: sends the events of a subscription.

use actix_ws::Closed;

use super::{messages, outbox::Outbox, read_progress::ReadProgress};
use crate::{
    admission::ReadMeter,
    relay::{Delivery, Ended, ResetParts, Subscription},
};

/// Feed of a connection.
pub(super) struct Feed {
    /// Name of the stream in the client's command, which messages repeat.
    pub(super) stream_id: String,
    /// Cursor after which the feed starts, or the malformed one of the client.
    pub(super) from: String,
    pub(super) outbox: Outbox,
    pub(super) progress: ReadProgress,
    /// Meter of what is read for this feed.
    pub(super) meter: ReadMeter,
}

impl Feed {
    /// Sends the events of the subscription until it ends.
    pub(super) async fn run(mut self, subscription: Subscription) {
        if self.follow(subscription).await.is_err() {
            self.progress.end_slow_client();
        }
    }

    /// Returns [`Closed`] if the client does not keep up.
    async fn follow(&mut self, mut subscription: Subscription) -> Result<(), Closed> {
        let outbox = &mut self.outbox;
        outbox.send(messages::subscribed(&self.stream_id, &self.from)).await?;
        loop {
            let delivery = subscription.next().await;
            self.meter.add(subscription.take_read_bytes());
            match delivery {
                Delivery::Event(frame) => {
                    subscription.sent(frame.json().len());
                    outbox.send(frame.json().clone()).await?;
                }
                Delivery::Reset(reset) => {
                    for part in ResetParts::of(reset) {
                        let message = messages::reset(&self.stream_id, &part.json());
                        subscription.sent(message.len());
                        outbox.send(message).await?;
                    }
                }
                // The close frame of the connection reports the shutdown.
                Delivery::Ended(Ended::ShuttingDown) => return Ok(()),
                Delivery::Ended(Ended::TooSlow) => return Err(Closed),
                Delivery::Ended(reason) => {
                    let reason = end_reason(reason);
                    return outbox.send(messages::unsubscribed(&self.stream_id, reason)).await;
                }
            }
        }
    }
}

fn end_reason(ended: Ended) -> &'static str {
    match ended {
        Ended::Complete => "stream_stopped",
        other => other.as_str(),
    }
}
