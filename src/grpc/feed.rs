//! One feed of a call: a task that encodes the messages of a subscription, one at a time.
//!
//! tonic polls a response only while the client's window has room, so the response itself could not end the feed of a
//! client that does not read. The task can: it waits with the next message, and then drops the subscription with
//! everything that waits in it.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, stream};
use prost::Message;
use tokio::{
    sync::mpsc,
    time::{sleep_until, timeout_at},
};
use tonic::Status;

use super::{deadline::Deadline, encoder::Encoder, status::end_status};
use crate::{
    admission::{FeedPermit, ReadMeter},
    relay::{Budget, Charge, Delivery, Ended, ResetFrame, ResetParts, Subscription, Transport},
};

/// Messages of a response.
pub type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Maximum size of a message, which default clients accept.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// A message in the channel, with its charge.
type Sent<T> = (Result<T, Status>, Option<Charge>);

/// Returns the messages of a subscription until it ends or its deadline passes.
///
/// Dropping the stream releases the subscription and its permit.
pub fn messages<E: Encoder>(
    (subscription, meter): (Subscription, ReadMeter),
    permit: FeedPermit,
    deadline: Deadline,
    budget: Budget,
    encoder: E,
) -> Messages<E::Output> {
    let (sender, receiver) = mpsc::channel(1);
    let feed = Feed { sender: sender.clone(), meter, deadline, budget, encoder };
    tokio::spawn(async move {
        let end = feed.run(subscription).await;
        if let Some(status) = end {
            // Waits until the client reads or is gone. An error means that it is gone.
            let _ = sender.send((Err(status), None)).await;
        }
        drop(permit);
    });
    let next = |mut receiver: mpsc::Receiver<Sent<E::Output>>| async move {
        let (message, _charge) = receiver.recv().await?;
        Some((message, receiver))
    };
    Box::pin(stream::unfold(receiver, next))
}

/// State of the task.
struct Feed<E: Encoder> {
    sender: mpsc::Sender<Sent<E::Output>>,
    meter: ReadMeter,
    deadline: Deadline,
    budget: Budget,
    encoder: E,
}

impl<E: Encoder> Feed<E> {
    /// Sends messages until the end; returns its status, `None` for OK and for a client that is gone.
    async fn run(mut self, mut subscription: Subscription) -> Option<Status> {
        loop {
            // `timeout_at` does not fire while messages are ready, so the deadline is checked before each of them.
            if self.deadline.is_over() {
                return Some(self.deadline.status());
            }
            let delivery = tokio::select! {
                delivery = timeout_at(self.deadline.at(), subscription.next()) => delivery,
                () = self.sender.closed() => return None,
            };
            self.meter.add(subscription.take_read_bytes());
            let sent = match delivery {
                Ok(Delivery::Event(frame)) => match self.encoder.event(frame.event()).await {
                    Ok(message) => self.send(&subscription, message).await,
                    Err(status) => Err(Some(status)),
                },
                Ok(Delivery::Reset(frame)) => self.send_reset(&subscription, frame).await,
                Ok(Delivery::Ended(reason)) => return end_status(reason),
                Err(_) => Err(Some(self.deadline.status())),
            };
            if let Err(end) = sent {
                return end;
            }
        }
    }

    async fn send_reset(
        &mut self,
        subscription: &Subscription,
        frame: Arc<ResetFrame>,
    ) -> Result<(), Option<Status>> {
        for part in self.parts(frame) {
            let message = self.encoder.reset(&part);
            self.send(subscription, message).await?;
        }
        Ok(())
    }

    /// Divides a reset. One that fits as JSON text can be larger here, because each entry of a map has a head.
    fn parts(&mut self, frame: Arc<ResetFrame>) -> ResetParts {
        let parts = ResetParts::of(frame.clone());
        let is_too_large = |part| self.encoder.reset(&part).encoded_len() > MAX_MESSAGE_BYTES;
        if parts.total() == 1 && parts.clone().next().is_some_and(is_too_large) {
            return ResetParts::divided(frame);
        }
        parts
    }

    /// Sends one message once the client has read the one before; an error is the end of the feed, as of [`Self::run`].
    async fn send(&mut self, subscription: &Subscription, message: E::Output) -> Result<(), Option<Status>> {
        let bytes = message.encoded_len();
        subscription.sent(bytes);
        let charge = self.budget.charge(bytes);
        tokio::select! {
            biased;
            sent = self.sender.send((Ok(message), Some(charge))) => sent.map_err(|_| None),
            () = self.budget.stalled(Transport::Grpc) => Err(end_status(Ended::TooSlow)),
            () = sleep_until(self.deadline.at()) => Err(Some(self.deadline.status())),
        }
    }
}
