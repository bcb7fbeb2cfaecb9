//! One term of the lease of an archiver: reads the log in batches and stores them.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    batch::Batch,
    error::HistoryError,
    failure::{Failure, Step, gap_at},
    records::{Gap, Log},
    store::{ArchiveOutcome, HistoryStore},
};
use crate::{
    domain::{Cursor, Event, Partition, Timestamp, Topic},
    followers::{Followed, Lag, RecentEvents, SharedClock},
    store::{FollowedPartition, ResetReason, StoreError},
};

/// Number of events from which a batch is stored although the log has more.
const MAX_EVENTS: usize = 2_000;
/// Approximate size of the events from which a batch is stored although the log has more.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Interval at which the store is told the position although it has not changed, because it forgets it with time.
const KEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Where archiving continues.
#[derive(Clone, Copy, Debug)]
struct Position {
    /// Position of the partition in the database; `None` if nothing of it is stored.
    stored: Option<Cursor>,
    /// Position in the log of the last event that was read.
    read: Cursor,
}

/// The state of one term.
pub(super) struct Archiving {
    partition: Arc<dyn FollowedPartition>,
    number: Partition,
    store: Arc<dyn HistoryStore>,
    recent: RecentEvents,
    clock: SharedClock,
    /// `None` until it is read from the database, and after another instance has moved it.
    position: Option<Position>,
    /// Events that were read and are not stored.
    pending: Vec<Arc<Event>>,
    pending_bytes: usize,
    /// Maximum number of events of the next batch: smaller after the database has refused a row, to find that row.
    limit: usize,
    /// Number of events that were stored or lost, of those that `recent` has counted.
    processed: u64,
    /// Since when steps fail.
    failing_since: Option<Instant>,
    /// When the store was told which events to keep.
    kept_at: Instant,
}

impl Archiving {
    pub(super) fn new(
        partition: Arc<dyn FollowedPartition>,
        number: Partition,
        store: Arc<dyn HistoryStore>,
    ) -> Self {
        Self {
            recent: RecentEvents::of(partition.clone()),
            clock: SharedClock::of(partition.clone()),
            partition,
            number,
            store,
            position: None,
            pending: Vec::new(),
            pending_bytes: 0,
            limit: MAX_EVENTS,
            processed: 0,
            failing_since: None,
            kept_at: Instant::now(),
        }
    }

    /// Stores the next events, or learns that there are none.
    ///
    /// Cancellation safe: events of a cancelled step are stored by it or by a later one.
    pub(super) async fn step(&mut self) -> Result<Step, Failure> {
        let result = self.try_step().await;
        match &result {
            Ok(_) => self.failing_since = None,
            Err(_) => _ = self.failing_since.get_or_insert_with(Instant::now),
        }
        result
    }

    async fn try_step(&mut self) -> Result<Step, Failure> {
        let position = match self.position {
            Some(position) => position,
            None => self.load().await?,
        };
        if self.kept_at.elapsed() >= KEEP_INTERVAL {
            self.keep_after(position.stored.unwrap_or(position.read)).await?;
        }
        let lost = self.read(position).await?;
        if !self.pending.is_empty() {
            return self.archive_pending(position).await;
        }
        match lost {
            None => Ok(Step::UpToDate),
            Some(ResetReason::Unreadable) => Err(Failure::Unreadable),
            Some(reason) => self.record_gap(position, reason).await,
        }
    }

    /// Reads the position from the database. Without one, archiving begins at the oldest event that the log has.
    async fn load(&mut self) -> Result<Position, Failure> {
        let stored = self.store.position(self.number, Log::Events).await?;
        let read = match stored {
            Some(stored) => stored,
            None => self.oldest().await?,
        };
        self.keep_after(read).await?;
        let position = Position { stored, read };
        (self.position, self.processed) = (Some(position), self.recent.count().await);
        Ok(position)
    }

    /// Keeps the events after a position in the log.
    async fn keep_after(&mut self, position: Cursor) -> Result<(), StoreError> {
        self.kept_at = Instant::now();
        self.partition.keep_after(position).await
    }

    /// Returns the position before the oldest event that the log has.
    async fn oldest(&self) -> Result<Cursor, StoreError> {
        self.partition.position_at(Some(Cursor::ORIGIN)).await
    }

