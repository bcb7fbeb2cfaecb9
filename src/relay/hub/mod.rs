//! The one task of an instance that owns its feed connection and its channels.

mod checks;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    Command, Ended, Options,
    channel::{Cause, Channel, Phase},
    repair::{self, CONCURRENT_READS, Repair},
    seat::Seat,
};
use crate::{
    domain::{Cursor, Event},
    store::{EventFeed, FeedConnection, FeedMessage, StoreError, Topic},
    telemetry::Metrics,
};

const TICK: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What was started in the background and is done.
pub(super) enum Done {
    Connected(Box<dyn FeedConnection>),
    Read { topic: Topic, generation: u64, repair: Repair },
    Tails(Vec<(Topic, Cursor)>),
}

type Reply = oneshot::Sender<Result<Cursor, StoreError>>;

/// See the module's words.
pub(super) struct Hub {
    feed: Arc<dyn EventFeed>,
    metrics: Arc<Metrics>,
    options: Options,
    commands: mpsc::WeakUnboundedSender<Command>,
    ready: watch::Sender<bool>,
    connection: Option<Box<dyn FeedConnection>>,
    channels: HashMap<Topic, Channel>,
    /// Who waits for a channel to begin.
    waiting: Vec<(Topic, Seat, Reply)>,
    /// Channels that have not caught up since the connection was made.
    catching_up: HashSet<Topic>,
    slots: Arc<Semaphore>,
    checked_at: Instant,
    probed_at: Option<Instant>,
}

