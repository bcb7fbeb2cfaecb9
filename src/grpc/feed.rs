//! One feed of a call: a task that encodes the messages of a subscription, one at a time.
//!
//! tonic polls a response only while the client's window has room, so the response itself could not end the feed of a
//! client that does not read. The task can: it takes back the message that waits for the client, and ends with
//! everything that waits in the subscription.

use std::{
    future::pending,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{Stream, stream};
use prost::Message;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep_until, timeout_at},
};
use tonic::Status;

use super::{body::Unsent, deadline::Deadline, encoder::Encoder, status::end_status};
use crate::{
    admission::{FeedPermit, ReadMeter},
    domain::Event,
    relay::{Budget, Charge, Delivery, Ended, Eviction, ResetFrame, ResetParts, Subscription, Transport},
};

/// Messages of a response.
pub type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Maximum size of a message, which default clients accept.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// A message that waits for the client, with its charge. The response takes it, or the feed takes it back.
struct Waiting<T>(Arc<Mutex<Option<(T, Charge)>>>);

impl<T> Waiting<T> {
    /// Takes the message and ends its charge.
    fn take(&self) -> Option<T> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.map(|(message, _charge)| message)
    }
}

impl<T> Clone for Waiting<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Returns the first messages of an encoder and those of a subscription, until it ends or its deadline passes.
///
/// Dropping the stream releases the subscription and its permit.
pub fn messages<E: Encoder>(
    (subscription, meter): (Subscription, ReadMeter),
    (permit, deadline): (FeedPermit, Deadline),
    (budget, unsent): (Budget, Unsent),
    encoder: E,
) -> Messages<E::Output> {
    let (sender, receiver) = mpsc::channel(1);
    let (ended, end) = oneshot::channel();
    let feed = Feed { sender, waiting: None, unsent, meter, deadline, budget, encoder, eviction: None };
    tokio::spawn(async move {
        if let Some(status) = feed.run(subscription).await {
            // An error means that the client is gone.
            let _ = ended.send(status);
        }
        drop(permit);
    });
    Box::pin(stream::unfold(Response { receiver, end: Some(end) }, Response::next))
}

/// State of the response.
struct Response<T> {
    receiver: mpsc::Receiver<Waiting<T>>,
    /// Status of the end; `None` once it is taken.
    end: Option<oneshot::Receiver<Status>>,
}

impl<T> Response<T> {
    async fn next(mut self) -> Option<(Result<T, Status>, Self)> {
        while let Some(waiting) = self.receiver.recv().await {
            if let Some(message) = waiting.take() {
                return Some((Ok(message), self));
            }
        }
        let status = self.end.take()?.await.ok()?;
        Some((Err(status), self))
    }
}

/// State of the task.
struct Feed<E: Encoder> {
    sender: mpsc::Sender<Waiting<E::Output>>,
    /// The newest message.
    waiting: Option<Waiting<E::Output>>,
    /// What the response has encoded of the messages that it has taken.
    unsent: Unsent,
    meter: ReadMeter,
    deadline: Deadline,
    budget: Budget,
    encoder: E,
    /// The last field, because it is dropped after everything that waited for the client.
    eviction: Option<Eviction>,
}

impl<E: Encoder> Feed<E> {
    /// Sends messages until the end; returns its status, `None` for OK and for a client that is gone.
    async fn run(mut self, mut subscription: Subscription) -> Option<Status> {
        loop {
            if let Err(end) = self.next_turn().await {
                return end;
            }
            let sent = match self.first().await {
                Ok(Some(message)) => self.send(&subscription, message).await,
                Ok(None) => break,
                Err(status) => return self.end(subscription, Some(status)).await,
            };
            if let Err(end) = sent {
                return end;
            }
        }
        loop {
            let delivery = tokio::select! {
                delivery = timeout_at(self.deadline.at(), subscription.next()) => delivery,
                () = self.sender.closed() => return None,
                eviction = self.stalled() => return self.evict(eviction),
            };
            self.meter.add(subscription.take_read_bytes());
            let sent = match delivery {
                Ok(Delivery::Event(frame)) => match self.event(frame.event()).await {
                    Ok(message) => self.send(&subscription, message).await,
                    Err(status) => return self.end(subscription, Some(status)).await,
                },
                Ok(Delivery::Reset(frame)) => self.send_reset(&subscription, frame).await,
                Ok(Delivery::Ended(reason)) => return self.end(subscription, end_status(reason)).await,
                Err(_) => return self.end(subscription, Some(self.deadline.status())).await,
            };
            if let Err(end) = sent {
                return end;
            }
        }
    }