    /// Reads events until the batch is full or the log has no more. Returns why the log cannot be continued, if so.
    async fn read(&mut self, position: Position) -> Result<Option<ResetReason>, StoreError> {
        let mut last = self.pending.last().map_or(position.read, |event| event.cursor);
        while self.pending.len() < MAX_EVENTS && self.pending_bytes < MAX_BYTES {
            match self.recent.after(last).await? {
                Followed::Events { events, .. } => {
                    let Some(newest) = events.last() else { break };
                    last = newest.cursor;
                    self.pending_bytes += events.iter().map(|event| event.approximate_bytes()).sum::<usize>();
                    self.pending.extend(events);
                }
                Followed::Lost(reason) => return Ok(Some(reason)),
            }
        }
        Ok(None)
    }

    /// Records that events after the position may be missing, and continues with the oldest event that the log has.
    /// Events that are stored already stay as they are.
    async fn record_gap(&mut self, position: Position, reason: ResetReason) -> Result<Step, Failure> {
        let (after, oldest) = (position.stored.unwrap_or(Cursor::ORIGIN), self.oldest().await?);
        let until = match reason {
            ResetReason::Expired => oldest,
            _ => self.partition.tails(&[Topic::All]).await?.first().copied().unwrap_or(after).max(after),
        };
        let gap = Gap { after, until, reason };
        let batch = Batch::of_gap(self.number, position.stored, gap, oldest);
        self.processed = self.recent.count().await;
        self.archive(&batch, 0, Step::Gap(gap)).await
    }

    /// Stores the oldest events of those that were read. If the database refuses a row, the next batch is smaller, and
    /// at last a gap takes the place of the event, so that one event never stops the others.
    async fn archive_pending(&mut self, position: Position) -> Result<Step, Failure> {
        let count = self.pending.len().min(self.limit);
        let batch = Batch::of_events(self.number, position.stored, &self.pending[..count])?;
        match self.archive(&batch, count, Step::Stored).await {
            Err(Failure::Database(HistoryError::RowRefused(_))) if count > 1 => {
                self.limit = count / 2;
                Ok(Step::Divided)
            }
            Err(Failure::Database(error @ HistoryError::RowRefused(_))) => {
                let (cursor, partition) = (batch.end(), self.number.number());
                tracing::error!(%error, %cursor, partition, "event not archived; a gap takes its place");
                let gap = gap_at(position.stored, cursor);
                let batch = Batch::of_gap(self.number, position.stored, gap, cursor);
                self.archive(&batch, 1, Step::Gap(gap)).await
            }
            stored => {
                self.limit = (2 * self.limit).min(MAX_EVENTS);
                stored
            }
        }
    }

    /// Stores a batch that has the oldest `count` events of those that were read.
    async fn archive(&mut self, batch: &Batch, count: usize, done: Step) -> Result<Step, Failure> {
        let outcome = self.store.archive(batch).await?;
        match outcome {
            ArchiveOutcome::Stored => {
                let end = batch.end();
                self.forget(count);
                self.position = Some(Position { stored: Some(end), read: end });
                self.keep_after(end).await?;
                Ok(done)
            }
            // An earlier attempt whose answer was lost, or another instance, has moved the position.
            ArchiveOutcome::Superseded => {
                self.forget(self.pending.len());
                self.position = None;
                Ok(Step::Stored)
            }
        }
    }

    /// Forgets the oldest `count` events of those that were read.
    fn forget(&mut self, count: usize) {
        let forgotten = self.pending.drain(..count);
        self.pending_bytes -= forgotten.map(|event| event.approximate_bytes()).sum::<usize>();
        self.processed += count as u64;
    }

    /// Returns how far the history is behind the log.
    pub(super) async fn lag(&mut self) -> Lag {
        if let Err(error) = self.recent.refresh().await {
            tracing::debug!(%error, "log not read; the lag may be larger");
        }
        let events = self.recent.count().await.saturating_sub(self.processed);
        let now = self.clock.now().await;
        let oldest = self.pending.first().map(|event| event.timestamp);
        let age = oldest.map_or(Duration::ZERO, |oldest: Timestamp| oldest.until(now));
        let failing = self.failing_since.map_or(Duration::ZERO, |since| since.elapsed());
        Lag { events, age: age.max(failing) }
    }
}
