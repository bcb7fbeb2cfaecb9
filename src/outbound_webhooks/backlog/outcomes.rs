//! What the results of steps change.

use super::{Backlog, QueuedEvent, StreamRead, Waiting, queue::Queue};
use crate::domain::{Cursor, StreamId, Timestamp};

impl Backlog {
    /// Ends the delivery of an event successfully.
    pub fn delivered(&mut self, event: &QueuedEvent) {
        let Some(queue) = self.busy_with(event) else { return };
        queue.busy_since = None;
        queue.complete();
        if let Some(waiting) = &mut queue.waiting {
            waiting.attempts = 0;
        }
        self.proceed(event.stream_id());
    }

    /// Ends the delivery of an event, which is attempted again at `due`.
    pub fn failed(&mut self, event: &QueuedEvent, due: Timestamp) {
        let Some(queue) = self.busy_with(event) else { return };
        queue.busy_since = None;
        let attempts = queue.attempts() + 1;
        queue.fall_behind(Waiting { attempts, due }, 0);
        self.ready_behind.push_back(event.stream_id());
    }

    /// Returns the number of failed attempts at the delivery of an event.
    pub fn attempts(&self, event: &QueuedEvent) -> u32 {
        self.queues.get(&event.stream_id()).map_or(0, Queue::attempts)
    }

    fn busy_with(&mut self, event: &QueuedEvent) -> Option<&mut Queue> {
        let queue = self.queues.get_mut(&event.stream_id())?;
        let is_first = queue.events.front().is_some_and(|first| first.cursor() == event.cursor());
        (is_first && queue.busy_since.is_some()).then_some(queue)
    }

    /// Adds a page of a stream's own log. `is_complete` says that the log had no more events.
    pub fn fill(&mut self, read: StreamRead, page: &[QueuedEvent], is_complete: bool) {
        let filter = self.filter.clone();
        let Some(queue) = self.queues.get_mut(&read.id) else { return };
        queue.busy_since = None;
        queue.fill(page, |event| filter.matches(event.stream_id(), event.kind()));
        if queue.events.is_empty() && is_complete {
            queue.after = queue.after.max(read.newest);
        }
        self.proceed(read.id);
    }

    /// Postpones the read of a stream's own log that has failed.
    pub fn postpone(&mut self, id: StreamId, due: Timestamp) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        queue.busy_since = None;
        if let Some(waiting) = &mut queue.waiting {
            waiting.due = due;
        }
        self.ready_behind.push_back(id);
    }

    /// Continues after the loss of a stream's own events, of which the endpoint has got a reset with this cursor.
    ///
    /// The cursor may precede the position, because a log that lost its newest events issues later ones behind it.
    pub fn skip_to(&mut self, read: StreamRead, cursor: Cursor) {
        let Some(queue) = self.queues.get_mut(&read.id) else { return };
        queue.busy_since = None;
        if let Some(waiting) = &mut queue.waiting {
            waiting.attempts = 0;
        }
        if cursor == Cursor::ORIGIN {
            // The stream no longer exists.
            queue.after = queue.newest;
        } else {
            let has_grown = queue.newest > read.newest;
            queue.newest = if has_grown { queue.newest.max(cursor) } else { cursor };
            queue.after = cursor;
        }
        self.proceed(read.id);
    }

    /// Ends a failed attempt at the reset of a stream.
    pub fn read_failed(&mut self, id: StreamId, due: Timestamp) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        queue.busy_since = None;
        let attempts = queue.attempts() + 1;
        queue.fall_behind(Waiting { attempts, due }, 0);
        self.ready_behind.push_back(id);
    }

    /// Returns the number of failed attempts of a stream that is behind.
    pub fn attempts_of(&self, id: StreamId) -> u32 {
        self.queues.get(&id).map_or(0, Queue::attempts)
    }

    /// Continues after a reset that the endpoint got, from its cursor.
    pub fn reset_delivered(&mut self, cursor: Cursor) {
        self.reset = None;
        self.reset_attempts = Waiting { attempts: 0, due: Timestamp::from_millis(0) };
        self.read = cursor;
    }

    /// Ends a failed attempt at a reset.
    pub fn reset_failed(&mut self, due: Timestamp) {
        self.reset_attempts = Waiting { attempts: self.reset_attempts.attempts + 1, due };
        if let Some(reset) = &mut self.reset {
            (reset.waiting, reset.is_busy) = (self.reset_attempts, false);
        }
    }

    /// Postpones a reset for which the store did not answer.
    pub fn postpone_reset(&mut self, due: Timestamp) {
        if let Some(reset) = &mut self.reset {
            (reset.waiting.due, reset.is_busy) = (due, false);
        }
    }

    /// Returns the failed attempts at a reset.
    pub const fn reset_attempts(&self) -> Waiting {
        self.reset_attempts
    }

    /// Lets a stream continue, or forgets it if every delivery is made.
    fn proceed(&mut self, id: StreamId) {
        let read = self.read;
        let Some(queue) = self.queues.get_mut(&id) else { return };
        if queue.is_finished() {
            queue.waiting = None;
            queue.undelivered = 0;
            // Events that were read from the stream's own log are still to come in the log of all streams.
            if queue.newest <= read {
                self.queues.remove(&id);
            }
        } else if queue.waiting.is_none() {
            self.ready.push_back(id);
        } else if queue.events.is_empty() {
            self.ready_behind.push_back(id);
        } else {
            // Before the others, so that few streams that are behind have events in memory.
            self.ready_behind.push_front(id);
        }
    }
}
