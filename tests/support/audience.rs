//! An audience: clients that follow, lose their connections and resume, each writing down what it hears; and the log
//! beside it, which says what they should have heard.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use redis::AsyncCommands;
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{
    follower::{Address, Heard, Link, Transport},
    within,
};

/// A cursor, to be compared: the product's clients never do.
pub type Position = (u64, u64);

pub fn position(cursor: &str) -> Position {
    let (millis, count) = cursor.split_once('-').unwrap_or_else(|| panic!("{cursor} is no cursor"));
    (millis.parse().unwrap(), count.parse().unwrap())
}

pub fn now_millis() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// How long a client waits before it comes back.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// Hardly, so that tests are quick.
    Little,
    /// As long as it was told, as EventSource does.
    AsTold,
}

impl Patience {
    fn after(self, hint: Option<Duration>) -> Duration {
        match self {
            Self::Little => Duration::from_millis(20),
            Self::AsTold => hint.unwrap_or(Duration::from_secs(1)),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Entry {
    Event { position: Position, seq: u64, at: i64, received: i64 },
    Reset { reason: String, position: Position, received: i64 },
}

/// What one client wrote down.
#[derive(Debug, Default)]
pub struct Diary {
    /// Where it began.
    pub from: Option<Position>,
    pub entries: Vec<Entry>,
    /// How often it lost its connection.
    pub cuts: usize,
    pub complete: bool,
}

impl Diary {
    /// The newest position that it has come to.
    pub fn reached(&self) -> Option<Position> {
        match self.entries.last() {
            Some(Entry::Event { position, .. } | Entry::Reset { position, .. }) => Some(*position),
            None => self.from,
        }
    }

    pub fn resets(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| matches!(entry, Entry::Reset { .. }))
    }

    /// Milliseconds from each event to its receipt.
    pub fn delays(&self) -> Vec<i64> {
        let delay = |entry: &Entry| match entry {
            Entry::Event { at, received, .. } => Some((received - at).max(0)),
            Entry::Reset { .. } => None,
        };
        self.entries.iter().filter_map(delay).collect()
    }

    /// When it first was at or past a position.
    pub fn when_at(&self, wanted: Position) -> Option<i64> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Event { position, received, .. } if *position >= wanted => Some(*received),
            Entry::Reset { received, .. } if self.complete => Some(*received),
            _ => None,
        })
    }
}

/// A client that comes back whenever its connection ends, to the next instance each time.
pub struct Follower {
    pub transport: Transport,
    /// One stream, or all of them.
    pub stream: Option<String>,
    diary: watch::Receiver<Diary>,
    task: JoinHandle<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follower {
    /// Starts on the first of `instances`; returns once it is connected.
    pub async fn start(
        instances: Vec<Address>,
        transport: Transport,
        stream: Option<String>,
        patience: Patience,
    ) -> Self {
        let (sender, diary) = watch::channel(Diary::default());
        let task = tokio::spawn(follow(instances, transport, stream.clone(), patience, sender));
        let mut follower = Self { transport, stream, diary, task };
        follower.wait_for("a connection", |diary| diary.from.is_some()).await;
        follower
    }

    pub async fn wait_for(&mut self, what: &str, condition: impl FnMut(&Diary) -> bool) {
        let what = format!("{what} ({:?}, {:?})", self.transport, self.stream);
        let _found = within(&what, self.diary.wait_for(condition)).await.unwrap();
    }

    pub fn diary(&self) -> watch::Ref<'_, Diary> {
        self.diary.borrow()
    }
}

async fn follow(
    instances: Vec<Address>,
    transport: Transport,
    stream: Option<String>,
    patience: Patience,
    diary: watch::Sender<Diary>,
) {
    let (mut at, mut cursor) = (0, None::<String>);
    loop {
        let instance = &instances[at % instances.len()];
        let opened = Link::open(instance, transport, stream.as_deref(), cursor.as_deref()).await;
        at += 1;
        let Ok(mut link) = opened else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        if cursor.is_none() && !link.from.is_empty() {
            cursor = Some(link.from.clone());
            diary.send_modify(|diary| diary.from = Some(position(&link.from)));
        }
        let hint = loop {
            let heard = link.next().await;
            let received = now_millis();
            match heard {
                Heard::Event(seen) => {
                    let position = position(&seen.cursor);
                    cursor = Some(seen.cursor);
                    let entry = Entry::Event { position, seq: seen.seq, at: seen.at, received };
                    diary.send_modify(|diary| diary.entries.push(entry));
                }
                Heard::Reset { reason, cursor: to } => {
                    let entry = Entry::Reset { reason, position: position(&to), received };
                    cursor = Some(to);
                    diary.send_modify(|diary| diary.entries.push(entry));
                }
                Heard::Complete => return diary.send_modify(|diary| diary.complete = true),
                Heard::Cut(hint) => break hint,
            }
        };
        diary.send_modify(|diary| diary.cuts += 1);
        sleep(patience.after(hint)).await;
    }
}

/// One entry of a log as Redis had it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logged {
    pub position: Position,
    /// Counts how often Redis had forgotten what it had.
    pub epoch: usize,
    /// Whether Redis has forgotten it since.
    pub forgotten: bool,
}

/// What a log has held.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub entries: Vec<Logged>,
    /// The present one.
    pub epoch: usize,
}

impl Log {
    /// Redis has only these now.
    fn forget(&mut self, held: &HashSet<Position>) {
        self.epoch += 1;
        // What is older may have been trimmed.
        let oldest = held.iter().min().copied();
        for logged in &mut self.entries {
            let in_reach = oldest.is_none_or(|oldest| logged.position > oldest);
            logged.forgotten |= in_reach && !held.contains(&logged.position);
        }
    }

