//! Hub: the task that owns the connection to one source of events and the channels of its topics. An instance has one
//! for each source.

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
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    Ended, Options,
    access::AccessRegistry,
    channel::{Channel, ReadCause},
    log_reader::LogOutcome,
    readiness::Readiness,
    snapshots::Snapshots,
    subscriber::{Subscriber, SubscriberId},
};
use crate::{
    domain::{Cursor, Event, Topic},
    store::{EventFeed, FeedConnection, FeedMessage, Source, StoreError},
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

/// What all hubs of an instance share.
#[derive(Clone)]
pub(super) struct HubParts {
    pub(super) access: AccessRegistry,
    pub(super) snapshots: Snapshots,
    pub(super) feed: Arc<dyn EventFeed>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) options: Options,
    pub(super) readiness: Arc<Readiness>,
    /// Bounds concurrent log reads.
    pub(super) read_slots: Arc<Semaphore>,
}

/// State of the hub task.
pub(super) struct Hub {
    /// The source of the events of this hub's topics.
    source: Source,
    access: AccessRegistry,
    snapshots: Snapshots,
    feed: Arc<dyn EventFeed>,
    metrics: Arc<Metrics>,
    options: Options,
    /// Weak, so that the hub ends when the last [`Relay`](super::Relay) is dropped.
    commands: mpsc::WeakUnboundedSender<Command>,
    readiness: Arc<Readiness>,
    connection: Option<Box<dyn FeedConnection>>,
    channels: HashMap<Topic, Channel>,
    /// Subscribers of channels whose start position is not known yet.
    pending_subscribers: Vec<(Topic, Subscriber, Reply)>,
    /// Channels that have not caught up since the feed connected.
    catching_up: HashSet<Topic>,
    /// Bounds concurrent log reads of all hubs.
    read_slots: Arc<Semaphore>,
    checked_at: Instant,
    /// Send time of the probe that has not come back.
    probed_at: Option<Instant>,
}

impl Hub {
    pub(super) fn new(source: Source, parts: HubParts, commands: mpsc::WeakUnboundedSender<Command>) -> Self {
        let HubParts { access, snapshots, feed, metrics, options, readiness, read_slots } = parts;
        Self {
            source,
            access,
            snapshots,
            feed,
            metrics,
            options,
            commands,
            readiness,
            connection: None,
            channels: HashMap::new(),
            pending_subscribers: Vec::new(),
            catching_up: HashSet::new(),
            read_slots,
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
            Some(FeedMessage::Event { topic, event, previous }) => self.on_event(topic, event, previous),
            Some(FeedMessage::Gap(topic)) => self.on_gap(topic),
            Some(FeedMessage::Lost(topic)) => self.on_lost(topic),
            Some(FeedMessage::Probe) => self.probed_at = None,
            None => self.on_connection_lost("connection closed"),
        }
    }

    fn on_event(&mut self, topic: Topic, event: Arc<Event>, previous: Cursor) {
        let Some(channel) = self.channels.get_mut(&topic) else { return };
        if channel.is_live() {
            self.metrics.relay_lag.observe(lag(&event).as_secs_f64());
        }
        if channel.on_event(event, previous) {
            self.start_read(topic, ReadCause::Sequence);
        }
    }

    /// Reads the log of a live channel. A channel that reads its log repairs the gap already.
    fn on_gap(&mut self, topic: Topic) {
        if self.options.repair && self.channels.get(&topic).is_some_and(Channel::is_live) {
            self.start_read(topic, ReadCause::Sequence);
        }
    }

    /// Resets the clients of a channel, whose position alone does not show the loss.
    fn on_lost(&mut self, topic: Topic) {
        let Some(channel) = self.channels.get_mut(&topic) else { return };
        channel.has_lost_events = channel.last.is_some();
        self.start_read(topic, ReadCause::Sequence);
    }

    fn set_ready(&self, ready: bool) {
        self.readiness.set(self.source, ready);
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
