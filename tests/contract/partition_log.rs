//! Partitions of the Redis store: the cursors, the clock and the newest positions of each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::HashSet, sync::Arc};

use livestream_orchestrator::{
    domain::{Change, Cursor, Partitioning, StreamId, StreamRef, Topic},
    store::{EventFeed, PartitionLog, redis::RedisStore},
};

use super::{
    backend::{Backend, RETENTION, new_stream, session},
    stores::{PARTITIONS, redis_partitions},
};
use crate::support::unique;

/// Records `changes` events in a stream of each partition.
async fn partitions_with_events(changes: usize) -> (Partitioning, Vec<RedisStore>) {
    let partitioning = Partitioning::new(PARTITIONS).unwrap();
    let stores = redis_partitions(&unique("partition"), partitioning, RETENTION);
    for (partition, store) in partitioning.all().zip(&stores) {
        let backend = Backend::of(Arc::new(store.clone()));
        let mut new = new_stream("room");
        new.id = partitioning.move_to(StreamId::generate(), partition);
        let stream = StreamRef { id: new.id, room_name: new.room_name.clone() };
        backend.store.create(new).await.unwrap();
        backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
        for n in 0..changes {
            let session = session(&format!("p{n}"), &format!("PA_{n}"), 1);
            backend.change(&stream, Change::Connect(session)).await;
        }
    }
    (partitioning, stores)
}

async fn cursors(store: &RedisStore) -> Vec<Cursor> {
    let events = store.newest(Topic::All, 1_000).await.unwrap().unwrap();
    events.iter().map(|event| event.cursor).collect()
}

#[tokio::test]
async fn cursor_says_its_partition() {
    let (partitioning, stores) = partitions_with_events(20).await;
    let mut all = HashSet::new();
    for (partition, store) in partitioning.all().zip(&stores) {
        let cursors = cursors(store).await;
        assert_eq!(cursors.len(), 22);
        assert!(cursors.windows(2).all(|pair| pair[0] < pair[1]), "{cursors:?}");
        assert!(cursors.iter().all(|cursor| partitioning.of_cursor(*cursor) == partition), "{cursors:?}");
        all.extend(cursors);
    }
    assert_eq!(all.len(), 88);
}

#[tokio::test]
async fn no_later_event_has_a_cursor_before_the_advanced_clock() {
    let (_, stores) = partitions_with_events(1).await;
    let store = &stores[2];
    let before = store.advance_clock(0, false).await.unwrap();
    assert_eq!(before.tail, *cursors(store).await.last().unwrap());
    assert!(before.millis >= before.tail.millis() && before.before_floor == Cursor::ORIGIN);
    let floor = before.millis + 5_000;
    let advanced = store.advance_clock(floor, true).await.unwrap();
    assert_eq!((advanced.millis, advanced.tail, advanced.before_floor), (floor, before.tail, before.tail));
    let backend = Backend::of(Arc::new(store.clone()));
    let newest = backend.feed.newest(Topic::All, 1).await.unwrap().unwrap();
    let stream = backend.store.reference(newest[0].stream_id()).await.unwrap().unwrap();
    for n in 10..30 {
        backend.change(&stream, Change::Connect(session(&format!("p{n}"), &format!("PA_{n}"), 1))).await;
    }
    let later = cursors(store).await.split_off(3);
    assert_eq!(later.len(), 20);
    assert!(later.iter().all(|cursor| cursor.millis() == floor), "{later:?}");
    assert!(later.windows(2).all(|pair| pair[0] < pair[1]), "{later:?}");
    let read = store.advance_clock(floor, true).await.unwrap();
    assert_eq!((read.millis, read.before_floor), (floor, before.tail));
}

#[tokio::test]
async fn newest_cursors_end_at_the_first_event() {
    let (_, stores) = partitions_with_events(30).await;
    let all = cursors(&stores[1]).await;
    for count in [1, 7, 8, 9, 31, 32, 33, 100] {
        let newest = stores[1].newest_cursors(count).await.unwrap();
        let expected: Vec<_> = all.iter().rev().take(count).copied().collect();
        assert_eq!(newest.cursors, expected, "{count}");
        let previous = all.len().checked_sub(count + 1).map_or(Cursor::ORIGIN, |before| all[before]);
        assert_eq!(newest.previous, previous, "{count}");
    }
    assert!(stores[1].newest_cursors(0).await.unwrap().cursors.is_empty());
}