    fn last(&self) -> Option<Position> {
        self.entries.last().map(|logged| logged.position)
    }
}

/// Reads a log from Redis itself, past every client and every instance, and keeps what Redis forgets.
pub struct Auditor {
    log: Arc<Mutex<Log>>,
    task: JoinHandle<()>,
}

impl Drop for Auditor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where the server is that has the logs now, as a URL; a test changes it.
pub type Whereabouts = Arc<Mutex<String>>;

impl Auditor {
    /// The log of one stream, or of all.
    pub fn of(redis: &str, prefix: &str, stream: Option<&str>) -> Self {
        Self::following(&Arc::new(Mutex::new(redis.to_owned())), prefix, stream)
    }

    /// As [`Self::of`], on whichever server has the log.
    pub fn following(redis: &Whereabouts, prefix: &str, stream: Option<&str>) -> Self {
        let key = match stream {
            Some(id) => format!("{{{prefix}}}:stream:{id}:log"),
            None => format!("{{{prefix}}}:events"),
        };
        let log = Arc::<Mutex<Log>>::default();
        let task = tokio::spawn(audit(redis.clone(), key, log.clone()));
        Self { log, task }
    }

    pub fn log(&self) -> Log {
        self.log.lock().unwrap().clone()
    }

    /// The newest position that it has seen.
    pub fn newest(&self) -> Option<Position> {
        self.log.lock().unwrap().last()
    }
}

type Entries = Vec<(String, Vec<(String, redis::Value)>)>;

async fn audit(redis: Whereabouts, key: String, log: Arc<Mutex<Log>>) {
    loop {
        let url = redis.lock().unwrap().clone();
        let client = redis::Client::open(&*url).unwrap();
        if let Ok(mut connection) = client.get_multiplexed_async_connection().await {
            let last = log.lock().unwrap().last();
            if let Some((millis, count)) = last {
                let id = format!("{millis}-{count}");
                let kept: Result<Entries, _> = connection.xrange(&key, &id, &id).await;
                if kept.is_ok_and(|entries| entries.is_empty()) {
                    let held: Result<Entries, _> = connection.xrange_all(&key).await;
                    let Ok(held) = held else { continue };
                    log.lock().unwrap().forget(&held.iter().map(|(id, _)| position(id)).collect());
                }
            }
            let moved = || *redis.lock().unwrap() != url;
            read_on(&mut connection, &key, &log, moved).await;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Reads until the connection is lost, or the log is elsewhere.
async fn read_on(
    connection: &mut redis::aio::MultiplexedConnection,
    key: &str,
    log: &Mutex<Log>,
    moved: impl Fn() -> bool,
) {
    while !moved() {
        let last = log.lock().unwrap().last();
        let after = last.map_or("-".to_owned(), |(millis, count)| format!("({millis}-{count}"));
        let read: Result<Entries, _> = connection.xrange(key, after, "+").await;
        let Ok(entries) = read else { return };
        {
            let mut log = log.lock().unwrap();
            let epoch = log.epoch;
            let logged = |(id, _): (String, _)| Logged { position: position(&id), epoch, forgotten: false };
            log.entries.extend(entries.into_iter().map(logged));
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// What became of a log on its way to one client.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    pub received: usize,
    /// In the log, never received, and no reset to account for it.
    pub lost: usize,
    pub doubled: usize,
    pub disordered: usize,
    /// Heard, forgotten by Redis, and no reset said so.
    pub untold: usize,
    pub resets: BTreeMap<String, usize>,
}

impl Verdict {
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.disordered += other.disordered;
        self.untold += other.untold;
        for (reason, count) in &other.resets {
            *self.resets.entry(reason.clone()).or_default() += count;
        }
    }

    /// Every event, once, in order, and never told to start again.
    pub fn is_perfect(&self) -> bool {
        self.is_honest() && self.resets.is_empty()
    }

    /// Every event, once, in order, or told to start again.
    pub fn is_honest(&self) -> bool {
        self.lost + self.doubled + self.disordered + self.untold == 0
    }
}

/// Compares what a client wrote down with its topic's log.
pub fn judge(diary: &Diary, log: &Log) -> Verdict {
    let mut verdict = Verdict::default();
    let from = diary.from.expect("it was connected");
    let (mut seen, mut accounted, mut last) = (HashSet::new(), HashSet::new(), from);
    let forgotten: HashSet<_> =
        log.entries.iter().filter(|logged| logged.forgotten).map(|logged| logged.position).collect();
    for entry in &diary.entries {
        match entry {
            Entry::Event { position, .. } => {
                if !seen.insert(*position) {
                    verdict.doubled += 1;
                } else if *position < last {
                    verdict.disordered += 1;
                }
                last = *position;
                verdict.untold += usize::from(forgotten.contains(position));
            }
            Entry::Reset { reason, position, received } => {
                *verdict.resets.entry(reason.clone()).or_default() += 1;
                verdict.untold = 0;
                // The snapshot stands for everything up to it, and for what Redis had forgotten by then.
                let forgotten = |logged: &Logged| {
                    logged.epoch < log.epoch && logged.position.0 <= u64::try_from(*received).unwrap()
                };
                let stands_for = |logged: &&Logged| logged.position <= *position || forgotten(logged);
                accounted.extend(log.entries.iter().filter(stands_for).map(|logged| logged.position));
                last = *position;
            }
        }
    }
    verdict.received = seen.len();
    let missing = |logged: &&Logged| {
        let known = seen.contains(&logged.position) || accounted.contains(&logged.position);
        logged.position > from && !known && !logged.forgotten
    };
    verdict.lost = log.entries.iter().filter(missing).count();
    verdict
}
