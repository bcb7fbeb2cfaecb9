//! What the logs keep, by number, age and bytes, on both stores; and the memory that Redis needs for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use livestream_orchestrator::{
    domain::{Change, Event, Metadata, StreamId, StreamRef, Topic},
    store::{LogBounds, LogRead, ResetReason, Retention, TRIM_BLOCKS},
};
use proptest::{prelude::*, test_runner::Config};
use redis::AsyncCommands;
use tokio::runtime::Runtime;

use super::backend::{Backend, RETENTION, identity, on_every_backend, token};
use crate::support::{servers::shared_redis, unique};

const HOUR: Duration = Duration::from_secs(3_600);

async fn connection() -> redis::aio::MultiplexedConnection {
    redis::Client::open(shared_redis()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// Changes of two streams: which one, and the bytes of metadata in the event.
type Steps = Vec<(bool, usize)>;

fn bounds() -> impl Strategy<Value = LogBounds> {
    let retention = prop_oneof![Just(Duration::from_millis(1)), Just(HOUR)];
    (retention, 1..8usize, 0..12usize, 1_500..40_000usize).prop_map(
        |(retention, min_events, more_events, max_bytes)| LogBounds {
            retention,
            min_events,
            max_events: min_events + more_events,
            max_bytes,
        },
    )
}

fn steps() -> impl Strategy<Value = Steps> {
    let bytes = prop_oneof![4 => 10..300usize, 1 => 2_000..9_000usize];
    prop::collection::vec((prop::bool::weighted(0.7), bytes), 10..150)
}

/// A store with small bounds, and every event of it with its size as stored.
struct Fixture {
    backend: Backend,
    prefix: Option<String>,
    bounds: LogBounds,
    streams: Vec<StreamId>,
    published: Vec<(Arc<Event>, usize)>,
}

impl Fixture {
    async fn run(prefix: Option<String>, bounds: LogBounds, steps: &Steps) -> Self {
        let retention = Retention { log: bounds, ..RETENTION };
        let backend = match &prefix {
            Some(prefix) => Backend::redis(prefix, retention),
            None => Backend::memory(retention),
        };
        let mut fixture = Self { backend, prefix, bounds, streams: Vec::new(), published: Vec::new() };
        let mut streams = Vec::new();
        for room in ["one", "two"] {
            let stream = fixture.backend.create(room).await.reference();
            fixture.note_newest().await;
            fixture.backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
            fixture.note_newest().await;
            fixture.streams.push(stream.id);
            streams.push(stream);
        }
        for (is_first, bytes) in steps {
            let Change::IssueToken { identity, name, role, attributes, joining_ttl, .. } = token("ann", HOUR)
            else {
                unreachable!()
            };
            let metadata = Some(Metadata::parse(&format!(r#"{{"a":"{}"}}"#, "x".repeat(*bytes))).unwrap());
            let change = Change::IssueToken { identity, name, role, metadata, attributes, joining_ttl };
            fixture.backend.change(&streams[usize::from(!is_first)], change).await;
            fixture.note_newest().await;
        }
        fixture
    }

    async fn note_newest(&mut self) {
        let event = self.backend.newest(Topic::All, 1).await.remove(0);
        let size = match &self.prefix {
            Some(prefix) => newest_size(prefix).await,
            None => serde_json::to_vec(&*event).unwrap().len(),
        };
        self.published.push((event, size));
    }

    async fn assert_kept(&self) {
        let of_one = self.streams.iter().map(|id| (Topic::Stream(*id), self.bounds));
        for (topic, bounds) in of_one.chain([(Topic::All, self.bounds.of_all_streams())]) {
            let is_own = |event: &Event| topic == Topic::All || topic == Topic::Stream(event.stream_id());
            let own: Vec<_> = self.published.iter().filter(|(event, _)| is_own(event)).cloned().collect();
            self.assert_log(topic, bounds, &own).await;
        }
    }

    /// Asserts what a log keeps of all events that were appended to it.
    async fn assert_log(&self, topic: Topic, bounds: LogBounds, own: &[(Arc<Event>, usize)]) {
        let kept = self.backend.newest(topic, 10_000).await;
        let (dropped, rest) = own.split_at(own.len() - kept.len());
        let context = format!("{topic:?} {bounds:?} of {} events", own.len());
        assert_eq!(kept, rest.iter().map(|(event, _)| event.clone()).collect::<Vec<_>>(), "{context}");
        let bytes: usize = rest.iter().map(|(_, size)| size).sum();
        assert!(bytes <= bounds.max_bytes || kept.len() == 1, "{bytes} bytes: {context}");
        let block = self.bounds.max_bytes / TRIM_BLOCKS;
        let since_block = newest_within(own, block.saturating_sub(1));
        assert!(kept.len() <= bounds.max_events + since_block, "{} events: {context}", kept.len());
        let most = if bounds.retention == HOUR { bounds.max_events } else { bounds.min_events };
        let promised = newest_within(own, bounds.max_bytes - block).min(most).max(1);
        assert!(kept.len() >= promised.min(own.len()), "{} of {promised} events: {context}", kept.len());
        self.assert_resumes(topic, dropped, &kept).await;
    }

    /// Asserts that a client resumes after every kept event, and learns that a dropped one has expired.
    async fn assert_resumes(&self, topic: Topic, dropped: &[(Arc<Event>, usize)], kept: &[Arc<Event>]) {
        let first = topic.previous(&kept[0]);
        let cursors = std::iter::once(first).chain(kept.iter().map(|event| event.cursor));
        for (position, after) in cursors.enumerate() {
            let read = self.backend.feed.read_after(topic, after, 10_000).await.unwrap();
            let LogRead::Events { events, .. } = read else { panic!("{topic:?} after {after}: {read:?}") };
            assert_eq!(events, kept[position..]);
        }
        for (event, _) in dropped.iter().filter(|(event, _)| event.cursor < first) {
            let read = self.backend.feed.read_after(topic, event.cursor, 10).await.unwrap();
            assert!(matches!(read, LogRead::Reset(ResetReason::Expired)), "{topic:?}: {read:?}");
        }
    }
}

/// Returns how many of the newest events have at most this many bytes together.
fn newest_within(events: &[(Arc<Event>, usize)], bytes: usize) -> usize {
    let mut sum = 0;
    let fits = |(_, size): &&(Arc<Event>, usize)| {
        sum += size;
        sum <= bytes
    };
    events.iter().rev().take_while(fits).count()
}

/// Returns the bytes of the newest event in the log of all streams.
async fn newest_size(prefix: &str) -> usize {
    let mut command = redis::cmd("XREVRANGE");
    command.arg(format!("{{{prefix}}}:events")).arg("+").arg("-").arg("COUNT").arg(1);
    let entries: Vec<(String, Vec<String>)> = command.query_async(&mut connection().await).await.unwrap();
    entries[0].1.last().unwrap().len()
}

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]

    #[test]
    fn memory_log_keeps_what_its_bounds_promise(bounds in bounds(), steps in steps()) {
        Runtime::new().unwrap().block_on(async {
            Fixture::run(None, bounds, &steps).await.assert_kept().await;
        });
    }

    #[test]
    fn redis_log_keeps_what_its_bounds_promise(bounds in bounds(), steps in steps()) {
        Runtime::new().unwrap().block_on(async {
            Fixture::run(Some(unique("bounds")), bounds, &steps).await.assert_kept().await;
        });
    }
}

on_every_backend!(client_that_was_away_for_more_than_1000_events_resumes);

async fn client_that_was_away_for_more_than_1000_events_resumes(backend: Backend) {
    let stream = backend.active("away").await;
    let topic = Topic::Stream(stream.id);
    let left_at = backend.feed.tails(&[topic]).await.unwrap()[0];
    for batch in 0..15 {
        let changes = (0..100).map(|n| backend.change(&stream, token(&format!("p{batch}"), HOUR * (n + 1))));
        join_all(changes).await;
    }
    for topic in [topic, Topic::All] {
        let (missed, _) = backend.pages(topic, left_at, 250).await;
        let versions: Vec<_> = missed.iter().map(|event| event.seq()).collect();
        assert_eq!(versions, (3..1_503).collect::<Vec<_>>());
    }
}

/// Bounds that are small enough to be reached within the test. OPERATIONS.md states the factor.
const SMALL: LogBounds =
    LogBounds { retention: HOUR, min_events: 1_000, max_events: 20_000, max_bytes: 250_000 };

async fn assert_memory_is_bounded(prefix: &str, id: StreamId) {
    let log = format!("{{{prefix}}}:stream:{id}:log");
    for (key, bounds) in [(log, SMALL), (format!("{{{prefix}}}:events"), SMALL.of_all_streams())] {
        let mut command = redis::cmd("MEMORY");
        command.arg("USAGE").arg(&key).arg("SAMPLES").arg(0);
        let used: usize = command.query_async(&mut connection().await).await.unwrap();
        assert!(used <= bounds.max_bytes * 3 / 2, "{key}: {used} bytes");
    }
}

/// Metadata of 60,000 bytes, most of which JSON escapes: each event has them twice as long.
fn largest(n: usize) -> Metadata {
    Metadata::parse(&format!(r#"{{"n":"{n:04}","a":"{}"}}"#, r#"\""#.repeat(29_988))).unwrap()
}

async fn set_metadata(backend: &Backend, stream: &StreamRef, n: usize) {
    let expected = backend.store.get(stream.id).await.unwrap().unwrap().metadata;
    backend.change(stream, Change::SetMetadata { expected, metadata: largest(n) }).await;
}

#[tokio::test]
async fn redis_memory_is_bounded_when_large_metadata_changes() {
    let prefix = unique("patches");
    let backend = Backend::redis(&prefix, Retention { log: SMALL, ..RETENTION });
    let stream = backend.active("patches").await;
    for n in 0..60 {
        set_metadata(&backend, &stream, n).await;
        assert_memory_is_bounded(&prefix, stream.id).await;
    }
    let kept = backend.log(stream.id).await;
    assert!((1..=2).contains(&kept.len()), "{} events of 120 KB in a log of 250 KB", kept.len());
    let all: usize = connection().await.xlen(format!("{{{prefix}}}:events")).await.unwrap();
    assert!((28..40).contains(&all), "{all} events of 120 KB in a log of 4 MB");
}

#[tokio::test]
async fn redis_memory_is_bounded_when_participants_change_beside_large_metadata() {
    let prefix = unique("joins");
    let backend = Backend::redis(&prefix, Retention { log: SMALL, ..RETENTION });
    let (stream, other) = (backend.active("joins").await, backend.active("other").await);
    set_metadata(&backend, &stream, 0).await;
    for batch in 0..60 {
        let who = format!("participant-{batch}");
        let changes = (0..100).map(|n| {
            let stream = if batch < 4 { &stream } else { &other };
            backend.change(stream, token(&who, Duration::from_secs(60 + n)))
        });
        join_all(changes).await;
    }
    for id in [stream.id, other.id] {
        assert_memory_is_bounded(&prefix, id).await;
    }
    let kept = backend.log(stream.id).await;
    assert!(kept.len() > 200, "{} small events although the metadata is large", kept.len());
    assert!(kept.iter().all(|event| event.draft.stream.metadata.is_none()));
    assert_eq!(identity("participant-3"), kept.last().unwrap().draft.participant.as_ref().unwrap().identity);
}

/// The counter of bytes may expire before its log, for example after an operator has deleted it.
#[tokio::test]
async fn lost_counter_of_bytes_continues_from_the_log() {
    let prefix = unique("counter");
    let backend = Backend::redis(&prefix, Retention { log: SMALL, ..RETENTION });
    let stream = backend.active("counter").await;
    let key = format!("{{{prefix}}}:events:bytes");
    backend.change(&stream, token("ann", HOUR)).await;
    let mut connection = connection().await;
    let before: u64 = connection.get(&key).await.unwrap();
    let _: i64 = connection.del(&key).await.unwrap();
    backend.change(&stream, token("bob", HOUR)).await;
    let after: u64 = connection.get(&key).await.unwrap();
    assert!(after > before && after < before + 2_000, "{before}, then {after}");
}
