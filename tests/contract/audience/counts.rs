//! Events that tell the numbers of active participants.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use livestream_orchestrator::{
    domain::{
        AudienceMode, Change, EventKind, Rejection, Role, StreamId, Timestamp, change::Effect,
        stream::NewStream,
    },
    orchestrator::CountTeller,
    store::{
        CreateOutcome, DueCounts, Guard, Maintenance, Retention, StoreError, StreamStore, memory::MemoryStore,
    },
};

use redis::{AsyncCommands, aio::MultiplexedConnection};

use super::{HOUR, active, backends, connected, counts, viewer_token};
use crate::{
    backend::{Backend, RETENTION, left, new_stream},
    support::{eventually, servers::shared_redis, unique},
};

#[tokio::test]
async fn change_after_the_interval_tells_counts_without_metadata() {
    for backend in backends(Duration::ZERO) {
        let stream = active(&backend, AudienceMode::Counted, None).await;
        backend.change(&stream, viewer_token("ann", HOUR)).await;
        let applied = backend.change(&stream, connected("ann", Role::Viewer)).await;
        assert_eq!((applied.stream.version, applied.stream.counts), (3, counts(0, 1)));
        let log = backend.log(stream.id).await;
        let told = &log.last().unwrap().draft;
        assert_eq!((log.len(), told.kind), (3, EventKind::ParticipantCountUpdated));
        assert!(told.stream.metadata.is_none() && told.participant.is_none());
        assert_eq!(backend.due_counts(10).await, DueCounts::default());
    }
}

#[tokio::test]
async fn counts_within_the_interval_are_scheduled_until_an_event_tells_them() {
    for backend in backends(HOUR) {
        let stream = active(&backend, AudienceMode::Counted, None).await;
        assert_eq!(backend.due_counts(10).await, DueCounts::default());
        for who in ["ann", "bob"] {
            backend.change(&stream, connected(who, Role::Viewer)).await;
            let due = backend.due_counts(10).await;
            assert!(due.streams.is_empty() && due.next_in.unwrap() <= HOUR, "{due:?}");
        }
        assert_eq!(backend.change(&stream, Change::TellCounts).await.effect, Effect::Unchanged);
        backend.change(&stream, connected("eve", Role::Host)).await;
        backend.change(&stream, Change::TellCounts).await;
        assert_eq!(backend.due_counts(10).await, DueCounts::default());
    }
}

#[tokio::test]
async fn count_teller_tells_the_last_of_many_changes_once() {
    const INTERVAL: Duration = Duration::from_millis(100);
    for backend in backends(INTERVAL) {
        let stream = active(&backend, AudienceMode::Counted, None).await;
        for n in 0..20 {
            backend.change(&stream, connected(&format!("p{n}"), Role::Viewer)).await;
        }
        backend.change(&stream, left("p0", None)).await;
        let teller = CountTeller::new(backend.partition_of_room("room"));
        let log = eventually("the counts", async || {
            teller.tell_due().await.unwrap();
            let log = backend.log(stream.id).await;
            (log.last().unwrap().draft.stream.counts == counts(0, 19)).then_some(log)
        })
        .await;
        teller.tell_due().await.unwrap();
        assert_eq!(backend.log(stream.id).await.len(), log.len(), "what is told is not told again");
        assert_eq!(backend.due_counts(10).await, DueCounts::default());
        let of_counts = log.iter().filter(|event| event.draft.kind == EventKind::ParticipantCountUpdated);
        let times: Vec<_> = of_counts.map(|event| event.timestamp).collect();
        assert!(times.windows(2).all(|pair| pair[0].plus(INTERVAL) <= pair[1]), "{times:?}");
    }
}

#[tokio::test]
async fn counts_that_return_to_the_told_ones_are_not_told() {
    let clock = Arc::new(AtomicI64::new(1_000));
    let time = clock.clone();
    let now = move || Timestamp::from_millis(time.load(Ordering::Relaxed));
    let store = MemoryStore::new(RETENTION, Arc::new(now));
    let new = NewStream { audience: AudienceMode::Counted.begin(0), ..new_stream("room") };
    let CreateOutcome::Created(stream) = store.create(new).await.unwrap() else { panic!("taken") };
    let stream = stream.reference();
    let change = async |change| store.apply(&stream, change, Guard::default()).await.unwrap().stream.version;
    change(Change::Activate { room_sid: "RM_1".into() }).await;
    change(connected("ann", Role::Viewer)).await;
    assert_eq!(store.due_counts(10).await.unwrap().next_in, Some(RETENTION.count_interval));
    change(left("ann", None)).await;
    assert_eq!(store.due_counts(10).await.unwrap(), DueCounts::default());
    change(connected("bob", Role::Viewer)).await;
    clock.fetch_add(999, Ordering::Relaxed);
    assert_eq!(change(Change::TellCounts).await, 2);
    clock.fetch_add(1, Ordering::Relaxed);
    assert_eq!(store.due_counts(10).await.unwrap().streams, [stream.id]);
    assert_eq!(change(Change::TellCounts).await, 3);
}

