//! Subscriber: the hub's handle of one client queue.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use tokio::sync::mpsc;

use super::{budget::Budget, frame::EventFrame, reset::ResetFrame, transport::Transport};
use crate::telemetry::Metrics;

/// Maximum number of messages in one client queue.
pub(super) const QUEUE_MESSAGES: usize = 1_024;
/// Maximum number of queued bytes of one client connection, summed over all its subscriptions.
///
/// Clients share the bytes of a message, so this bounds the memory that one slow client keeps alive.
pub(super) const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// Process-wide unique id of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SubscriberId(u64);

impl SubscriberId {
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A client connection: its transport and its byte budget, which all its subscriptions share.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) transport: Transport,
    /// Bytes in the queues of this connection.
    pub(super) queued_bytes: Arc<AtomicUsize>,
}

impl Client {
    /// Creates a client with an unused byte budget.
    pub fn new(transport: Transport) -> Self {
        Self { transport, queued_bytes: Arc::default() }
    }

    /// Returns the bytes of messages that left the queue to the budget of the connection.
    fn release(&self, bytes: usize) {
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A message for a client.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// The next event.
    Event(Arc<EventFrame>),
    /// A snapshot that replaces everything delivered before.
    Reset(Arc<ResetFrame>),
    /// The end of the subscription; no message follows.
    Ended(Ended),
}

impl Delivery {
    /// Returns the size in bytes that counts against [`QUEUE_BYTES`]: the length of the JSON text, at most that of one
    /// part of a reset.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Event(frame) => frame.json().len(),
            Self::Reset(frame) => frame.waiting_bytes(),
            Self::Ended(_) => 0,
        }
    }
}

/// Reason for the end of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The stream has stopped and its last event is delivered.
    Complete,
    /// The client's queue overflowed.
    TooSlow,
    /// The instance shuts down.
    ShuttingDown,
    /// The connection reached its maximum age.
    Expired,
    /// The token that opened the connection expired.
    TokenExpired,
    /// The log cannot be read; the client resumes from its cursor.
    Unavailable,
}

impl Ended {
    /// Returns the reason as clients receive it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::TooSlow => "slow_consumer",
            Self::ShuttingDown => "shutting_down",
            Self::Expired => "connection_expired",
            Self::TokenExpired => "token_expired",
            Self::Unavailable => "store_unavailable",
        }
    }
}

/// Sending half of a client queue, owned by the hub.
pub(super) struct Subscriber {
    pub(super) id: SubscriberId,
    queue: mpsc::Sender<Delivery>,
    client: Client,
    budget: Budget,
    ended: Arc<OnceLock<Ended>>,
    metrics: Arc<Metrics>,
}

/// Receiving half of a client queue.
pub(super) struct SubscriberQueue {
    deliveries: mpsc::Receiver<Delivery>,
    client: Client,
    budget: Budget,
    /// The end reason; both halves share it. The hub sets it before it drops the sending half.
    ended: Arc<OnceLock<Ended>>,
}

impl SubscriberQueue {
    /// Receives the next message; `None` at the end. Cancellation safe.
    pub(super) async fn recv(&mut self) -> Option<Delivery> {
        let delivery = self.deliveries.recv().await?;
        self.release(delivery.size());
        Some(delivery)
    }

    /// Receives up to `limit` messages; returns their number, 0 at the end. Cancellation safe.
    pub(super) async fn recv_many(&mut self, deliveries: &mut Vec<Delivery>, limit: usize) -> usize {
        let count = self.deliveries.recv_many(deliveries, limit).await;
        self.release(deliveries.iter().rev().take(count).map(Delivery::size).sum());
        count
    }

    fn release(&self, bytes: usize) {
        self.client.release(bytes);
        self.budget.release(bytes);
    }

    /// Returns the end reason. A hub that stopped without setting one is shutting down.
    pub(super) fn ended(&self) -> Ended {
        self.ended.get().copied().unwrap_or(Ended::ShuttingDown)
    }
}

impl Drop for SubscriberQueue {
    /// Releases unread messages; the connection's other subscriptions share its budget.
    fn drop(&mut self) {
        self.deliveries.close();
        while let Ok(delivery) = self.deliveries.try_recv() {
            self.release(delivery.size());
        }
    }
}

impl Subscriber {
    /// Creates a queue of [`QUEUE_MESSAGES`] messages and returns both halves.
    pub(super) fn new(client: Client, budget: Budget, metrics: Arc<Metrics>) -> (Self, SubscriberQueue) {
        let (queue, deliveries) = mpsc::channel(QUEUE_MESSAGES);
        let ended = Arc::<OnceLock<Ended>>::default();
        let queue_half = SubscriberQueue {
            deliveries,
            client: client.clone(),
            budget: budget.clone(),
            ended: ended.clone(),
        };
        (Self { id: SubscriberId::next(), queue, client, budget, ended, metrics }, queue_half)
    }

    /// Enqueues a message without waiting; returns false if the subscriber must be removed.
    ///
    /// That is the case if the queue or the connection's byte budget is full, or if the receiver is closed.
    pub(super) fn try_send(&self, delivery: &Delivery) -> bool {
        let size = delivery.size();
        let fits = self.client.queued_bytes.fetch_add(size, Ordering::Relaxed) + size <= QUEUE_BYTES;
        self.budget.add(size);
        if fits && self.queue.try_send(delivery.clone()).is_ok() {
            return true;
        }
        self.client.release(size);
        self.budget.release(size);
        if !self.queue.is_closed() {
            self.end(Ended::TooSlow);
            self.metrics.queue_overflows.with_label_values(&[self.client.transport.as_str()]).inc();
        }
        false
    }

    /// Sets the end reason. The client receives it after the queued messages, once this value is dropped.
    pub(super) fn end(&self, reason: Ended) {
        // The first reason wins, so the result of a second set is ignored.
        let _ = self.ended.set(reason);
    }
}
