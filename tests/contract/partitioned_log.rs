//! The merged log and the merged feed of a store with several partitions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{Change, Cursor, Partitioning, RoomName, StreamRef, Topic},
    store::{
        EventFeed, FeedConnection, FeedMessage, LogRead, PartitionLog, PartitionedStore, ResetReason,
        redis::{Layout, RedisStore},
    },
};
use redis::AsyncCommands;
use tokio::time::Instant;

use super::{
    backend::{Backend, RETENTION, left, session},
    stores::{PARTITIONS, partitioned_store, redis_store},
};
use crate::support::{servers::shared_redis, unique, within};

/// A store with an active stream in each partition.
struct Fixture {
    prefix: String,
    store: PartitionedStore<RedisStore>,
    backend: Backend,
    streams: Vec<StreamRef>,
}

impl Fixture {
    async fn new() -> Self {
        let prefix = unique("merged");
        let store = partitioned_store(&prefix, RETENTION);
        let backend = Backend::of_partitions(&store);
        let mut streams = Vec::new();
        for partition in partitioning().all() {
            let in_partition =
                |name: &String| partitioning().of_room(&RoomName::parse(name).unwrap()) == partition;
            let name = (0..).map(|n| format!("room-{n}")).find(in_partition).unwrap();
            streams.push(backend.active(&name).await);
        }
        Self { prefix, store, backend, streams }
    }

    /// Makes an event in each partition, `rounds` times.
    async fn change(&self, rounds: std::ops::Range<usize>) {
        for n in rounds {
            for stream in &self.streams {
                let session = session(&format!("p{n}"), &format!("PA_{n}"), 1);
                self.backend.change(stream, Change::Connect(session)).await;
            }
        }
    }

    async fn follow_all(&self) -> Box<dyn FeedConnection> {
        let mut connection = self.store.connect(self.store.source_of(Topic::All)).await.unwrap();
        connection.subscribe(&[Topic::All]).await.unwrap();
        connection
    }

    /// Returns all events of the merged log.
    async fn log(&self) -> Vec<Cursor> {
        let (events, _) = self.backend.pages(Topic::All, Cursor::ORIGIN, 1_000).await;
        events.iter().map(|event| event.cursor).collect()
    }

    /// Removes the newest event of the partition in which it is the earliest, as a failover to a replica that has not
    /// received it does.
    async fn lose_event(&self) -> Cursor {
        let mut partitions = Vec::new();
        for (partition, store) in partitioning().all().zip(self.store.partitions()) {
            let log = store.newest(Topic::All, 2).await.unwrap().unwrap();
            partitions.push((log[1].cursor, log[0].cursor, partition));
        }
        let (lost, before, partition) = partitions.into_iter().min().unwrap();
        let client = redis::Client::open(shared_redis()).unwrap();
        let mut redis = client.get_multiplexed_async_connection().await.unwrap();
        let keys: Vec<String> =
            redis.keys(format!("{{{}:{}:*:events", self.prefix, partition.number())).await.unwrap();
        let [events] = &keys[..] else { panic!("{keys:?}") };
        let () = redis.xdel(events, &[lost.to_string()]).await.unwrap();
        let () = redis.set(events.replace(":events", ":tail"), before.to_string()).await.unwrap();
        lost
    }
}

fn partitioning() -> Partitioning {
    Partitioning::new(PARTITIONS).unwrap()
}

async fn next_event(connection: &mut Box<dyn FeedConnection>) -> (Cursor, Cursor) {
    match within("an event of all streams", connection.next()).await {
        Some(FeedMessage::Event { topic: Topic::All, event, previous }) => (event.cursor, previous),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn clocks_that_differ_by_seconds_delay_no_event() {
    let fixture = Fixture::new().await;
    let fast = &fixture.store.partitions()[2];
    let now = fast.advance_clock(0, false).await.unwrap().millis;
    fast.advance_clock(now + 5_000, false).await.unwrap();
    let mut connection = fixture.follow_all().await;
    let before = fixture.log().await;
    let begun = Instant::now();
    fixture.change(0..10).await;
    let mut received = Vec::new();
    for _ in 0..40 {
        received.push(next_event(&mut connection).await);
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let log = fixture.log().await;
    let cursors: Vec<_> = received.iter().map(|(cursor, _)| *cursor).collect();
    assert_eq!(cursors, log[before.len()..]);
    let previous: Vec<_> = received.iter().map(|(_, previous)| *previous).collect();
    assert_eq!(previous[1..], cursors[..cursors.len() - 1]);
}

#[tokio::test]
async fn every_cursor_of_all_streams_continues_every_feed() {
    let fixture = Fixture::new().await;
    fixture.change(0..5).await;
    let log = fixture.log().await;
    assert_eq!(log.len(), 28);
    for (position, after) in log.iter().enumerate() {
        let (all, _) = fixture.backend.pages(Topic::All, *after, 7).await;
        let cursors: Vec<_> = all.iter().map(|event| event.cursor).collect();
        assert_eq!(cursors, log[position + 1..], "after {after}");
        for stream in &fixture.streams {
            let (own, _) = fixture.backend.pages(Topic::Stream(stream.id), *after, 1_000).await;
            let expected: Vec<_> =
                all.iter().filter(|event| event.stream_id() == stream.id).cloned().collect();
            assert_eq!(own, expected, "after {after}");
        }
    }
}

#[tokio::test]
async fn loss_in_one_partition_resets_followers_of_all_streams() {
    let fixture = Fixture::new().await;
    let mut connection = fixture.follow_all().await;
    fixture.change(0..2).await;
    for _ in 0..8 {
        next_event(&mut connection).await;
    }
    drop(connection);
    let lost = fixture.lose_event().await;
    let kept = fixture.log().await;
    assert!(*kept.last().unwrap() > lost, "the newest event is one of another partition");
    let mut connection = fixture.follow_all().await;
    let told = within("the loss", connection.next()).await;
    assert!(matches!(told, Some(FeedMessage::Lost(Topic::All))), "{told:?}");
    let read = async |after| fixture.store.read_after(Topic::All, after, 10).await.unwrap();
    let before = read(kept[kept.len() - 2]).await;
    assert!(matches!(before, LogRead::Reset(ResetReason::Unknown)), "{before:?}");
    let LogRead::Events { events, complete: true } = read(*kept.last().unwrap()).await else {
        panic!("the newest cursor is continued")
    };
    assert!(events.is_empty());
    fixture.backend.change(&fixture.streams[0], left("p0", None)).await;
    let (_, previous) = next_event(&mut connection).await;
    assert_eq!(previous, *kept.last().unwrap());
    drop(connection);
    let mut connection = fixture.follow_all().await;
    fixture.backend.change(&fixture.streams[1], left("p0", None)).await;
    next_event(&mut connection).await;
}

#[tokio::test]
async fn number_of_partitions_is_fixed() {
    let of = |partitions| Layout { partitions, server: 1, servers: 1 };
    let store = redis_store(&unique("count"), RETENTION);
    assert_eq!(store.recorded_layout().await.unwrap(), None);
    for wanted in [of(4), of(2), of(1), Layout { server: 2, servers: 3, ..of(4) }] {
        assert_eq!(store.record_layout(wanted).await.unwrap(), of(4));
    }
    // A deployment of a version without partitions.
    let prefix = unique("earlier");
    Backend::redis(&prefix, RETENTION).create("room").await;
    assert_eq!(redis_store(&prefix, RETENTION).record_layout(of(4)).await.unwrap(), of(1));
}
