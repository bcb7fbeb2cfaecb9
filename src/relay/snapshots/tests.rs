use std::sync::atomic::{AtomicBool, AtomicUsize};

use async_trait::async_trait;
use tokio::{
    sync::Semaphore,
    task::{JoinSet, yield_now},
};

use super::*;
use crate::{
    domain::Event,
    store::{FeedConnection, LivePage, ParticipantsPage, SnapshotContent, Source},
    telemetry::Metrics,
};

/// An empty store whose readings wait for a permit.
struct GatedFeed {
    gate: Semaphore,
    readings: AtomicUsize,
    /// Milliseconds of the newest cursor.
    tail: AtomicU64,
    /// True if the log does not continue a finished reading.
    is_trimmed: AtomicBool,
    fails: AtomicBool,
}

impl GatedFeed {
    fn snapshots(permits: usize) -> (Arc<Self>, Snapshots) {
        let feed = Arc::new(Self {
            gate: Semaphore::new(permits),
            readings: AtomicUsize::default(),
            tail: AtomicU64::new(1),
            is_trimmed: AtomicBool::default(),
            fails: AtomicBool::default(),
        });
        let budget = Budget::new(&Metrics::new().unwrap());
        (feed.clone(), Snapshots::new(feed, budget, Handle::current()))
    }

    fn newest(&self) -> Cursor {
        Cursor::new(self.tail.load(Ordering::Relaxed), 0)
    }
}

#[async_trait]
impl EventFeed for GatedFeed {
    async fn connect(&self, _: Source) -> Result<Box<dyn FeedConnection>, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn tails(&self, _: &[Topic]) -> Result<Vec<Cursor>, StoreError> {
        self.readings.fetch_add(1, Ordering::Relaxed);
        Ok(vec![self.newest()])
    }

    async fn read_after(&self, _: Topic, _: Cursor, limit: usize) -> Result<LogRead, StoreError> {
        // Only the check of a finished reading reads one event.
        if limit == 1 && self.is_trimmed.load(Ordering::Relaxed) {
            return Ok(LogRead::Reset(ResetReason::Expired));
        }
        Ok(LogRead::Events { events: Vec::new(), complete: true })
    }

    async fn newest(&self, _: Topic, _: usize) -> Result<Option<Vec<Arc<Event>>>, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn before_newest(&self, _: Topic, _: usize) -> Result<Option<Cursor>, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn probe(&self, _: Source, _: &str) -> Result<(), StoreError> {
        Err(StoreError::NotFound)
    }

    async fn live_streams(&self, _: Option<&str>) -> Result<LivePage, StoreError> {
        self.gate.acquire().await.unwrap().forget();
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::NotFound);
        }
        Ok(LivePage { streams: Vec::new(), tails: vec![self.newest()], next: None })
    }

    async fn stream_snapshot(&self, _: StreamId) -> Result<Snapshot, StoreError> {
        self.readings.fetch_add(1, Ordering::Relaxed);
        let cursor = self.newest();
        self.gate.acquire().await.unwrap().forget();
        Ok(Snapshot { cursor, content: SnapshotContent::Stream(None) })
    }

    async fn participants_page(
        &self,
        _: StreamId,
        _: Option<&str>,
        _: usize,
    ) -> Result<ParticipantsPage, StoreError> {
        Err(StoreError::NotFound)
    }
}

#[tokio::test]
async fn snapshot_of_all_is_read_once_for_concurrent_callers() {
    let (feed, snapshots) = GatedFeed::snapshots(0);
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let snapshots = snapshots.clone();
        callers.spawn(async move { snapshots.of(Topic::All).await.unwrap() });
    }
    // The dropped caller has started the reading or waits for it.
    let dropped = snapshots.of(Topic::All);
    assert!(dropped.now_or_never().is_none());
    feed.gate.add_permits(1);
    let results = callers.join_all().await;
    assert!(results.iter().all(|result| Arc::ptr_eq(result, &results[0])));
    let again = snapshots.of(Topic::All).await.unwrap();
    assert!(Arc::ptr_eq(&again, &results[0]));
    assert_eq!(feed.readings.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn snapshot_of_all_that_the_log_does_not_continue_is_read_again() {
    let (feed, snapshots) = GatedFeed::snapshots(2);
    let first = snapshots.of(Topic::All).await.unwrap();
    feed.is_trimmed.store(true, Ordering::Relaxed);
    let second = snapshots.of(Topic::All).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
}

/// The log behind the first snapshot has readable events and then an unreadable entry.
#[tokio::test]
async fn reset_after_unreadable_entry_has_snapshot_behind_that_entry() {
    let (feed, snapshots) = GatedFeed::snapshots(2);
    let first = snapshots.of(Topic::All).await.unwrap().cursor();
    feed.tail.store(3, Ordering::Relaxed);
    let unreadable = async |from| snapshots.reset(Topic::All, ResetReason::Unreadable, from).await.unwrap();
    assert_eq!(unreadable(first).await.cursor, feed.newest());
    // A client that resumes from before the entry shares that snapshot.
    assert_eq!(unreadable(first).await.cursor, feed.newest());
    assert_eq!(feed.readings.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn failed_reading_is_not_kept() {
    let (feed, snapshots) = GatedFeed::snapshots(2);
    feed.fails.store(true, Ordering::Relaxed);
    assert!(snapshots.of(Topic::All).await.is_err());
    feed.fails.store(false, Ordering::Relaxed);
    while lock(&snapshots.reading).is_some() {
        yield_now().await;
    }
    assert!(snapshots.of(Topic::All).await.is_ok());
}

#[tokio::test]
async fn resets_of_a_stream_share_a_reading_that_begins_after_their_calls() {
    let (feed, snapshots) = GatedFeed::snapshots(0);
    let id = StreamId::generate();
    let (mut callers, started) = (JoinSet::new(), |count| feed.readings.load(Ordering::Relaxed) == count);
    let mut call = || {
        let snapshots = snapshots.clone();
        let reset =
            async move { snapshots.reset(Topic::Stream(id), ResetReason::Expired, Cursor::ORIGIN).await };
        callers.spawn(async move { reset.await.unwrap().cursor });
    };
    call();
    while !started(1) {
        yield_now().await;
    }
    // A change while the first reading runs.
    feed.tail.store(2, Ordering::Relaxed);
    (0..50).for_each(|_| call());
    feed.gate.add_permits(2);
    let mut cursors = callers.join_all().await;
    cursors.sort_unstable();
    assert_eq!((cursors[0].millis(), cursors[1].millis(), cursors[50].millis()), (1, 2, 2));
    assert!(started(2) && snapshots.streams.is_empty());
}

#[tokio::test]
async fn reset_is_made_once_for_each_reason() {
    let (_feed, snapshots) = GatedFeed::snapshots(1);
    let snapshot = snapshots.of(Topic::All).await.unwrap();
    assert!(Arc::ptr_eq(&snapshot.reset("one"), &snapshot.reset("one")));
    assert!(!Arc::ptr_eq(&snapshot.reset("one"), &snapshot.reset("other")));
}
