//! The snapshot of all streams is as of one cursor, in every store, whatever changes while it is read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use livestream_orchestrator::{
    domain::{Change, Cursor, Event, Metadata, Stream, StreamId, StreamRef, StreamStatus, Topic},
    store::{
        EventFeed, FeedConnection, LIVE_PAGE, LivePage, LogRead, ParticipantsPage, ResetReason, Snapshot,
        SnapshotContent, Source, StoreError, StreamFilter, snapshot,
    },
};
use serde_json::Value;

use super::backend::{Backend, left, on_every_backend, session, token};

on_every_backend!(
    snapshot_of_all_read_during_changes_equals_log_at_its_cursor,
    snapshot_of_all_with_pages_from_lost_history_begins_again,
    snapshot_of_all_with_trimmed_log_begins_again,
    snapshot_of_all_that_never_matches_its_log_is_unavailable,
);

/// What the feed does besides reading.
#[derive(Clone, Copy)]
enum Disturbance {
    /// Makes random changes before each read.
    Changes,
    /// The first readings have seen a cursor that the log does not hold.
    LostHistory { readings: usize },
    /// The log of the first readings is trimmed.
    TrimmedLog { readings: usize },
}

/// A feed whose reads are disturbed.
struct DisturbedFeed {
    backend: Backend,
    disturbance: Disturbance,
    changes: tokio::sync::Mutex<RandomChanges>,
    /// Number of readings that have begun.
    readings: Mutex<usize>,
}

impl DisturbedFeed {
    fn new(backend: &Backend, disturbance: Disturbance) -> Self {
        let changes = RandomChanges { random: fastrand::Rng::with_seed(7), streams: Vec::new(), made: 0 };
        let (changes, readings) = (tokio::sync::Mutex::new(changes), Mutex::default());
        Self { backend: backend.clone(), disturbance, changes, readings }
    }

    async fn change(&self) {
        if matches!(self.disturbance, Disturbance::Changes) {
            let mut changes = self.changes.lock().await;
            for _ in 0..changes.random.usize(0..6) {
                changes.make_one(&self.backend).await;
            }
        }
    }

    fn readings(&self) -> usize {
        *self.readings.lock().unwrap()
    }
}

#[async_trait]
impl EventFeed for DisturbedFeed {
    async fn connect(&self, source: Source) -> Result<Box<dyn FeedConnection>, StoreError> {
        self.backend.feed.connect(source).await
    }

    async fn tails(&self, topics: &[Topic]) -> Result<Vec<Cursor>, StoreError> {
        *self.readings.lock().unwrap() += 1;
        self.change().await;
        self.backend.feed.tails(topics).await
    }

    async fn read_after(&self, topic: Topic, after: Cursor, limit: usize) -> Result<LogRead, StoreError> {
        if matches!(self.disturbance, Disturbance::TrimmedLog { readings } if self.readings() <= readings) {
            return Ok(LogRead::Reset(ResetReason::Expired));
        }
        self.change().await;
        self.backend.feed.read_after(topic, after, limit.min(7)).await
    }

    async fn newest(&self, topic: Topic, limit: usize) -> Result<Option<Vec<Arc<Event>>>, StoreError> {
        self.backend.feed.newest(topic, limit).await
    }

    async fn before_newest(&self, topic: Topic, count: usize) -> Result<Option<Cursor>, StoreError> {
        self.backend.feed.before_newest(topic, count).await
    }

    async fn probe(&self, source: Source, address: &str) -> Result<(), StoreError> {
        self.backend.feed.probe(source, address).await
    }

    async fn live_streams(&self, after: Option<&str>) -> Result<LivePage, StoreError> {
        self.change().await;
        let mut page = self.backend.feed.live_streams(after).await?;
        if matches!(self.disturbance, Disturbance::LostHistory { readings } if self.readings() <= readings) {
            let lost = page.tails.last().unwrap();
            page.tails.push(lost.next(lost.millis()));
            page.streams.pop();
        }
        Ok(page)
    }

    async fn stream_snapshot(&self, id: StreamId) -> Result<Snapshot, StoreError> {
        self.backend.feed.stream_snapshot(id).await
    }

    async fn participants_page(
        &self,
        id: StreamId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ParticipantsPage, StoreError> {
        self.backend.feed.participants_page(id, after, limit).await
    }
}

struct RandomChanges {
    random: fastrand::Rng,
    streams: Vec<StreamRef>,
    made: usize,
}

impl RandomChanges {
    async fn create(&mut self, backend: &Backend) {
        self.made += 1;
        self.streams.push(backend.active(&format!("room-{}", self.made)).await);
    }

