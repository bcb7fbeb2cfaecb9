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
    /// The participant that follows its stream was blocked.
    Blocked,
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
            Self::Blocked => "participant_blocked",
            Self::Unavailable => "store_unavailable",
        }
    }
}

/// What the messages of one queue are charged to.
struct Charges {
    client: Client,
    budget: Budget,
}

/// Charge of one queued message. Dropping it releases the bytes, wherever the message is then.
struct QueueCharge {
    charges: Arc<Charges>,
    bytes: usize,
}

impl QueueCharge {
    /// Charges bytes; the second value tells whether the connection has room for them.
    fn new(charges: &Arc<Charges>, bytes: usize) -> (Self, bool) {
        let queued = charges.client.queued_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        charges.budget.add(bytes);
        (Self { charges: charges.clone(), bytes }, queued <= QUEUE_BYTES)
    }
}

impl Drop for QueueCharge {
    fn drop(&mut self) {
        self.charges.client.queued_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.charges.budget.release(self.bytes);
    }
}

/// A message in a queue.
struct Queued {
    delivery: Delivery,
    _charge: QueueCharge,
}

/// Sending half of a client queue, owned by the hub.
pub(super) struct Subscriber {
    pub(super) id: SubscriberId,
    queue: mpsc::Sender<Queued>,
    charges: Arc<Charges>,
    ended: Arc<OnceLock<Ended>>,
    metrics: Arc<Metrics>,
}

/// Receiving half of a client queue.
pub(super) struct SubscriberQueue {
    queue: mpsc::Receiver<Queued>,
    /// Messages that [`Self::recv_many`] takes from the queue at once; empty between calls.
    received: Vec<Queued>,
    /// The end reason; both halves share it. The hub sets it before it drops the sending half.
    ended: Arc<OnceLock<Ended>>,
}

impl SubscriberQueue {
    /// Receives the next message; `None` at the end. Cancellation safe.
    pub(super) async fn recv(&mut self) -> Option<Delivery> {
        self.queue.recv().await.map(|queued| queued.delivery)
    }

    /// Receives up to `limit` messages; returns their number, 0 at the end. Cancellation safe.
    pub(super) async fn recv_many(&mut self, deliveries: &mut Vec<Delivery>, limit: usize) -> usize {
        let count = self.queue.recv_many(&mut self.received, limit).await;
        deliveries.extend(self.received.drain(..).map(|queued| queued.delivery));
        count
    }

    /// Returns the end reason. A hub that stopped without setting one is shutting down.
    pub(super) fn ended(&self) -> Ended {
        self.ended.get().copied().unwrap_or(Ended::ShuttingDown)
    }
}

impl Subscriber {
    /// Creates a queue of [`QUEUE_MESSAGES`] messages and returns both halves.
    pub(super) fn new(client: Client, budget: Budget, metrics: Arc<Metrics>) -> (Self, SubscriberQueue) {
        let (sender, queue) = mpsc::channel(QUEUE_MESSAGES);
        let ended = Arc::<OnceLock<Ended>>::default();
        let queue_half = SubscriberQueue { queue, received: Vec::new(), ended: ended.clone() };
        let charges = Arc::new(Charges { client, budget });
        (Self { id: SubscriberId::next(), queue: sender, charges, ended, metrics }, queue_half)
    }

    /// Enqueues a message without waiting; returns false if the subscriber must be removed.
    ///
    /// That is the case if the queue or the connection's byte budget is full, or if the receiver is closed.
    pub(super) fn try_send(&self, delivery: &Delivery) -> bool {
        let (charge, fits) = QueueCharge::new(&self.charges, delivery.size());
        let queued = Queued { delivery: delivery.clone(), _charge: charge };
        if fits && self.queue.try_send(queued).is_ok() {
            return true;
        }
        if !self.queue.is_closed() {
            self.end(Ended::TooSlow);
            self.metrics.queue_overflows.with_label_values(&[self.charges.client.transport.as_str()]).inc();
        }
        false
    }

    /// Sets the end reason. The client receives it after the queued messages, once this value is dropped.
    pub(super) fn end(&self, reason: Ended) {
        // The first reason wins, so the result of a second set is ignored.
        let _ = self.ended.set(reason);
    }
}
