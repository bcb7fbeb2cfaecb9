//! Deliveries of one stream to one endpoint, which are made one after the other.

use std::collections::VecDeque;

use super::queued_event::QueuedEvent;
use crate::domain::{Cursor, Timestamp};

/// State of a stream that has fallen behind the log of all streams, because its deliveries wait or take long. Its
/// events are read from its own log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Number of failed attempts at the next delivery.
    pub attempts: u32,
    /// Time of the next attempt.
    pub due: Timestamp,
}

/// Deliveries of one stream.
#[derive(Debug)]
pub(super) struct Queue {
    /// Position in the stream's log before the first delivery that is not made.
    pub(super) after: Cursor,
    /// Newest event of the endpoint that was read.
    pub(super) newest: Cursor,
    /// The next deliveries.
    pub(super) events: VecDeque<QueuedEvent>,
    /// An attempt, or a read of the stream's log, is in progress since then.
    pub(super) busy_since: Option<Timestamp>,
    /// `None` while the log of all streams is the source of the stream's events.
    pub(super) waiting: Option<Waiting>,
    /// Cursor of the reset that the endpoint must get, because the stream's own events after the position are lost.
    pub(super) reset: Option<Cursor>,
    /// Number of deliveries that are not made.
    pub(super) undelivered: u64,
    /// Time of the first event that is not delivered.
    pub(super) oldest: Timestamp,
}

impl Queue {
    /// Creates a queue without deliveries.
    pub(super) fn new(after: Cursor, oldest: Timestamp) -> Self {
        Self {
            after,
            newest: after,
            events: VecDeque::new(),
            busy_since: None,
            waiting: None,
            reset: None,
            undelivered: 0,
            oldest,
        }
    }

    /// Counts an event of the log of all streams, and queues it unless the stream is behind.
    ///
    /// Returns false for an event that the queue has already, from the stream's own log.
    pub(super) fn add(&mut self, event: &QueuedEvent) -> bool {
        if event.cursor() <= self.newest {
            return false;
        }
        self.newest = event.cursor();
        self.count(event);
        if self.waiting.is_none() {
            self.events.push_back(event.clone());
        }
        true
    }

    fn count(&mut self, event: &QueuedEvent) {
        if self.undelivered == 0 {
            self.oldest = event.timestamp();
        }
        self.undelivered += 1;
    }

    /// Queues a page of the stream's own log. `is_wanted` says which events the endpoint gets.
    pub(super) fn fill(&mut self, page: &[QueuedEvent], is_wanted: impl Fn(&QueuedEvent) -> bool) {
        for event in page {
            if event.cursor() <= self.after {
                continue;
            }
            if is_wanted(event) {
                self.add_read(event);
            } else if self.events.is_empty() {
                self.after = event.cursor();
            }
        }
        if let Some(first) = self.events.front() {
            self.oldest = first.timestamp();
        }
    }

    fn add_read(&mut self, event: &QueuedEvent) {
        if event.cursor() > self.newest {
            self.newest = event.cursor();
            self.count(event);
        }
        self.events.push_back(event.clone());
    }

    /// Removes the first delivery, which is made.
    pub(super) fn complete(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.after = event.cursor();
        }
        self.undelivered = self.undelivered.saturating_sub(1);
        if let Some(next) = self.events.front() {
            self.oldest = next.timestamp();
        }
    }

    /// Continues from the stream's own log at `due`. Keeps `kept` of the queued deliveries.
    pub(super) fn fall_behind(&mut self, waiting: Waiting, kept: usize) {
        self.events.truncate(kept);
        self.waiting = Some(waiting);
    }

    /// True if every delivery that was read is made.
    pub(super) fn is_finished(&self) -> bool {
        self.events.is_empty() && self.after >= self.newest
    }

    /// True if nothing is to be done until the log of all streams has further events.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_none() && self.busy_since.is_none() && self.is_finished()
    }

    /// True if the next attempt is permitted.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.waiting.is_none_or(|waiting| waiting.due <= now)
    }

    /// Returns the number of failed attempts at the next delivery.
    pub(super) fn attempts(&self) -> u32 {
        self.waiting.map_or(0, |waiting| waiting.attempts)
    }
}