    /// Creates, changes or ends a stream. Most ends also change the stream before.
    async fn make_one(&mut self, backend: &Backend) {
        let at = self.random.usize(0..self.streams.len());
        let stream = self.streams[at].clone();
        self.made += 1;
        let change = match self.random.u8(0..8) {
            0 => return self.create(backend).await,
            1 => {
                self.streams.swap_remove(at);
                backend.change(&stream, token("last", std::time::Duration::from_secs(60))).await;
                backend.stop(&stream).await;
                return;
            }
            2 => {
                self.streams.swap_remove(at);
                let unfinished = backend.create(&format!("failed-{}", self.made)).await.reference();
                backend.change(&unfinished, Change::Fail { reason: "test".to_owned() }).await;
                backend.stop(&stream).await;
                return;
            }
            3 => {
                // Created and ended while the snapshot is read.
                let short = backend.active(&format!("short-{}", self.made)).await;
                backend.stop(&short).await;
                return;
            }
            4 => left("ann", None),
            5 => {
                let expected = backend.store.get(stream.id).await.unwrap().unwrap().metadata;
                // Larger than metadata that every event repeats, half of the times.
                let filling = "x".repeat(self.random.usize(0..2) * 2_000);
                let metadata = format!(r#"{{"made":{},"filling":"{filling}"}}"#, self.made);
                let metadata = Metadata::parse(&metadata).unwrap();
                Change::SetMetadata { expected, metadata }
            }
            _ => Change::Connect(session("ann", &format!("PA_{}", self.made), 1)),
        };
        backend.change(&stream, change).await;
    }
}

/// Documents of the streams that are not stopped after some events, newest first.
fn fold(events: &[Arc<Event>]) -> Vec<Value> {
    let mut streams = BTreeMap::<StreamId, Stream>::new();
    for event in events {
        let created = || event.draft.stream.clone().with_metadata(Metadata::default());
        event.apply_to(streams.entry(event.stream_id()).or_insert_with(created));
    }
    let mut live: Vec<_> =
        streams.into_values().filter(|stream| stream.status != StreamStatus::Stopped).collect();
    live.sort_by_key(|stream| std::cmp::Reverse((stream.created_at, stream.id)));
    live.into_iter().map(|stream| serde_json::to_value(stream).unwrap()).collect()
}

fn documents(snapshot: &Snapshot) -> Vec<Value> {
    let SnapshotContent::All(streams) = &snapshot.content else { panic!("a snapshot of all streams") };
    streams.iter().map(|stream| serde_json::to_value(stream).unwrap()).collect()
}

async fn snapshot_of_all_read_during_changes_equals_log_at_its_cursor(backend: Backend) {
    let feed = DisturbedFeed::new(&backend, Disturbance::Changes);
    for _ in 0..LIVE_PAGE * 2 + 10 {
        feed.changes.lock().await.create(&backend).await;
    }
    let mut snapshots = Vec::new();
    for _ in 0..15 {
        snapshots.push(snapshot::of_all(&feed).await.unwrap());
    }
    assert_eq!(feed.readings(), snapshots.len(), "no reading began again");
    let (log, _) = backend.pages(Topic::All, Cursor::ORIGIN, 1_000).await;
    for snapshot in &snapshots {
        let until = log.partition_point(|event| event.cursor <= snapshot.cursor);
        assert_eq!(log[until - 1].cursor, snapshot.cursor, "the cursor of an event");
        assert_eq!(documents(snapshot), fold(&log[..until]), "as of {}", snapshot.cursor);
    }
    let after = |snapshot: &Snapshot| log.last().unwrap().cursor > snapshot.cursor;
    assert!(snapshots.iter().rev().skip(1).all(after), "changes were made between the snapshots");
    let mut listed = Vec::new();
    let mut next = None;
    loop {
        let page = backend.store.list(StreamFilter::NotStopped, 1_000, next.as_deref()).await.unwrap();
        listed.extend(page.items.iter().map(|stream| serde_json::to_value(&**stream).unwrap()));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(documents(&snapshot::of_all(&*backend.feed).await.unwrap()), listed);
}

async fn snapshot_of_all_with_pages_from_lost_history_begins_again(backend: Backend) {
    backend.active("kept").await;
    let feed = DisturbedFeed::new(&backend, Disturbance::LostHistory { readings: 2 });
    let snapshot = snapshot::of_all(&feed).await.unwrap();
    assert_eq!((feed.readings(), documents(&snapshot).len()), (3, 1));
}

async fn snapshot_of_all_with_trimmed_log_begins_again(backend: Backend) {
    backend.active("kept").await;
    let feed = DisturbedFeed::new(&backend, Disturbance::TrimmedLog { readings: 2 });
    let snapshot = snapshot::of_all(&feed).await.unwrap();
    assert_eq!((feed.readings(), documents(&snapshot).len()), (3, 1));
}

async fn snapshot_of_all_that_never_matches_its_log_is_unavailable(backend: Backend) {
    backend.active("kept").await;
    let feed = DisturbedFeed::new(&backend, Disturbance::LostHistory { readings: usize::MAX });
    let result = snapshot::of_all(&feed).await;
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
    assert!(feed.readings() > 1);
}
