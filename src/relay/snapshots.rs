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
    store::{EventFeed, LogRead, Snapshot, StoreError, snapshot},
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
struct Reading {
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
    reading: Arc<Mutex<Option<Reading>>>,
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
    /// [`StoreError::Unavailable`] if the store cannot be reached.
    pub(super) async fn of(&self, topic: Topic) -> Outcome {
        match topic {
            Topic::Stream(id) => {
                let snapshot = self.feed.stream_snapshot(id).await?;
                Ok(Arc::new(SharedSnapshot::new(snapshot, &self.budget)))
            }
            Topic::All => self.of_all().await,
        }
    }

    async fn of_all(&self) -> Outcome {
        loop {
            let reading = self.join();
            let is_finished = reading.outcome.peek().is_some();
            let snapshot = reading.outcome.await?;
            if !is_finished || self.is_continued(snapshot.cursor()).await? {
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

    /// Returns the current reading, or starts one.
    fn join(&self) -> Reading {
        let mut current = lock(&self.reading);
        current.get_or_insert_with(|| self.start()).clone()
    }

    fn start(&self) -> Reading {
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
        let reading = Reading { id: NEXT.fetch_add(1, Ordering::Relaxed), outcome: read.boxed().shared() };
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

fn lock(reading: &Mutex<Option<Reading>>) -> MutexGuard<'_, Option<Reading>> {
    reading.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a reading, unless a newer one has replaced it.
fn forget(current: &Mutex<Option<Reading>>, id: u64) {
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
        store::{FeedConnection, LivePage, ResetReason},
        telemetry::Metrics,
    };

    /// An empty store whose readings wait for a permit.
    struct GatedFeed {
        gate: Semaphore,
        readings: AtomicUsize,
        /// True if the log does not continue a finished reading.
        is_trimmed: AtomicBool,
        fails: AtomicBool,
    }

    impl GatedFeed {
        fn snapshots(permits: usize) -> (Arc<Self>, Snapshots) {
            let feed = Arc::new(Self {
                gate: Semaphore::new(permits),
                readings: AtomicUsize::default(),
                is_trimmed: AtomicBool::default(),
                fails: AtomicBool::default(),
            });
            let budget = Budget::new(&Metrics::new().unwrap());
            (feed.clone(), Snapshots::new(feed, budget, Handle::current()))
        }
    }

    #[async_trait]
    impl EventFeed for GatedFeed {
        async fn connect(&self) -> Result<Box<dyn FeedConnection>, StoreError> {
            Err(StoreError::NotFound)
        }

        async fn tails(&self, _: &[Topic]) -> Result<Vec<Cursor>, StoreError> {
            self.readings.fetch_add(1, Ordering::Relaxed);
            Ok(vec![Cursor::new(1, 0)])
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
            Ok(LivePage { streams: Vec::new(), tails: vec![Cursor::new(1, 0)], next: None })
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
