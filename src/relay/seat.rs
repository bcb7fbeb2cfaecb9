//! A client's place in a channel: a bounded queue, and who it is for.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use tokio::sync::mpsc;

use super::{EventFrame, ResetFrame};
use crate::telemetry::Metrics;

/// The most messages that wait for one client.
pub(super) const QUEUE_MESSAGES: usize = 1_024;
/// The most bytes that wait for one client, on all its subscriptions together. Messages are shared between clients, so
/// this bounds how far one client can hold back what all others are done with.
pub(super) const QUEUE_BYTES: usize = 4 * 1024 * 1024;

static NEXT_SEAT: AtomicU64 = AtomicU64::new(1);

/// A number for a seat that no other has.
pub(super) fn next_seat() -> u64 {
    NEXT_SEAT.fetch_add(1, Ordering::Relaxed)
}

/// What a client follows by; the label in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `/events`.
    Sse,
    /// `/sse/{id}/updates`.
    State,
    /// `/ws`.
    WebSocket,
    /// gRPC.
    Grpc,
    /// The one reader of events behind all clients of a stream's `/sse/{id}/updates`.
    StateReader,
}

impl Transport {
    /// The word used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::State => "sse_state",
            Self::WebSocket => "websocket",
            Self::Grpc => "grpc",
            Self::StateReader => "state_reader",
        }
    }
}

/// One connection's claim on memory, shared by all its subscriptions.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) transport: Transport,
    /// Bytes that wait for it.
    pub(super) waiting: Arc<AtomicUsize>,
}

impl Client {
    /// A client for whom nothing waits yet.
    pub fn new(transport: Transport) -> Self {
        Self { transport, waiting: Arc::default() }
    }
}

/// A message for a client.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// The next event.
    Event(Arc<EventFrame>),
    /// Start again from here.
    Reset(Arc<ResetFrame>),
    /// Nothing will follow.
    Ended(Ended),
}

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The stream is over: its last event has been delivered.
    Complete,
    /// The client did not keep up.
    TooSlow,
    /// The instance is going away.
    ShuttingDown,
    /// The connection has lasted as long as it may.
    Expired,
    /// The token that opened the connection is not good any more.
    TokenExpired,
    /// The log cannot be read. The client resumes from its cursor.
    Unavailable,
}

impl Ended {
    /// The word used towards clients.
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

/// The hub's end of a client's queue.
pub(super) struct Seat {
    pub(super) id: u64,
    pub(super) queue: mpsc::Sender<Delivery>,
    pub(super) client: Client,
    /// Why there will be no more; both ends of the queue share it.
    pub(super) ended: Arc<OnceLock<Ended>>,
    pub(super) metrics: Arc<Metrics>,
}

impl Seat {
    /// Puts a message into the queue; says whether the client keeps its seat. It never waits.
    pub(super) fn offer(&self, delivery: &Delivery) -> bool {
        let size = size(delivery);
        let fits = self.client.waiting.fetch_add(size, Ordering::Relaxed) + size <= QUEUE_BYTES;
        if fits && self.queue.try_send(delivery.clone()).is_ok() {
            return true;
        }
        self.client.waiting.fetch_sub(size, Ordering::Relaxed);
        if !self.queue.is_closed() {
            self.end(Ended::TooSlow);
            self.metrics.queue_overflows.with_label_values(&[self.client.transport.as_str()]).inc();
        }
        false
    }

    /// Says why there will be no more; it takes effect when the seat is dropped and the queue is read to its end.
    pub(super) fn end(&self, reason: Ended) {
        // The first reason is the true one.
        let _ = self.ended.set(reason);
    }
}

pub(super) fn size(delivery: &Delivery) -> usize {
    match delivery {
        Delivery::Event(frame) => frame.json().len(),
        Delivery::Reset(frame) => frame.json().len(),
        Delivery::Ended(_) => 0,
    }
}
