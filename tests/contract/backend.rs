//! Store backends under test, and builders of test data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use livestream_orchestrator::{
    domain::{
        Attributes, Change, Cursor, Event, EventKind, Identity, InitialAudience, Metadata, ParticipantKind,
        Partitioning, Role, RoomName, Session, StopReason, Stream, StreamId, StreamRef, Timestamp, Topic,
        Tracks, change::Effect, stream::NewStream,
    },
    store::{
        Applied, COUNT_INTERVAL, CreateOutcome, DueCounts, EventFeed, FollowedPartition, Guard,
        IdempotencyStore, LogBounds, LogRead, PartitionStore, PartitionedStore, RateLimitStore, Retention,
        ScheduledJob, Store, StoreError, WebhookEndpoints, memory::MemoryStore, redis::RedisStore,
    },
};

use super::stores::{partitioned_store, redis_store, redis_store_at};
use crate::support::unique;

/// The traits of one store.
#[derive(Clone)]
pub struct Backend {
    pub store: Arc<dyn Store>,
    pub partitions: Vec<Arc<dyn PartitionStore>>,
    /// The same partitions, as the jobs that follow their logs use them.
    pub followed: Vec<Arc<dyn FollowedPartition>>,
    pub webhook_endpoints: Arc<dyn WebhookEndpoints>,
    pub feed: Arc<dyn EventFeed>,
    pub idempotency: Arc<dyn IdempotencyStore>,
    pub rate_limits: Arc<dyn RateLimitStore>,
}

pub const RETENTION: Retention = Retention {
    live: Duration::from_secs(3600),
    stopped: Duration::from_secs(300),
    tokens: Duration::from_secs(600),
    log: LogBounds::DEFAULT,
    count_interval: COUNT_INTERVAL,
    keeps_visits: true,
};

impl Backend {
    pub fn memory(retention: Retention) -> Self {
        let store = Arc::new(MemoryStore::on_system_clock(retention));
        Self::of(store)
    }

    pub fn of<S>(store: Arc<S>) -> Self
    where
        S: PartitionStore
            + FollowedPartition
            + WebhookEndpoints
            + IdempotencyStore
            + RateLimitStore
            + 'static,
    {
        Self {
            store: store.clone(),
            partitions: vec![store.clone()],
            followed: vec![store.clone()],
            webhook_endpoints: store.clone(),
            feed: store.clone(),
            idempotency: store.clone(),
            rate_limits: store,
        }
    }

    pub fn redis(prefix: &str, retention: Retention) -> Self {
        Self::of(Arc::new(redis_store(prefix, retention)))
    }

    pub fn redis_at(url: &str, prefix: &str, retention: Retention) -> Self {
        Self::of(Arc::new(redis_store_at(url, prefix, retention)))
    }

    /// A store of several partitions in the shared Redis.
    pub fn partitioned(prefix: &str, retention: Retention) -> Self {
        Self::of_partitions(&partitioned_store(prefix, retention))
    }

    pub fn of_partitions(store: &PartitionedStore<RedisStore>) -> Self {
        let partitions = store.partitions().iter().map(|one| one.clone() as Arc<dyn PartitionStore>);
        let followed = store.partitions().iter().map(|one| one.clone() as Arc<dyn FollowedPartition>);
        Self {
            followed: followed.collect(),
            webhook_endpoints: Arc::new(store.clone()),
            partitions: partitions.collect(),
            store: Arc::new(store.clone()),
            feed: Arc::new(store.clone()),
            idempotency: Arc::new(store.clone()),
            rate_limits: Arc::new(store.clone()),
        }
    }

    pub async fn create(&self, room: &str) -> Stream {
        match self.store.create(self.placed(new_stream(room))).await.unwrap() {
            CreateOutcome::Created(stream) => stream,
            other => panic!("the room name is taken: {other:?}"),
        }
    }

    /// Returns the settings with an id for the partition of the room name.
    pub fn placed(&self, new: NewStream) -> NewStream {
        NewStream { id: self.store.place(new.id, &new.room_name), ..new }
    }

    /// Returns the partition of the streams with a room name.
    pub fn partition_of_room(&self, room: &str) -> Arc<dyn PartitionStore> {
        let partitioning = Partitioning::new(u16::try_from(self.partitions.len()).unwrap()).unwrap();
        let partition = partitioning.of_room(&RoomName::parse(room).unwrap());
        self.partitions[partition.index()].clone()
    }

    /// Returns the scheduled jobs of all partitions.
    pub async fn scheduled_jobs(&self, limit: usize) -> Vec<ScheduledJob> {
        let mut jobs = Vec::new();
        for partition in &self.partitions {
            jobs.extend(partition.scheduled_jobs(limit).await.unwrap());
        }
        jobs
    }

    /// Returns the due counts of all partitions.
    pub async fn due_counts(&self, limit: usize) -> DueCounts {
        let mut all = DueCounts::default();
        for partition in &self.partitions {
            let DueCounts { streams, next_in } = partition.due_counts(limit).await.unwrap();
            all.streams.extend(streams);
            all.next_in = all.next_in.into_iter().chain(next_in).min();
        }
        all
    }