    /// Encodes the next first message, and charges what is read for it.
    async fn first(&mut self) -> Result<Option<E::Output>, Status> {
        let message = self.encoder.first().await;
        self.meter.add(self.encoder.take_read_bytes());
        message
    }

    /// Encodes an event, and charges what is read for it.
    async fn event(&mut self, event: &Event) -> Result<E::Output, Status> {
        let message = self.encoder.event(event).await;
        self.meter.add(self.encoder.take_read_bytes());
        message
    }

    /// Releases the subscription, waits until the client has taken the last message, and returns the status.
    async fn end(&mut self, subscription: Subscription, status: Option<Status>) -> Option<Status> {
        drop(subscription);
        self.next_turn().await.err().unwrap_or(status)
    }

    async fn send_reset(
        &mut self,
        subscription: &Subscription,
        frame: Arc<ResetFrame>,
    ) -> Result<(), Option<Status>> {
        let mut parts = self.parts(frame);
        while self.send_made(subscription, |encoder| parts.next().map(|part| encoder.reset(&part))).await? {}
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

    /// Sends a message once the client has taken the one before; an error is the end of the feed, as of [`Self::run`].
    async fn send(&mut self, subscription: &Subscription, message: E::Output) -> Result<(), Option<Status>> {
        let charge = self.budget.charge(message.encoded_len());
        self.next_turn().await?;
        self.put(subscription, message, charge)
    }

    /// Makes and sends a message once the client has taken the one before; returns false if there is none.
    async fn send_made(
        &mut self,
        subscription: &Subscription,
        make: impl FnOnce(&mut E) -> Option<E::Output>,
    ) -> Result<bool, Option<Status>> {
        self.next_turn().await?;
        let Some(message) = make(&mut self.encoder) else { return Ok(false) };
        let charge = self.budget.charge(message.encoded_len());
        self.put(subscription, message, charge).map(|()| true)
    }

    fn put(
        &mut self,
        subscription: &Subscription,
        message: E::Output,
        charge: Charge,
    ) -> Result<(), Option<Status>> {
        subscription.sent(message.encoded_len());
        let waiting = Waiting(Arc::new(Mutex::new(Some((message, charge)))));
        self.waiting = Some(waiting.clone());
        self.sender.try_send(waiting).map_err(|_| None)
    }

    /// Waits until the client has taken the newest message. An error is the end of the feed, with that message taken
    /// back.
    async fn next_turn(&mut self) -> Result<(), Option<Status>> {
        // A wait does not time out while the client takes each message at once.
        if self.deadline.is_over() {
            return Err(self.take_back(Some(self.deadline.status())));
        }
        tokio::select! {
            biased;
            taken = self.taken() => taken,
            eviction = self.budget.stalled(Transport::Grpc, || self.unsent.taken()) => Err(self.evict(eviction)),
            () = sleep_until(self.deadline.at()) => Err(self.take_back(Some(self.deadline.status()))),
        }
    }

    /// Waits until the client has taken the newest message. An error means that the client is gone.
    async fn taken(&self) -> Result<(), Option<Status>> {
        self.sender.reserve().await.map(drop).map_err(|_| None)?;
        self.unsent.emptied().await;
        Ok(())
    }

    /// Waits until the client must be disconnected, because it does not take the newest message.
    async fn stalled(&self) -> Eviction {
        tokio::select! {
            biased;
            _ = self.taken() => pending().await,
            eviction = self.budget.stalled(Transport::Grpc, || self.unsent.taken()) => eviction,
        }
    }

    fn evict(&mut self, eviction: Eviction) -> Option<Status> {
        self.eviction = Some(eviction);
        self.take_back(end_status(Ended::TooSlow))
    }

    /// Takes back what waits of the newest messages, and returns the status that the client gets in its place.
    fn take_back(&self, end: Option<Status>) -> Option<Status> {
        self.waiting.as_ref().and_then(Waiting::take);
        self.unsent.discard();
        end
    }
}
