//! A copy of a log, read directly from Redis, which keeps the entries that Redis loses. The log of all streams is that
//! of all partitions.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use livestream_orchestrator::{
    domain::{Partition, Partitioning},
    store::redis::hash_tag,
};
use redis::{AsyncCommands, RedisResult, aio::MultiplexedConnection};
use tokio::{task::JoinHandle, time::sleep};

use super::{Position, position};
use crate::support::app::test_partitioning;

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// An entry that the log has or had.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogEntry {
    pub position: Position,
    /// Number of data losses before the entry was read.
    pub epoch: usize,
    /// True if Redis lost the entry after it was read.
    pub lost_by_redis: bool,
}

/// All entries that a log has had.
#[derive(Clone, Debug, Default)]
pub struct LogCopy {
    pub entries: Vec<LogEntry>,
    /// Number of data losses until now.
    pub epoch: usize,
}

impl LogCopy {
    /// Marks entries that are not in `present` as lost.
    fn mark_lost(&mut self, present: &HashSet<Position>) {
        self.epoch += 1;
        // Entries older than the oldest present one may have been trimmed.
        let oldest = present.iter().min().copied();
        for entry in &mut self.entries {
            let is_untrimmed = oldest.is_none_or(|oldest| entry.position > oldest);
            entry.lost_by_redis |= is_untrimmed && !present.contains(&entry.position);
        }
    }

    fn last(&self) -> Option<Position> {
        self.entries.last().map(|entry| entry.position)
    }

    fn newest(&self) -> Option<Position> {
        let mut newest_first = self.entries.iter().rev();
        newest_first.find(|entry| !entry.lost_by_redis).map(|entry| entry.position)
    }
}

/// Copies the log of a topic in the background, independently of the instances and their clients.
pub struct LogAuditor(Vec<KeyAuditor>);

/// Copies the log in one key.
struct KeyAuditor {
    log: Arc<Mutex<LogCopy>>,
    task: JoinHandle<()>,
}

impl Drop for KeyAuditor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// URL of the server that has the logs. A test changes it after a failover or a slot migration.
pub type SharedUrl = Arc<Mutex<String>>;

impl LogAuditor {
    /// Copies the log of one stream, or of all streams (`None`).
    pub fn start(redis: &str, prefix: &str, stream: Option<&str>) -> Self {
        Self::start_at(&Arc::new(Mutex::new(redis.to_owned())), prefix, stream)
    }

    /// As [`Self::start`], at a server that may change.
    pub fn start_at(redis: &SharedUrl, prefix: &str, stream: Option<&str>) -> Self {
        Self::start_in(prefix, test_partitioning(), |_| redis.clone(), stream)
    }

    /// As [`Self::start`], with partitions on several servers.
    pub fn start_in(
        prefix: &str,
        partitioning: Partitioning,
        server: impl Fn(Partition) -> SharedUrl,
        stream: Option<&str>,
    ) -> Self {
        let own = stream.map(|id| partitioning.of_stream(id.parse().expect("an id")));
        let is_read = |partition: &Partition| own.is_none_or(|own| own == *partition);
        let start = |partition| {
            KeyAuditor::start(server(partition), &hash_tag(prefix, partition, partitioning), stream)
        };
        Self(partitioning.all().filter(is_read).map(start).collect())
    }

    /// Returns the log, in the order of the cursors.
    pub fn log(&self) -> LogCopy {
        let logs: Vec<_> = self.0.iter().map(|one| one.log.lock().unwrap().clone()).collect();
        let epoch = logs.iter().map(|log| log.epoch).max().unwrap_or_default();
        // The last epoch of each log is the last one of the merged log.
        let aligned = |log: LogCopy| {
            let later = epoch - log.epoch;
            log.entries.into_iter().map(move |entry| LogEntry { epoch: entry.epoch + later, ..entry })
        };
        let mut entries: Vec<_> = logs.into_iter().flat_map(aligned).collect();
        entries.sort_by_key(|entry| entry.position);
        LogCopy { entries, epoch }
    }

    /// Position of the newest entry that was read and that Redis has not lost.
    pub fn newest(&self) -> Option<Position> {
        self.0.iter().filter_map(|one| one.log.lock().unwrap().newest()).max()
    }

    /// Whether Redis has lost an entry that was read.
    pub fn has_lost(&self, position: Position) -> bool {
        self.log().entries.iter().any(|entry| entry.lost_by_redis && entry.position == position)
    }
}

impl KeyAuditor {
    fn start(redis: SharedUrl, tag: &str, stream: Option<&str>) -> Self {
        let key = match stream {
            Some(id) => format!("{{{tag}}}:stream:{id}:log"),
            None => format!("{{{tag}}}:events"),
        };
        let log = Arc::<Mutex<LogCopy>>::default();
        let task = tokio::spawn(copy(redis, key, log.clone()));
        Self { log, task }
    }
}

type Entries = Vec<(String, Vec<(String, redis::Value)>)>;

/// Connects to the current server and copies, again and again.
async fn copy(redis: SharedUrl, key: String, log: Arc<Mutex<LogCopy>>) {
    loop {
        let url = redis.lock().unwrap().clone();
        let client = redis::Client::open(&*url).unwrap();
        if let Ok(mut connection) = client.get_multiplexed_async_connection().await
            && detect_loss(&mut connection, &key, &log).await.is_ok()
        {
            let is_replaced = || *redis.lock().unwrap() != url;
            copy_new_entries(&mut connection, &key, &log, is_replaced).await;
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Marks lost entries if the newest copied entry is no longer in the log.
async fn detect_loss(
    connection: &mut MultiplexedConnection,
    key: &str,
    log: &Mutex<LogCopy>,
) -> RedisResult<()> {
    let Some((millis, count)) = log.lock().unwrap().last() else { return Ok(()) };
    let id = format!("{millis}-{count}");
    let newest: RedisResult<Entries> = connection.xrange(key, &id, &id).await;
    if newest.is_ok_and(|entries| entries.is_empty()) {
        let present: Entries = connection.xrange_all(key).await?;
        log.lock().unwrap().mark_lost(&present.iter().map(|(id, _)| position(id)).collect());
    }
    Ok(())
}

/// Polls the log until the connection fails or the server is replaced.
async fn copy_new_entries(
    connection: &mut MultiplexedConnection,
    key: &str,
    log: &Mutex<LogCopy>,
    is_replaced: impl Fn() -> bool,
) {
    while !is_replaced() {
        let last = log.lock().unwrap().last();
        let after = last.map_or("-".to_owned(), |(millis, count)| format!("({millis}-{count}"));
        let read: RedisResult<Entries> = connection.xrange(key, after, "+").await;
        let Ok(entries) = read else { return };
        {
            let mut log = log.lock().unwrap();
            let epoch = log.epoch;
            let entry =
                |(id, _): (String, _)| LogEntry { position: position(&id), epoch, lost_by_redis: false };
            log.entries.extend(entries.into_iter().map(entry));
        }
        sleep(POLL_INTERVAL).await;
    }
}