impl Hub {
    pub(super) fn new(
        feed: Arc<dyn EventFeed>,
        metrics: Arc<Metrics>,
        options: Options,
        commands: mpsc::WeakUnboundedSender<Command>,
        ready: watch::Sender<bool>,
    ) -> Self {
        Self {
            feed,
            metrics,
            options,
            commands,
            ready,
            connection: None,
            channels: HashMap::new(),
            waiting: Vec::new(),
            catching_up: HashSet::new(),
            slots: Arc::new(Semaphore::new(CONCURRENT_READS)),
            checked_at: Instant::now(),
            probed_at: None,
        }
    }

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
                message = next_message(self.connection.as_mut()) => self.hear(message),
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => break,
                },
                _ = tick.tick() => self.tick().await,
            }
        }
        for channel in self.channels.values_mut() {
            channel.stop_reading();
            channel.end(Ended::ShuttingDown);
        }
        self.set_ready(false);
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Join { topic, seat, reply } => self.join(topic, seat, reply).await,
            Command::Leave { topic, seat } => {
                self.waiting.retain(|(_, waiting, _)| waiting.id != seat);
                if let Some(channel) = self.channels.get_mut(&topic) {
                    channel.vacate(seat);
                }
            }
            Command::Done(Done::Connected(connection)) => self.connected(connection).await,
            Command::Done(Done::Read { topic, generation, repair }) => {
                self.repaired(topic, generation, repair);
            }
            Command::Done(Done::Tails(tails)) => self.compare(tails),
        }
    }

    async fn join(&mut self, topic: Topic, seat: Seat, reply: Reply) {
        if self.connection.is_none() {
            let _ = reply.send(Err(StoreError::Unavailable("the feed is not connected".to_owned())));
            return;
        }
        if let Entry::Vacant(vacant) = self.channels.entry(topic) {
            vacant.insert(Channel::new(topic, self.options.repair));
            if !self.listen(&[topic]).await {
                let _ = reply.send(Err(StoreError::Unavailable("the feed has just been lost".to_owned())));
                return;
            }
            self.read(topic, Cause::Begin);
        }
        if let Some(channel) = self.channels.get_mut(&topic) {
            channel.empty_since = None;
        }
        self.waiting.push((topic, seat, reply));
        self.seat_waiting(topic);
    }

    /// Seats those who wait for this channel, if it has begun.
    fn seat_waiting(&mut self, topic: Topic) {
        let Some(channel) = self.channels.get_mut(&topic) else { return };
        let Some(last) = channel.last else { return };
        for (_, seat, reply) in self.waiting.extract_if(.., |(waiting, ..)| *waiting == topic) {
            let id = seat.id;
            channel.seat(seat);
            if reply.send(Ok(last)).is_err() {
                channel.vacate(id);
            }
        }
    }

    /// Starts delivery of these topics; says whether the connection took it.
    async fn listen(&mut self, topics: &[Topic]) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        match connection.subscribe(topics).await {
            Ok(()) => true,
            Err(error) => {
                self.lose(&error.to_string());
                false
            }
        }
    }

    fn hear(&mut self, message: Option<FeedMessage>) {
        match message {
            Some(FeedMessage::Event(topic, event)) => self.pass_on(topic, event),
            Some(FeedMessage::Probe) => self.probed_at = None,
            None => self.lose("the connection was closed"),
        }
    }

    fn pass_on(&mut self, topic: Topic, event: Arc<Event>) {
        let Some(channel) = self.channels.get_mut(&topic) else { return };
        if channel.is_live() {
            self.metrics.relay_lag.observe(lag(&event).as_secs_f64());
        }
        if channel.offer(event) {
            self.read(topic, Cause::Sequence);
        }
    }

    /// Reads the channel's log in the background: where it begins, or what it missed.
    fn read(&mut self, topic: Topic, cause: Cause) {
        let Some(channel) = self.channels.get_mut(&topic) else { return };
        channel.stop_reading();
        if channel.last.is_some() && !self.options.repair {
            channel.phase = Phase::Live;
            return self.caught_up(topic);
        }
        let (commands, generation) = (self.commands.clone(), channel.generation);
        let reading = repair::read(self.feed.clone(), self.slots.clone(), topic, channel.last);
        let task = tokio::spawn(async move {
            let repair = reading.await;
            send(&commands, Done::Read { topic, generation, repair });
        });
        channel.phase = Phase::Reading { task: task.abort_handle(), cause };
    }

    fn repaired(&mut self, topic: Topic, generation: u64, repair: Repair) {
        let current = |channel: &&mut Channel| channel.generation == generation;
        let Some(channel) = self.channels.get_mut(&topic).filter(current) else { return };
        match repair {
            Repair::Begin(cursor) => channel.last = Some(cursor),
            Repair::Missed { events, complete } => {
                let found_by = channel.cause().and_then(Cause::found_by).filter(|_| !events.is_empty());
                if let Some(found_by) = found_by {
                    self.metrics.gaps.with_label_values(&[found_by]).inc();
                }
                for event in &events {
                    self.metrics.relay_lag.observe(lag(event).as_secs_f64());
                    self.metrics.repaired_events.inc();
                }
                channel.catch_up(events);
                if !complete {
                    return self.read(topic, Cause::NextPage);
                }
            }
            Repair::Reset(reset) => {
                tracing::warn!(?topic, reason = reset.reason, "clients are told to start again");
                self.metrics.resets.with_label_values(&[reset.reason]).inc();
                channel.reset(reset);
            }
        }
        // Seated before what has waited is passed on, at the position that it follows.
        self.seat_waiting(topic);
        let gap = self.channels.get_mut(&topic).is_some_and(Channel::go_live);
        if gap {
            self.read(topic, Cause::Sequence);
        } else {
            self.caught_up(topic);
        }
    }

    fn caught_up(&mut self, topic: Topic) {
        self.catching_up.remove(&topic);
        self.set_ready(self.connection.is_some() && self.catching_up.is_empty());
    }

    /// Opens a connection in the background, however long it takes.
    fn connect(&self) {
        let (feed, commands) = (self.feed.clone(), self.commands.clone());
        tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            while commands.strong_count() > 0 {
                match feed.connect().await {
                    Ok(connection) => return send(&commands, Done::Connected(connection)),
                    Err(error) => tracing::warn!(%error, "the feed cannot be connected; trying again"),
                }
                sleep(pause.mul_f64(0.5 + super::jitter())).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }

    async fn connected(&mut self, connection: Box<dyn FeedConnection>) {
        self.connection = Some(connection);
        self.probed_at = None;
        self.checked_at = Instant::now();
        let topics: Vec<_> = self.channels.keys().copied().collect();
        if !self.listen(&topics).await {
            return;
        }
        tracing::info!(channels = topics.len(), "the feed is connected");
        self.metrics.feed_connects.inc();
        self.catching_up = topics.iter().copied().collect();
        self.set_ready(topics.is_empty());
        for topic in topics {
            self.read(topic, Cause::Reconnect);
        }
    }

    fn lose(&mut self, why: &str) {
        self.probed_at = None;
        if self.connection.is_none() {
            // A connection is being made already.
            return;
        }
        tracing::warn!(why, "the feed is lost; connecting again");
        self.connection = None;
        self.set_ready(false);
        for channel in self.channels.values_mut() {
            channel.cut();
        }
        // Channels that never began have nobody seated; who waits for one is told to come back.
        self.channels.retain(|_, channel| channel.last.is_some());
        for (_, _, reply) in self.waiting.drain(..) {
            let _ = reply.send(Err(StoreError::Unavailable("the feed has just been lost".to_owned())));
        }
        self.connect();
    }

    fn set_ready(&self, ready: bool) {
        self.metrics.feed_up.set(i64::from(ready));
        self.ready.send_replace(ready);
    }
}

/// How long ago the event happened. Clocks differ: what seems to come from the future took no time.
fn lag(event: &Event) -> Duration {
    let millis = chrono::Utc::now().timestamp_millis() - event.timestamp.as_millis();
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

async fn next_message(connection: Option<&mut Box<dyn FeedConnection>>) -> Option<FeedMessage> {
    match connection {
        Some(connection) => connection.next().await,
        None => std::future::pending().await,
    }
}

fn send(commands: &mpsc::WeakUnboundedSender<Command>, done: Done) {
    if let Some(commands) = commands.upgrade() {
        // The hub has ended: nobody needs it any more.
        let _ = commands.send(Command::Done(done));
    }
}