    /// Creates an active stream with the room sid `RM_1`.
    pub async fn active(&self, room: &str) -> StreamRef {
        let stream = self.create(room).await.reference();
        self.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
        stream
    }

    pub async fn apply(&self, stream: &StreamRef, change: Change) -> Result<Applied, StoreError> {
        self.store.apply(stream, change, Guard::default()).await
    }

    pub async fn change(&self, stream: &StreamRef, change: Change) -> Applied {
        self.apply(stream, change).await.unwrap()
    }

    pub async fn stop(&self, stream: &StreamRef) -> Stream {
        self.change(stream, Change::BeginStop { reason: StopReason::Requested, room_sid: None }).await;
        loop {
            let applied = self.change(stream, Change::Close).await;
            if applied.effect != Effect::Partial {
                return applied.stream;
            }
        }
    }

    /// Reads all events after a cursor; returns them with the size of each page.
    pub async fn pages(&self, topic: Topic, after: Cursor, limit: usize) -> (Vec<Arc<Event>>, Vec<usize>) {
        let (mut all, mut sizes, mut last) = (Vec::new(), Vec::new(), after);
        loop {
            let LogRead::Events { events, complete } =
                self.feed.read_after(topic, last, limit).await.unwrap()
            else {
                panic!("{last} is a valid cursor")
            };
            assert!(events.len() <= limit && (complete || !events.is_empty()));
            last = events.last().map_or(last, |event| event.cursor);
            sizes.push(events.len());
            all.extend(events);
            if complete {
                return (all, sizes);
            }
        }
    }

    pub async fn log(&self, id: StreamId) -> Vec<Arc<Event>> {
        self.newest(Topic::Stream(id), 1_000).await
    }

    /// Reads the newest events of a log, whatever their size.
    pub async fn newest(&self, topic: Topic, limit: usize) -> Vec<Arc<Event>> {
        match self.feed.before_newest(topic, limit).await.unwrap() {
            Some(before) => self.pages(topic, before, 1_000).await.0,
            None => Vec::new(),
        }
    }
}

/// Returns the memory store, and the Redis store with one partition and with several.
pub fn with_and_without_partitions(name: &str, retention: Retention) -> [Backend; 3] {
    [
        Backend::memory(retention),
        Backend::redis(&unique(name), retention),
        Backend::partitioned(&unique(name), retention),
    ]
}

pub fn new_stream(room: &str) -> NewStream {
    NewStream {
        id: StreamId::generate(),
        room_name: RoomName::parse(room).unwrap(),
        metadata: Metadata::default(),
        max_participants: None,
        idle_after: Some(Duration::from_secs(600)),
        audience: InitialAudience::LISTED,
        backstage: false,
    }
}

pub fn identity(text: &str) -> Identity {
    Identity::parse(text).unwrap()
}

pub fn session(who: &str, sid: &str, joined_at: i64) -> Session {
    Session {
        room_sid: "RM_1".into(),
        sid: sid.into(),
        identity: identity(who),
        name: None,
        role: None,
        metadata: None,
        attributes: Attributes::default(),
        mark: None,
        kind: ParticipantKind::Standard,
        hidden: false,
        joined_at: Some(Timestamp::from_millis(joined_at)),
        tracks: Tracks::default(),
    }
}

pub fn token(who: &str, joining_ttl: Duration) -> Change {
    let (identity, attributes) = (identity(who), None);
    Change::IssueToken {
        identity,
        name: None,
        role: Some(Role::Host),
        metadata: None,
        attributes,
        joining_ttl,
    }
}

pub fn left(who: &str, sid: Option<&str>) -> Change {
    Change::Disconnect { identity: identity(who), sid: sid.map(Into::into), at: None, reason: None }
}

pub fn kinds(log: &[Arc<Event>]) -> Vec<EventKind> {
    log.iter().map(|event| event.draft.kind).collect()
}

/// Asserts that events are numbered from 1 without gaps and that each names its predecessor.
pub fn assert_unbroken(log: &[Arc<Event>]) {
    let mut previous = Cursor::ORIGIN;
    for (position, event) in log.iter().enumerate() {
        assert_eq!(event.seq(), position as u64 + 1);
        assert_eq!(event.previous, previous);
        assert!(event.cursor > previous);
        previous = event.cursor;
    }
}

/// Defines a module of tests for each backend. Each test is a function that takes a [`Backend`].
macro_rules! on_every_backend {
    ($($test:ident),* $(,)?) => {
        mod on_memory {
            use crate::backend::{Backend, RETENTION};

            $(#[tokio::test]
            async fn $test() {
                super::$test(Backend::memory(RETENTION)).await;
            })*
        }

        mod on_partitioned_redis {
            use crate::{backend::{Backend, RETENTION}, support::unique};

            $(#[tokio::test]
            async fn $test() {
                super::$test(Backend::partitioned(&unique("store"), RETENTION)).await;
            })*
        }

        mod on_redis {
            use crate::{backend::{Backend, RETENTION}, support::unique};

            $(#[tokio::test]
            async fn $test() {
                super::$test(Backend::redis(&unique("store"), RETENTION)).await;
            })*
        }
    };
}
pub(crate) use on_every_backend;
