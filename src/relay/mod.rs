//! This instance's clients: one feed in, many bounded queues out.
//!
//! The feed is at most once. The relay makes it exactly once and in order for every client:
//!
//! - A client joins a channel at a known position and reads the log from its own cursor up to there; what the log and
//!   the feed both have is dropped by cursor.
//! - Every event names the one before it. One that does not follow is a gap, and the channel's log is read, once for all
//!   its clients. Where the log cannot say that nothing is missing, the clients are told to start again (`reset`).
//! - A connection that breaks is made again and caught up from the logs. One that has gone silent is found by comparing
//!   the tails of the logs and by a probe.
//! - A client is a bounded queue. One that does not keep up is cut off; nobody waits for anybody.

mod channel;
mod counted;
mod frame;
mod hall;
mod hub;
mod lifetime;
mod queue;
mod repair;
mod seat;
mod state;
mod subscription;

use std::sync::Arc;

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub use self::{
    frame::{EventFrame, ResetFrame},
    hall::{Given, Listener, Outlet},
    lifetime::Lifetime,
    seat::{Client, Delivery, Ended, Transport},
    state::{StateFrame, StateUpdates},
    subscription::Subscription,
};
use self::{hub::Hub, seat::Seat, state::States};
use crate::{
    domain::{Cursor, StreamId},
    store::{EventFeed, StoreError, Topic},
    telemetry::Metrics,
};

/// How a relay behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether what the feed lost is read from the log. Tests switch it off to show that they would see a loss.
    pub repair: bool,
    /// How long a client's connection may last; none for ever.
    pub max_age: Option<std::time::Duration>,
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the next event.
    Now,
    /// With the event after this one.
    After(Cursor),
    /// With so many of the newest events.
    Newest(usize),
    /// From something that is no cursor: with a reset.
    Unknown,
}

/// What the hub is asked to do.
enum Command {
    /// Give a client a seat; the answer is the position that the channel has reached.
    Join { topic: Topic, seat: Seat, reply: oneshot::Sender<Result<Cursor, StoreError>> },
    /// Somebody left.
    Leave { topic: Topic, seat: u64 },
    /// Something that was started in the background is done.
    Done(hub::Done),
}

/// The way to this instance's hub. Clones lead to the same one.
#[derive(Clone)]
pub struct Relay {
    commands: mpsc::UnboundedSender<Command>,
    feed: Arc<dyn EventFeed>,
    metrics: Arc<Metrics>,
    ready: watch::Receiver<bool>,
    states: Arc<States>,
    /// Where what outlives a request runs: HTTP workers have runtimes of their own.
    runtime: Handle,
    max_age: Option<std::time::Duration>,
}

impl Relay {
    /// Starts the hub on this runtime; it runs until `shutdown`, and ends every subscription then.
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
        let (states, runtime) = (Arc::default(), Handle::current());
        (Self { commands, feed, metrics, ready, states, runtime, max_age: options.max_age }, task)
    }

    /// Whether what is published reaches this instance, and everything that it missed has been caught up with.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// How long a client's connection that begins now may last.
    pub fn lifetime(&self) -> Lifetime {
        Lifetime::begin(self.max_age)
    }

    /// Follows a topic.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the feed or the log cannot be reached.
    pub async fn subscribe(
        &self,
        topic: Topic,
        start: Start,
        client: &Client,
    ) -> Result<Subscription, StoreError> {
        Subscription::open(self, topic, start, client).await
    }

    /// As [`Self::subscribe`], together with all others who follow the topic so on this thread, which must run a `LocalSet`:
    /// what they wait for is kept once for all of them, and they can be given events directly.
    ///
    /// # Errors
    /// As there.
    pub async fn subscribe_here(
        &self,
        topic: Topic,
        start: Start,
        transport: Transport,
    ) -> Result<Subscription<Listener>, StoreError> {
        Subscription::enter(self, topic, start, transport).await
    }

    /// Follows the states of one stream, the newest at a time. None where there is no such stream.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the feed or the store cannot be reached.
    pub async fn follow_state(&self, id: StreamId) -> Result<Option<StateUpdates>, StoreError> {
        StateUpdates::open(self, id).await
    }

    /// The logs, for history.
    pub fn feed(&self) -> &dyn EventFeed {
        &*self.feed
    }

    async fn join(&self, topic: Topic, seat: Seat) -> Result<Cursor, StoreError> {
        let gone = || StoreError::Unavailable("the relay has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Join { topic, seat, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    fn leave(&self, topic: Topic, seat: u64) {
        // After the hub has ended there is no seat to give up.
        let _ = self.commands.send(Command::Leave { topic, seat });
    }
}

/// Between 0 and 1, so that what was lost or begun together does not come back or end together.
fn jitter() -> f64 {
    fastrand::f64()
}
