//! Snapshots for resets. One reading serves every client that needs it at that moment.

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
    stream_readings::StreamReadings,
};
use crate::{
    domain::{Cursor, StreamId, Topic},
    store::{EventFeed, LogRead, ResetReason, Snapshot, StoreError, snapshot, snapshot_of_stream},
};

/// Time for which a snapshot of all streams is reused. Each client gets the events after its cursor from the log.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A snapshot with the resets that are made of it, which all its clients share.
pub struct SharedSnapshot {
    measured: Arc<MeasuredSnapshot>,
    resets: Mutex<Vec<Arc<ResetFrame>>>,
}

impl SharedSnapshot {
    fn new(snapshot: Snapshot, budget: &Budget, is_reused: bool) -> Self {
        let measured = MeasuredSnapshot::new(snapshot, budget, is_reused);
        Self { measured: Arc::new(measured), resets: Mutex::default() }
    }

    /// Keeps only what clients still send, because new clients get another snapshot.
    fn set_replaced(&self) {
        self.measured.set_replaced();
        self.resets().iter().for_each(|reset| reset.release_renderings());
    }

    fn resets(&self) -> MutexGuard<'_, Vec<Arc<ResetFrame>>> {
        self.resets.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut resets = self.resets();
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
    streams: StreamReadings<Outcome>,
}

impl Snapshots {
    pub(super) fn new(feed: Arc<dyn EventFeed>, budget: Budget, runtime: Handle) -> Self {
        let streams = StreamReadings::new(runtime.clone());
        Self { feed, budget, runtime, reading: Arc::default(), streams }
    }

    /// Returns the state of a topic: the document of one stream, or all streams. The latter may be up to [`MAX_AGE`]
    /// old; the log holds its cursor.
    ///
    /// Cancellation safe: dropping one caller does not cancel the reading for the others.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the store cannot be reached, [`StoreError::Corrupt`] if a stream cannot be parsed.
    pub(super) async fn of(&self, topic: Topic) -> Outcome {
        match topic {
            Topic::Stream(id) => {
                let snapshot = self.feed.stream_snapshot(id).await?;
                Ok(Arc::new(SharedSnapshot::new(snapshot, &self.budget, false)))
            }
            Topic::All => self.of_all(None).await,
        }
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
        let snapshot = match topic {
            Topic::Stream(id) => self.of_stream(id).await?,
            Topic::All => self.of_all(excluded).await?,
        };
        Ok(snapshot.reset(reason.as_str()))
    }

    /// Returns the state of a stream with all participants that a reset carries, read after the call.
    async fn of_stream(&self, id: StreamId) -> Outcome {
        let (feed, budget) = (self.feed.clone(), self.budget.clone());
        let read = async move || measure(snapshot_of_stream::read(&*feed, id).await?, budget, false).await;
        self.streams.share(id, read).await
    }

    /// Returns the state of all streams, as of a later cursor than `excluded` or read after the call.
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
            measure(snapshot, budget, true).await
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

/// Measures a snapshot on another thread. That takes about 2 µs a stream, which would delay the hub.
async fn measure(snapshot: Snapshot, budget: Budget, is_reused: bool) -> Outcome {
    let measured = spawn_blocking(move || SharedSnapshot::new(snapshot, &budget, is_reused)).await;
    let cancelled = |_| StoreError::Unavailable("the measuring of a snapshot was cancelled".to_owned());
    measured.map(Arc::new).map_err(cancelled)
}

fn lock(reading: &Mutex<Option<SharedReading>>) -> MutexGuard<'_, Option<SharedReading>> {
    reading.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a reading, unless a newer one has replaced it.
fn forget(current: &Mutex<Option<SharedReading>>, id: u64) {
    let forgotten = lock(current).take_if(|reading| reading.id == id);
    if let Some(Ok(snapshot)) = forgotten.as_ref().and_then(|reading| reading.outcome.peek()) {
        snapshot.set_replaced();
    }
}

#[cfg(test)]
mod tests;
