//! The archiver on every store and a real Postgres: instances change, the database dies, logs lose events.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use livestream_orchestrator::{
    domain::{Cursor, Event, Partition, Partitioning, StreamId, StreamRef, Topic},
    history::{DatabaseAddress, Gap, History, HistoryStore, Log, open},
    store::{LogBounds, ResetReason, Retention},
    telemetry::Metrics,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    backend::{Backend, RETENTION, on_every_backend, token},
    history_databases::rows,
};
use crate::support::{
    eventually,
    servers::{Postgres, Redis, shared_postgres_database, shared_redis},
    unique,
};

const HOUR: Duration = Duration::from_secs(3_600);
const FIRST: Partition = Partition::FIRST;

/// Bounds that keep nothing but the newest event, unless a follower needs it.
const SMALLEST: LogBounds =
    LogBounds { retention: Duration::from_millis(1), min_events: 1, max_events: 20_000, max_bytes: 100_000 };
/// Bounds of 300 events of all streams.
const FEW: LogBounds = LogBounds { max_events: 30, ..SMALLEST };

/// The history of one instance.
pub(super) struct Running {
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(super) fn start(backend: &Backend, address: &DatabaseAddress) -> Self {
        crate::support::install_crypto_provider();
        let (metrics, stop) = (Arc::new(Metrics::new().unwrap()), CancellationToken::new());
        let history = History::new(open(address), None, metrics.clone());
        let partitions = backend.followed.clone();
        let partitioning = Partitioning::new(u16::try_from(partitions.len()).unwrap()).unwrap();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            if history.prepare(&stopped).await.unwrap() {
                history.run(partitioning, partitions, stopped).await;
            }
        });
        Self { metrics, stop, task }
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// Ends the instance at once, without the release of its lease.
    pub(super) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()));
    }

    /// Returns the value of a metric of the archiver of the first partition; `None` while it is not shown.
    fn metric(&self, name: &str) -> Option<u64> {
        let text = String::from_utf8(self.metrics.encode(None).unwrap()).unwrap();
        let line = text.lines().find(|line| line.starts_with(name) && line.contains("archive"))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

pub(super) fn address(url: String) -> DatabaseAddress {
    DatabaseAddress::parse(&url.into()).unwrap()
}

async fn stored(store: &dyn HistoryStore, id: StreamId) -> Vec<String> {
    let events = store.events(id, Cursor::ORIGIN, rows(100_000)).await.map(|page| page.rows);
    events.unwrap_or_default().into_iter().map(|event| event.json).collect()
}

fn jsons(events: &[Arc<Event>]) -> Vec<String> {
    events.iter().map(|event| serde_json::to_string(&**event).unwrap()).collect()
}

async fn change(backend: &Backend, stream: &StreamRef, count: u64) {
    join_all((0..count).map(|n| backend.change(stream, token("ann", HOUR * u32::try_from(n + 1).unwrap()))))
        .await;
}

/// Waits until the rows of a stream are exactly these events.
async fn await_stored(store: &dyn HistoryStore, id: StreamId, events: &[Arc<Event>]) {
    let expected = jsons(events);
    eventually("the events in the database", || async {
        (stored(store, id).await == expected).then_some(())
    })
    .await;
}

on_every_backend!(every_event_is_stored_once_whichever_instance_archives);

async fn every_event_is_stored_once_whichever_instance_archives(backend: Backend) {
    let address = address(shared_postgres_database().await);
    let store = open(&address);
    let streams = join_all(["one", "two", "three", "four"].map(|room| backend.active(room))).await;
    for _ in 0..3 {
        let (first, second) = (Running::start(&backend, &address), Running::start(&backend, &address));
        join_all(streams.iter().map(|stream| change(&backend, stream, 20))).await;
        first.stop().await;
        join_all(streams.iter().map(|stream| change(&backend, stream, 5))).await;
        second.stop().await;
    }
    let last = Running::start(&backend, &address);
    join_all(streams.iter().map(|stream| backend.stop(stream))).await;
    for stream in &streams {
        await_stored(&*store, stream.id, &backend.log(stream.id).await).await;
    }
    let partitions = Partitioning::new(u16::try_from(backend.followed.len()).unwrap()).unwrap();
    for partition in partitions.all() {
        assert_eq!(store.gaps(partition, Log::Events).await.unwrap(), []);
    }
    last.stop().await;
}

/// A store with these bounds, its stream, and the history in a Postgres that the test kills.
struct Fixture {
    backend: Backend,
    stream: StreamRef,
    postgres: Postgres,
    address: DatabaseAddress,
    store: Arc<dyn HistoryStore>,
    /// `None` while no instance archives.
    running: Option<Running>,
    events: BTreeMap<Cursor, Arc<Event>>,
}

impl Fixture {
    async fn start(backend: Backend) -> Self {
        let postgres = Postgres::start();
        let address = address(postgres.create_database().await);
        let (store, running) = (open(&address), Some(Running::start(&backend, &address)));
        let stream = backend.active("room").await;
        let events = BTreeMap::new();
        let mut fixture = Self { backend, stream, postgres, address, store, running, events };
        fixture.note().await;
        fixture.await_all().await;
        fixture
    }

    /// Notes the events that the log has now.
    async fn note(&mut self) {
        let newest = self.backend.newest(Topic::All, 10_000).await;
        self.events.extend(newest.into_iter().map(|event| (event.cursor, event)));
    }

    /// Makes changes one by one, and notes the event of each.
    async fn change(&mut self, count: u64) {
        for _ in 0..count {
            change(&self.backend, &self.stream, 1).await;
            let newest = self.backend.newest(Topic::All, 1).await.remove(0);
            self.events.insert(newest.cursor, newest);
        }
    }

    fn noted(&self) -> Vec<Arc<Event>> {
        self.events.values().cloned().collect()
    }

    async fn await_all(&self) {
        await_stored(&*self.store, self.stream.id, &self.noted()).await;
    }

    async fn stop(&mut self) {
        self.running.take().unwrap().stop().await;
    }

    async fn log_length(&self) -> usize {
        self.backend.newest(Topic::All, 10_000).await.len()
    }
}

fn with_bounds(log: LogBounds) -> [Backend; 2] {
    let retention = Retention { log, ..RETENTION };
    [Backend::memory(retention), Backend::redis(&unique("archive"), retention)]
}

#[tokio::test]
async fn log_keeps_what_a_database_that_is_away_has_not_stored() {
    for backend in with_bounds(SMALLEST) {
        let mut fixture = Fixture::start(backend).await;
        fixture.postgres.kill();
        fixture.change(300).await;
        // The events before these are stored, so the log need not keep them.
        assert!(fixture.log_length().await >= 300, "the log keeps every event that is not stored");
        eventually("the lag", || async {
            let events = fixture.running.as_ref()?.metric("lso_follower_lag_events")?;
            let seconds = fixture.running.as_ref()?.metric("lso_follower_lag_seconds")?;
            (events >= 300 && seconds >= 1).then_some(())
        })
        .await;
        fixture.postgres.restart();
        fixture.await_all().await;
        assert_eq!(fixture.store.gaps(FIRST, Log::Events).await.unwrap(), []);
        fixture.change(100).await;
        fixture.await_all().await;
        fixture.change(50).await;
        let length = fixture.log_length().await;
        assert!(length < 200, "{length} events: the log does not keep what is stored");
        fixture.stop().await;
    }
}

#[tokio::test]
async fn events_beyond_the_bounds_of_the_log_are_a_gap() {
    for backend in with_bounds(FEW) {
        let mut fixture = Fixture::start(backend).await;
        let (before, after) = (fixture.noted(), *fixture.events.keys().next_back().unwrap());
        // An archiver that runs would keep the events in memory while the database is away.
        fixture.stop().await;
        fixture.change(500).await;
        let kept = fixture.backend.newest(Topic::All, 10_000).await;
        assert!((200..400).contains(&kept.len()), "{} events", kept.len());
        fixture.running = Some(Running::start(&fixture.backend, &fixture.address));
        await_stored(&*fixture.store, fixture.stream.id, &[before, kept.clone()].concat()).await;
        let gap = Gap { after, until: kept[0].previous_of_all, reason: ResetReason::Expired };
        assert_eq!(fixture.store.gaps(FIRST, Log::Events).await.unwrap(), [gap]);
        fixture.change(3).await;
        let newest: Vec<_> = fixture.noted().into_iter().skip(fixture.events.len() - 3).collect();
        let expected: BTreeSet<_> = jsons(&newest).into_iter().collect();
        eventually("events after the gap", || async {
            let stored = stored(&*fixture.store, fixture.stream.id).await;
            expected.iter().all(|json| stored.contains(json)).then_some(())
        })
        .await;
        fixture.stop().await;
    }
}

/// Redis restarts without its data: the history keeps what it has, says what may be missing, and goes on.
#[tokio::test]
async fn redis_without_its_data_is_a_gap() {
    let mut redis = Redis::start();
    let backend = Backend::redis_at(&redis.url(), &unique("archive"), RETENTION);
    let address = address(shared_postgres_database().await);
    let (store, running) = (open(&address), Running::start(&backend, &address));
    let old = backend.active("old").await;
    let events = backend.log(old.id).await;
    await_stored(&*store, old.id, &events).await;
    redis.kill();
    redis.restart();
    let new = eventually("a stream", || async {
        let created = backend.store.create(backend.placed(super::backend::new_stream("new"))).await.ok()?;
        matches!(created, livestream_orchestrator::store::CreateOutcome::Created(_)).then_some(created)
    })
    .await;
    let livestream_orchestrator::store::CreateOutcome::Created(new) = new else { unreachable!() };
    await_stored(&*store, new.id, &backend.log(new.id).await).await;
    assert_eq!(stored(&*store, old.id).await, jsons(&events));
    let gaps = store.gaps(FIRST, Log::Events).await.unwrap();
    assert!(gaps.len() == 1 && gaps[0].after == events.last().unwrap().cursor, "{gaps:?}");
    running.stop().await;
}

/// An event of a newer version is not skipped: an instance of that version stores it.
#[tokio::test]
async fn event_that_cannot_be_parsed_is_waited_for() {
    let prefix = unique("archive");
    let backend = Backend::redis(&prefix, RETENTION);
    let address = address(shared_postgres_database().await);
    let (store, running) = (open(&address), Running::start(&backend, &address));
    let stream = backend.active("room").await;
    await_stored(&*store, stream.id, &backend.log(stream.id).await).await;
    let client = redis::Client::open(shared_redis()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let events = format!("{{{prefix}}}:events");
    let mut command = redis::cmd("XADD");
    command.arg(&events).arg("*").arg(&["previous", "0-0", "total", "1", "event", "{}"]);
    let unknown: String = command.query_async(&mut connection).await.unwrap();
    change(&backend, &stream, 3).await;
    let unreadable = "lso_follower_failures_total{job=\"archive\",kind=\"unreadable\"}";
    eventually("a failure", || async { running.metric(unreadable) }).await;
    let _: i64 = redis::cmd("XDEL").arg(&events).arg(&unknown).query_async(&mut connection).await.unwrap();
    await_stored(&*store, stream.id, &backend.log(stream.id).await).await;
    running.stop().await;
}
