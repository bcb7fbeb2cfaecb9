//! The newest events of a partition's log, read once for all followers on this instance.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use crate::{
    domain::{Cursor, Event, Topic},
    store::{FollowedPartition, LogRead, ResetReason, StoreError},
};

/// Interval at which a follower asks for events while there are none.
pub const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Minimum time between two reads while the log has no further events. A follower that gets events asks so often, so
/// that it gets them a few at a time.
pub const MIN_READ_INTERVAL: Duration = Duration::from_millis(50);
/// Maximum number of events in one page.
const PAGE: usize = 250;
/// Maximum number of kept events.
const MAX_EVENTS: usize = 2_000;
/// Maximum approximate size of the kept events in bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Maximum number of pages in one call of [`RecentEvents::refresh`].
const REFRESHED_PAGES: usize = 20;

/// Result of reading on.
#[derive(Debug)]
pub enum Followed {
    /// The events after the position; none if the log has no more at the moment.
    Events {
        /// The events, oldest first.
        events: Vec<Arc<Event>>,
        /// Number of the last event, or of the position without events. `None` for a position before the kept events.
        number: Option<u64>,
    },
    /// The log no longer holds every event after the position.
    Lost(ResetReason),
}

/// The newest events of the log of one partition, which followers that are not far behind share. A follower that is
/// far behind reads the log itself.
pub struct RecentEvents {
    partition: Arc<dyn FollowedPartition>,
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Position of the last event that was read; `None` before the first read.
    end: Option<Cursor>,
    /// Number of events that were read in all, which numbers the last one.
    count: u64,
    read_at: Option<Instant>,
}

impl RecentEvents {
    /// Reads nothing yet.
    pub fn of(partition: Arc<dyn FollowedPartition>) -> Self {
        Self { partition, window: Mutex::default() }
    }

    /// Returns events after a position. Reads the log at most once in [`MIN_READ_INTERVAL`] while it has no more
    /// events.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn after(&self, position: Cursor) -> Result<Followed, StoreError> {
        let mut window = self.window.lock().await;
        if window.end.is_none_or(|end| end < position) {
            window.restart_at(position);
        }
        if window.end == Some(position) {
            if window.read_at.is_some_and(|at| at.elapsed() < MIN_READ_INTERVAL) {
                return Ok(Followed::Events { events: Vec::new(), number: Some(window.count) });
            }
            if let Some(reason) = self.extend(&mut window).await? {
                return Ok(Followed::Lost(reason));
            }
        }
        if let Some(followed) = window.after(position) {
            return Ok(followed);
        }
        drop(window);
        match self.partition.read_after(Topic::All, position, PAGE).await? {
            LogRead::Events { events, .. } => Ok(Followed::Events { events, number: None }),
            LogRead::Reset(reason) => Ok(Followed::Lost(reason)),
        }
    }

    /// Reads what was added to the log, so that [`Self::count`] is current also while no follower reads.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let mut window = self.window.lock().await;
        for _ in 0..REFRESHED_PAGES {
            let count = window.count;
            if window.end.is_none() || self.extend(&mut window).await?.is_some() || window.count == count {
                break;
            }
        }
        Ok(())
    }

    /// Returns the number of the newest event that was read.
    pub async fn count(&self) -> u64 {
        self.window.lock().await.count
    }

    /// Reads a page after the window. Forgets the window if the log has lost events.
    async fn extend(&self, window: &mut Window) -> Result<Option<ResetReason>, StoreError> {
        let end = window.end.unwrap_or(Cursor::ORIGIN);
        match self.partition.read_after(Topic::All, end, PAGE).await? {
            LogRead::Events { events, complete } => {
                window.read_at = complete.then(Instant::now);
                window.append(events);
                Ok(None)
            }
            LogRead::Reset(reason) => {
                window.forget();
                Ok(Some(reason))
            }
        }
    }
}

impl Window {
    fn restart_at(&mut self, position: Cursor) {
        self.forget();
        self.end = Some(position);
    }

    fn forget(&mut self) {
        *self = Self { count: self.count, ..Self::default() };
    }

    fn append(&mut self, events: Vec<Arc<Event>>) {
        for event in events {
            self.end = Some(event.cursor);
            self.count += 1;
            self.bytes += event.approximate_bytes();
            self.events.push_back(event);
        }
        while self.events.len() > MAX_EVENTS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.approximate_bytes();
        }
    }

    /// Returns a page after a position that the window contains; `None` for another one.
    fn after(&self, position: Cursor) -> Option<Followed> {
        let start = self.events.partition_point(|event| event.cursor <= position);
        let before = match start.checked_sub(1) {
            Some(index) => self.events.get(index).map(|event| event.cursor),
            None => self.events.front().map(|event| event.previous_of_all).or(self.end),
        };
        if before != Some(position) {
            return None;
        }
        let events: Vec<_> = self.events.iter().skip(start).take(PAGE).cloned().collect();
        let rest = self.events.len() - start - events.len();
        Some(Followed::Events { events, number: Some(self.count - rest as u64) })
    }
}
