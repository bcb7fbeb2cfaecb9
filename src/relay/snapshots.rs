//! Snapshots for resets. One reading of all streams serves every client that needs it at that moment.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{runtime::Handle, task::spawn_blocking, time::sleep};

use super::{
    budget::Budget,
    reset::{MeasuredSnapshot, ResetFrame},
};
use crate::{
    domain::{Cursor, Topic},
    store::{EventFeed, LogRead, ResetReason, Snapshot, StoreError, snapshot},
};

/// Time for which a snapshot of all streams is reused. Each client gets the events after its cursor from the log.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A snapshot with the resets that are made of it, which all its clients share.
pub struct SharedSnapshot {
    measured: Arc<MeasuredSnapshot>,
    resets: Mutex<Vec<Arc<ResetFrame>>>,
}

impl SharedSnapshot {
    fn new(snapshot: Snapshot, budget: &Budget) -> Self {
        let measured = MeasuredSnapshot::new(snapshot, |bytes| Some(budget.charge(bytes)));
        Self { measured: Arc::new(measured), resets: Mutex::default() }
    }

    /// Returns the snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        &self.measured.snapshot
    }

    /// Returns the cursor of the snapshot.
    pub fn cursor(&self) -> Cursor {
        self.measured.snapshot.cursor
    }

    /// Returns the size of the snapshot as JSON text.
    pub fn bytes(&self) -> usize {
        self.measured.bytes()
    }

    /// Returns the reset to this snapshot for a reason. Made at most once for each reason.
    pub fn reset(&self, reason: &'static str) -> Arc<ResetFrame> {
        let mut resets = self.resets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reset) = resets.iter().find(|reset| reset.reason == reason) {
            return reset.clone();
        }
        let reset = Arc::new(ResetFrame::new(reason, self.measured.clone()));
        resets.push(reset.clone());
        reset
    }
}

/// Result of a reading.
type Outcome = Result<Arc<SharedSnapshot>, StoreError>;

/// A reading of all streams, in progress or finished less than [`MAX_AGE`] ago.
#[derive(Clone)]
struct SharedReading {
    id: u64,
    outcome: Shared<BoxFuture<'static, Outcome>>,
}

/// Reads snapshots. Clones share the reading of all streams.
#[derive(Clone)]
pub(super) struct Snapshots {
    feed: Arc<dyn EventFeed>,
    budget: Budget,
    /// Drives readings, because a caller may be dropped.
    runtime: Handle,
    reading: Arc<Mutex<Option<SharedReading>>>,
}

impl Snapshots {
    pub(super) fn new(feed: Arc<dyn EventFeed>, budget: Budget, runtime: Handle) -> Self {
        Self { feed, budget, runtime, reading: Arc::default() }
    }

    /// Returns the state of a topic. That of all streams may be up to [`MAX_AGE`] old; the log holds its cursor.
    ///
    /// Cancellation safe: dropping one caller does not cancel the reading for the others.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the store cannot be reached, [`StoreError::Corrupt`] if a stream cannot be parsed.
    pub(super) async fn of(&self, topic: Topic) -> Outcome {
        self.beyond(topic, None).await
    }

    /// Returns the reset for a log that cannot be continued from a cursor.
    ///
    /// # Errors
    /// Those of [`Self::of`].
    pub(super) async fn reset(
        &self,
        topic: Topic,
        reason: ResetReason,
        from: Cursor,
    ) -> Result<Arc<ResetFrame>, StoreError> {
        // From any cursor up to this one, the next reads would meet the same unreadable entry.
        let excluded = (reason == ResetReason::Unreadable).then_some(from);
        Ok(self.beyond(topic, excluded).await?.reset(reason.as_str()))
    }

    /// Returns the state of a topic, as of a later cursor than `excluded` or read after the call.
    async fn beyond(&self, topic: Topic, excluded: Option<Cursor>) -> Outcome {
        match topic {
            Topic::Stream(id) => {
                let snapshot = self.feed.stream_snapshot(id).await?;
                Ok(Arc::new(SharedSnapshot::new(snapshot, &self.budget)))
            }
            Topic::All => self.of_all(excluded).await,
        }
    }

    async fn of_all(&self, excluded: Option<Cursor>) -> Outcome {
        loop {
            let (reading, is_new) = self.join();
            let is_finished = reading.outcome.peek().is_some();
            let snapshot = reading.outcome.await?;
            let cursor = snapshot.cursor();
            let is_usable = is_new || excluded.is_none_or(|excluded| cursor > excluded);
            if is_usable && (!is_finished || self.is_continued(cursor).await?) {
                return Ok(snapshot);
            }
            forget(&self.reading, reading.id);
        }
    }

    /// Reports whether the log of all streams holds every event after a cursor.
    async fn is_continued(&self, cursor: Cursor) -> Result<bool, StoreError> {
        let read = self.feed.read_after(Topic::All, cursor, 1).await?;
        Ok(matches!(read, LogRead::Events { .. }))
    }

    /// Returns the current reading, or starts one and returns true with it.
    fn join(&self) -> (SharedReading, bool) {
        let mut current = lock(&self.reading);
        let is_new = current.is_none();
        (current.get_or_insert_with(|| self.start()).clone(), is_new)
    }

    fn start(&self) -> SharedReading {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (feed, budget, all) = (self.feed.clone(), self.budget.clone(), self.reading.clone());
        let read = async move {
            let snapshot = snapshot::of_all(&*feed).await?;
            // Measuring takes about 2 µs a stream, which would delay the hub.
            let measured = spawn_blocking(move || SharedSnapshot::new(snapshot, &budget)).await;
            let cancelled =
                |_| StoreError::Unavailable("the measuring of a snapshot was cancelled".to_owned());
            measured.map(Arc::new).map_err(cancelled)
        };
        let reading =
            SharedReading { id: NEXT.fetch_add(1, Ordering::Relaxed), outcome: read.boxed().shared() };
        let (id, outcome) = (reading.id, reading.outcome.clone());
        self.runtime.spawn(async move {
            let succeeded = outcome.await.is_ok();
            if succeeded {
                sleep(MAX_AGE).await;
            }
            forget(&all, id);
        });
        reading
    }
}

fn lock(reading: &Mutex<Option<SharedReading>>) -> MutexGuard<'_, Option<SharedReading>> {
    reading.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a reading, unless a newer one has replaced it.
fn forget(current: &Mutex<Option<SharedReading>>, id: u64) {
    lock(current).take_if(|reading| reading.id == id);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    use async_trait::async_trait;
    use tokio::{sync::Semaphore, task::JoinSet};

    use super::*;
    use crate::{
        domain::{Event, StreamId},
        store::{FeedConnection, LivePage},
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
        async fn connect(&self) -> Result<Box<dyn FeedConnection>, StoreError> {
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

        async fn probe(&self, _: &str) -> Result<(), StoreError> {
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
        let unreadable =
            async |from| snapshots.reset(Topic::All, ResetReason::Unreadable, from).await.unwrap();
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
            tokio::task::yield_now().await;
        }
        assert!(snapshots.of(Topic::All).await.is_ok());
    }

    #[tokio::test]
    async fn reset_is_made_once_for_each_reason() {
        let (_feed, snapshots) = GatedFeed::snapshots(1);
        let snapshot = snapshots.of(Topic::All).await.unwrap();
        assert!(Arc::ptr_eq(&snapshot.reset("one"), &snapshot.reset("one")));
        assert!(!Arc::ptr_eq(&snapshot.reset("one"), &snapshot.reset("other")));
    }
}
