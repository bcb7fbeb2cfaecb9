//! Hub: the single task of an instance that owns the feed connection and all channels.

mod catch_up;
mod connection;
mod health;
mod subscribers;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    Ended, Options,
    channel::{Channel, ReadCause},
    log_reader::{CONCURRENT_READS, LogOutcome},
    snapshots::Snapshots,
    subscriber::{Subscriber, SubscriberId},
};
use crate::{
    domain::{Cursor, Event, Topic},
    store::{EventFeed, FeedConnection, FeedMessage, StoreError},
    telemetry::Metrics,
};

/// Interval of the hub's periodic work.
const TICK: Duration = Duration::from_secs(1);

/// Answer to a subscribe command: the channel's position when the subscriber was added.
type Reply = oneshot::Sender<Result<Cursor, StoreError>>;

/// Commands to the hub.
pub(super) enum Command {
    /// Adds a subscriber to a topic and replies with the channel's position.
    Subscribe { topic: Topic, subscriber: Subscriber, reply: Reply },
    /// Removes a subscriber. Unknown ids are ignored.
    Unsubscribe { topic: Topic, subscriber: SubscriberId },
    /// A background task of the hub has finished.
    Finished(TaskResult),
}

/// Result of a background task.
pub(super) enum TaskResult {
    /// The feed is connected.
    Connected(Box<dyn FeedConnection>),
    /// A channel's log is read. `generation` identifies the read.
    LogRead { topic: Topic, generation: u64, outcome: LogOutcome },
    /// The tails of the logs are read.
    Tails(Vec<(Topic, Cursor)>),
}

/// State of the hub task.
pub(super) struct Hub {
    snapshots: Snapshots,
    feed: Arc<dyn EventFeed>,
    metrics: Arc<Metrics>,
    options: Options,
    /// Weak, so that the hub ends when the last [`Relay`](super::Relay) is dropped.
    commands: mpsc::WeakUnboundedSender<Command>,
    ready: watch::Sender<bool>,
    connection: Option<Box<dyn FeedConnection>>,
    channels: HashMap<Topic, Channel>,
    /// Subscribers of channels whose start position is not known yet.
    pending_subscribers: Vec<(Topic, Subscriber, Reply)>,
    /// Channels that have not caught up since the feed connected.
    catching_up: HashSet<Topic>,
    /// Bounds concurrent log reads.
    read_slots: Arc<Semaphore>,
    checked_at: Instant,
    /// Send time of the probe that has not come back.
    probed_at: Option<Instant>,
}

impl Hub {
    pub(super) fn new(
        snapshots: Snapshots,
        feed: Arc<dyn EventFeed>,
        metrics: Arc<Metrics>,
        options: Options,
        commands: mpsc::WeakUnboundedSender<Command>,
        ready: watch::Sender<bool>,
    ) -> Self {
        Self {
            snapshots,
            feed,
            metrics,
            options,
            commands,
            ready,
            connection: None,
            channels: HashMap::new(),
            pending_subscribers: Vec::new(),
            catching_up: HashSet::new(),
            read_slots: Arc::new(Semaphore::new(CONCURRENT_READS)),
            checked_at: Instant::now(),
            probed_at: None,
        }
    }

    /// Runs until `shutdown` is cancelled or every [`Relay`](super::Relay) is dropped, then ends all subscriptions.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Command>,
        shutdown: CancellationToken,
    ) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.connect();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                message = next_message(self.connection.as_mut()) => self.on_message(message),
                command = inbox.recv() => match command {
                    Some(command) => self.handle_command(command).await,
                    None => break,
                },
                _ = tick.tick() => self.on_tick().await,
            }
        }
        self.stop();
    }

    fn stop(&mut self) {
        for channel in self.channels.values_mut() {
            channel.stop_reading();
            channel.end(Ended::ShuttingDown);
        }
        self.set_ready(false);
    }

    async fn handle_command(&mut self, command: Command) {
        match command {
            Command::Subscribe { topic, subscriber, reply } => {
                self.subscribe(topic, subscriber, reply).await;
            }
            Command::Unsubscribe { topic, subscriber } => self.unsubscribe(topic, subscriber),
            Command::Finished(TaskResult::Connected(connection)) => self.on_connected(connection).await,
            Command::Finished(TaskResult::LogRead { topic, generation, outcome }) => {
                self.on_log_read(topic, generation, outcome);
            }
            Command::Finished(TaskResult::Tails(tails)) => self.compare_tails(tails),
        }
    }

    /// Handles a message of the feed; `None` means that the connection is lost.
    fn on_message(&mut self, message: Option<FeedMessage>) {
        match message {
            Some(FeedMessage::Event(topic, event)) => self.on_event(topic, event),
            Some(FeedMessage::Probe) => self.probed_at = None,
            None => self.on_connection_lost("connection closed"),
        }
    }

    fn on_event(&mut self, topic: Topic, event: Arc<Event>) {
        let Some(channel) = self.channels.get_mut(&topic) else { return };
        if channel.is_live() {
            self.metrics.relay_lag.observe(lag(&event).as_secs_f64());
        }
        if channel.on_event(event) {
            self.start_read(topic, ReadCause::Sequence);
        }
    }

    fn set_ready(&self, ready: bool) {
        self.metrics.feed_up.set(i64::from(ready));
        self.ready.send_replace(ready);
    }

    /// Sets readiness: the feed is connected and no channel is catching up.
    fn update_ready(&self) {
        self.set_ready(self.connection.is_some() && self.catching_up.is_empty());
    }
}

/// Returns the time since the event was stored. Clock skew between hosts can make it negative; it is then zero.
fn lag(event: &Event) -> Duration {
    let millis = chrono::Utc::now().timestamp_millis() - event.timestamp.as_millis();
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

/// Receives from the connection, or waits forever without one.
async fn next_message(connection: Option<&mut Box<dyn FeedConnection>>) -> Option<FeedMessage> {
    match connection {
        Some(connection) => connection.next().await,
        None => std::future::pending().await,
    }
}

/// Sends a task's result to the hub, unless every [`Relay`](super::Relay) is dropped.
fn send(commands: &mpsc::WeakUnboundedSender<Command>, result: TaskResult) {
    if let Some(commands) = commands.upgrade() {
        // A stopped hub needs no results, so the send error has no consequence.
        let _ = commands.send(Command::Finished(result));
    }
}