#[tokio::test]
async fn expired_stream_leaves_the_schedule_of_counts() {
    let prefix = unique("audience");
    let backend =
        Backend::redis(&prefix, Retention { count_interval: Duration::from_millis(1), ..RETENTION });
    Schedule::of(&prefix).await.set(new_stream("gone").id, 1).await;
    CountTeller::new(backend.partitions[0].clone()).tell_due().await.unwrap();
    assert_eq!(backend.due_counts(10).await, DueCounts::default());
}

/// Streams in one poll of the teller.
const BATCH: usize = 100;

/// The schedule of the counts of all streams with a prefix.
struct Schedule {
    redis: MultiplexedConnection,
    prefix: String,
}

impl Schedule {
    async fn of(prefix: &str) -> Self {
        let client = redis::Client::open(shared_redis()).unwrap();
        let redis = client.get_multiplexed_async_connection().await.unwrap();
        Self { redis, prefix: prefix.to_owned() }
    }

    async fn set(&mut self, stream: StreamId, due: i64) {
        let key = format!("{{{}}}:scheduled:counts", self.prefix);
        let () = self.redis.zadd(key, stream.to_string(), due).await.unwrap();
    }

    /// Adds counts that cannot be told, because the streams' keys have another type.
    async fn add_failing(&mut self, count: usize, due: i64) {
        for _ in 0..count {
            let id = new_stream("failing").id;
            let key = format!("{{{}}}:stream:{id}", self.prefix);
            let () = self.redis.set(key, "no hash").await.unwrap();
            self.set(id, due).await;
        }
    }
}

#[tokio::test]
async fn failing_counts_do_not_hold_up_others() {
    let prefix = unique("audience");
    let at = |count_interval| Backend::redis(&prefix, Retention { count_interval, ..RETENTION });
    let (backend, teller) = (at(HOUR), at(Duration::ZERO));
    let teller = CountTeller::new(teller.partitions[0].clone());
    let stream = active(&backend, AudienceMode::Counted, None).await;
    backend.change(&stream, connected("ann", Role::Viewer)).await;
    let mut schedule = Schedule::of(&prefix).await;

    schedule.add_failing(BATCH, 1).await;
    schedule.set(stream.id, 2).await;
    assert!(teller.tell_due().await.unwrap() > Duration::ZERO, "a pause after a batch that has failed");
    let told = async || backend.log(stream.id).await.last().unwrap().draft.stream.counts;
    assert_eq!(told().await, counts(0, 0));
    teller.tell_due().await.unwrap();
    assert_eq!(told().await, counts(0, 1));

    schedule.add_failing(BATCH - 1, 1).await;
    schedule.set(new_stream("expired").id, 1).await;
    assert_eq!(
        teller.tell_due().await.unwrap(),
        Duration::ZERO,
        "no pause after a full batch with a success"
    );
}

#[tokio::test]
async fn required_version_is_met_if_only_counts_were_told_since() {
    for backend in backends(Duration::ZERO) {
        let stream = active(&backend, AudienceMode::Counted, None).await;
        for who in ["ann", "bob"] {
            backend.change(&stream, connected(who, Role::Viewer)).await;
        }
        let require = async |version| {
            let guard = Guard { version: Some(version), ..Guard::default() };
            backend.store.apply(&stream, connected("eve", Role::Host), guard).await
        };
        for version in [1, 5] {
            let mismatch = Rejection::VersionMismatch { current: 4 };
            assert!(matches!(require(version).await, Err(StoreError::Rejected(found)) if found == mismatch));
        }
        assert_eq!(require(2).await.unwrap().stream.accepted_versions(), 5..=5);
        assert!(require(4).await.is_err(), "the host's event is no count");
    }
}
