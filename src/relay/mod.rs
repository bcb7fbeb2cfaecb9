//! Relay: delivers published events to the clients of this instance.
//!
//! The feed (Pub/Sub) delivers at most once. The relay turns it into exactly-once, in-order delivery for each client:
//!
//! - **Handover from log to feed.** A client subscribes to a channel at a known position. It reads the log from its own
//!   cursor up to that position and skips, by cursor, events that both the log and the feed contain.
//! - **Gap detection.** Every event carries the cursor of its predecessor. An event whose predecessor is not the last
//!   delivered event is a gap. The relay then reads the channel's log once for all clients of the channel.
//! - **Reset.** Where the log cannot prove that it is complete, every client of the channel gets a snapshot (`reset`).
//! - **Connection loss.** The hub replaces a broken connection and reads every log from the last delivered event. A
//!   probe message and a comparison of the logs' tails detect a silently dead connection.
//! - **Backpressure.** Each client has a bounded queue. A client whose queue overflows is disconnected, and delivery to
//!   other clients never waits for it.

mod channel;
mod frame;
mod hub;
mod lifetime;
mod local_fanout;
mod log_reader;
mod queue;
mod state_updates;
mod subscriber;
mod subscriber_metrics;
mod subscription;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub use self::{
    frame::{EventFrame, ResetFrame, WireForm},
    lifetime::Lifetime,
    local_fanout::{DirectSink, DirectWrite, EventEncoder, LocalSubscription},
    state_updates::{EncodeState, StateFrame, StateUpdates},
    subscriber::{Client, Delivery, Ended, Transport},
    subscription::Subscription,
};
use self::{
    hub::{Command, Hub},
    state_updates::StateReaders,
    subscriber::{Subscriber, SubscriberId},
};
use crate::{
    domain::{Cursor, Event, Topic},
    orchestrator::ReadGrant,
    store::{EventFeed, LogRead, Snapshot, StoreError},
    telemetry::Metrics,
};

/// Options of a relay.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Enables gap repair from the log. Fault tests disable it to prove that they detect lost events.
    pub repair: bool,
    /// Maximum age of a client connection; `None` means no limit.
    pub max_age: Option<Duration>,
}

/// Position at which a subscription starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The next published event.
    Now,
    /// The event after this cursor.
    After(Cursor),
    /// The newest events of the log, at most this many, followed by new ones.
    Newest(usize),
    /// The client sent a cursor that does not parse: the subscription starts with a reset.
    Unknown,
}

/// Handle to the hub of this instance. Clones share the same hub.
#[derive(Clone)]
pub struct Relay {
    id: RelayId,
    commands: mpsc::UnboundedSender<Command>,
    feed: Arc<dyn EventFeed>,
    metrics: Arc<Metrics>,
    ready: watch::Receiver<bool>,
    state_readers: Arc<StateReaders>,
    /// Runtime for tasks that outlive a request, because each HTTP worker has a runtime of its own.
    runtime: Handle,
    max_age: Option<Duration>,
}

/// Process-wide unique id of a relay.
///
/// It is part of the key of a thread-local fan-out, because one process can run several relays, as tests do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct RelayId(u64);

impl RelayId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Relay {
    /// Starts the hub on the current runtime and returns its handle and task.
    ///
    /// The task runs until `shutdown` is cancelled and then ends every subscription with [`Ended::ShuttingDown`].
    pub fn start(
        feed: Arc<dyn EventFeed>,
        metrics: Arc<Metrics>,
        options: Options,
        shutdown: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (ready_sender, ready) = watch::channel(false);
        let hub = Hub::new(feed.clone(), metrics.clone(), options, commands.downgrade(), ready_sender);
        let task = tokio::spawn(hub.run(inbox, shutdown));
        let relay = Self {
            id: RelayId::next(),
            commands,
            feed,
            metrics,
            ready,
            state_readers: Arc::default(),
            runtime: Handle::current(),
            max_age: options.max_age,
        };
        (relay, task)
    }

