//! Kills of everything that makes the history, under load, and the comparison of its rows with the logs.

mod load;
mod rows;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use livestream_orchestrator::{
    domain::Partition,
    history::{DatabaseAddress, HistoryStore, Log, open},
};
use tokio::time::Instant;

use self::load::Load;
pub use self::{
    load::send,
    rows::{events_of, log_of},
};
use super::{
    eventually, eventually_or_none,
    instance::Instance,
    servers::{Postgres, Redis, shared_livekit},
    unique,
};

/// Settings with which the logs hold everything until the comparison.
const SETTINGS: [(&str, &str); 5] = [
    ("STOPPED_TTL", "1h"),
    ("LOG_RETENTION", "1h"),
    ("LOG_MAX_EVENTS", "100000"),
    ("LOG_MAX_BYTES", "100000000"),
    // Viewers are not connected to LiveKit, so a reconciliation would end their visits.
    ("RECONCILE_INTERVAL", "1h"),
];
/// Maximum number of acknowledged changes between two kills.
const CHANGES: usize = 60;

/// What is killed, with SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The instance that archives.
    Archiver,
    /// Redis, which restarts with its data (`appendfsync always`).
    Redis,
    Postgres,
}

impl Victim {
    pub const ALL: [Self; 3] = [Self::Archiver, Self::Redis, Self::Postgres];
}

/// Rows in comparison with the logs.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub events: usize,
    pub visits: usize,
    /// Events and visits without a row.
    pub missing: usize,
    /// Rows that are no event of the logs, or another time the same one.
    pub unexpected: usize,
    /// Rows that say that events may be missing.
    pub gaps: usize,
    /// Time from the end of the load until the rows were complete.
    pub caught_up: Duration,
}

/// A deployment of two instances under load.
pub struct Deployment {
    redis: Redis,
    postgres: Postgres,
    instances: [Instance; 2],
    store: Arc<dyn HistoryStore>,
    load: Load,
}

impl Deployment {
    pub async fn start() -> Self {
        let (redis, postgres, prefix) = (Redis::start_durable(), Postgres::start(), unique("history"));
        let database = postgres.create_database().await;
        let store = open(&DatabaseAddress::parse(&database.clone().into()).unwrap());
        let mut instances = [(); 2].map(|()| {
            let instance = Instance::new(&redis.url(), shared_livekit(), &prefix);
            let instance = instance.with("DATABASE_URL", &database);
            SETTINGS.iter().fold(instance, |instance, (name, value)| instance.with(name, value))
        });
        for instance in &mut instances {
            instance.start().await;
        }
        let urls = instances.iter().map(|instance| instance.address().http).collect();
        let load = Load::start(urls, &prefix).await;
        Self { redis, postgres, instances, store, load }
    }

    /// Kills and restarts one after another of the victims, in random order, each while changes are made.
    pub async fn kill(&mut self, victims: impl IntoIterator<Item = Victim>) {
        let mut victims: Vec<_> = victims.into_iter().collect();
        fastrand::shuffle(&mut victims);
        for victim in victims {
            self.load.await_changes(1 + fastrand::usize(..CHANGES)).await;
            match victim {
                Victim::Archiver => self.kill_archiver().await,
                Victim::Redis => {
                    self.redis.kill();
                    self.redis.restart();
                }
                Victim::Postgres => {
                    self.postgres.kill();
                    self.postgres.restart();
                }
            }
        }
        self.load.await_changes(CHANGES).await;
    }

    async fn kill_archiver(&mut self) {
        let archiving = eventually("an archiving instance", || async {
            for (index, url) in self.load.urls.iter().enumerate() {
                let metrics = reqwest::get(format!("{url}/metrics")).await.ok()?.text().await.ok()?;
                if metrics.contains("lso_follower_lag_events{job=\"archive\"") {
                    return Some(index);
                }
            }
            None
        });
        let index = archiving.await;
        self.instances[index].kill();
        self.instances[index].start().await;
    }

    /// Ends the load, and compares the rows with the logs when the archiver has caught up, or after the deadline.
    pub async fn compare(self) -> Outcome {
        let Self { store, load, instances, redis, postgres } = self;
        // They run until the comparison is made.
        let servers = (instances, redis, postgres);
        let Load { urls, ids, ended, callers, visitor, .. } = load;
        ended.cancel();
        let ended_at = Instant::now();
        join_all(callers).await.into_iter().for_each(|ended| ended.unwrap());
        let visits = visitor.await.unwrap();

        let compare = || async {
            let mut outcome = Outcome { caught_up: ended_at.elapsed(), ..Outcome::default() };
            for id in &ids {
                // A counted stream tells its last counts later, so the log may still grow.
                let log = log_of(&urls, id).await;
                outcome.add_events(&events_of(&*store, id).await, &log);
            }
            outcome.add_visits(&rows::visits_of(&*store, &ids[0]).await, &visits);
            outcome.gaps = store.gaps(Partition::FIRST, Log::Events).await.unwrap_or_default().len();
            outcome
        };
        let complete = eventually_or_none(|| async { Some(compare().await).filter(Outcome::is_exact) });
        let outcome = match complete.await {
            Some(outcome) => outcome,
            None => compare().await,
        };
        drop(servers);
        outcome
    }
}

impl Outcome {
    /// Reports whether each event and each visit has exactly one row.
    pub fn is_exact(&self) -> bool {
        (self.missing, self.unexpected, self.gaps) == (0, 0, 0)
    }

    fn add_events(&mut self, rows: &[String], log: &[String]) {
        self.events += log.len();
        self.add(rows, &log.iter().cloned().collect());
        // The same rows in another order are not those of the log.
        self.unexpected += usize::from(rows.len() == log.len() && rows != log);
    }

    fn add_visits(&mut self, rows: &[String], sids: &BTreeSet<String>) {
        self.visits += sids.len();
        self.add(rows, sids);
    }

    fn add(&mut self, rows: &[String], expected: &BTreeSet<String>) {
        let found: BTreeSet<_> = rows.iter().filter(|row| expected.contains(*row)).collect();
        self.missing += expected.len() - found.len();
        self.unexpected += rows.len() - found.len();
    }
}