    /// Reports whether the feed is connected and every channel has caught up with its log.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Returns the lifetime of a client connection that starts now.
    pub fn lifetime(&self) -> Lifetime {
        Lifetime::begin(self.max_age)
    }

    /// Subscribes to a topic through a bounded queue of the subscription's own.
    ///
    /// Cancellation safe: dropping the future removes the subscriber from the hub.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the feed or the log cannot be reached.
    pub async fn subscribe(
        &self,
        grant: &ReadGrant,
        start: Start,
        client: &Client,
    ) -> Result<Subscription, StoreError> {
        Subscription::open(self, grant.topic(), start, client).await
    }

    /// Subscribes to a topic through the local fan-out of this thread, which must run a `LocalSet`.
    ///
    /// All local subscriptions of one topic on one thread share one buffer, and a [`DirectSink`] can receive events
    /// without a task wake-up. `encoder` makes the bytes for direct writes; every caller must pass the same one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the feed or the log cannot be reached.
    pub async fn subscribe_local(
        &self,
        grant: &ReadGrant,
        start: Start,
        transport: Transport,
        encoder: EventEncoder,
    ) -> Result<Subscription<LocalSubscription>, StoreError> {
        Subscription::open_local(self, grant.topic(), start, transport, encoder).await
    }

    /// Subscribes to the states of one stream. Returns `None` if the stream does not exist, or if the grant is for all
    /// streams.
    ///
    /// `encode` makes a state's bytes once for all clients of this instance; every caller must pass the same function.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the feed or the store cannot be reached.
    pub async fn follow_state(
        &self,
        grant: &ReadGrant,
        encode: EncodeState,
    ) -> Result<Option<StateUpdates>, StoreError> {
        let Topic::Stream(id) = grant.topic() else { return Ok(None) };
        StateUpdates::open(self, id, encode).await
    }

    /// Returns the newest events of the granted log, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the log cannot be reached.
    pub async fn newest(&self, grant: &ReadGrant, limit: usize) -> Result<Vec<Arc<Event>>, StoreError> {
        self.feed.newest(grant.topic(), limit).await
    }

    /// Returns up to `limit` events of the granted log after a cursor, whatever their size.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the log cannot be reached.
    pub async fn read_after(
        &self,
        grant: &ReadGrant,
        after: Cursor,
        limit: usize,
    ) -> Result<LogRead, StoreError> {
        let (mut all, mut last) = (Vec::new(), after);
        loop {
            // A page is also bounded in bytes, so `limit` events may take several reads.
            match self.feed.read_after(grant.topic(), last, limit - all.len()).await? {
                LogRead::Events { events, complete } => {
                    last = events.last().map_or(last, |event| event.cursor);
                    all.extend(events);
                    if complete || all.len() >= limit {
                        return Ok(LogRead::Events { events: all, complete });
                    }
                }
                reset @ LogRead::Reset(_) => return Ok(reset),
            }
        }
    }

    /// Returns the state of the granted topic and its cursor.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the store cannot be reached.
    pub async fn snapshot(&self, grant: &ReadGrant) -> Result<Snapshot, StoreError> {
        self.feed.snapshot(grant.topic()).await
    }

    /// Registers a subscriber at the hub and returns the channel's position at that moment.
    async fn add_subscriber(&self, topic: Topic, subscriber: Subscriber) -> Result<Cursor, StoreError> {
        let stopped = || StoreError::Unavailable("the relay has stopped".to_owned());
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Subscribe { topic, subscriber, reply }).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    fn unsubscribe(&self, topic: Topic, subscriber: SubscriberId) {
        // A stopped hub has no subscribers left, so the send error has no consequence.
        let _ = self.commands.send(Command::Unsubscribe { topic, subscriber });
    }
}

/// Returns a random factor between 0 and 1, which spreads reconnects and connection ends over time.
fn jitter() -> f64 {
    fastrand::f64()
}
