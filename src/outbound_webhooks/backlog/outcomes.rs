//! What the results of steps change.

use super::{Backlog, PendingReset, QueuedEvent, ResetAttempts, StreamRead, Waiting, queue::Queue};
use crate::{
    domain::{Cursor, StreamId, Timestamp},
    store::ResetReason,
};

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
        (queue.busy_since, queue.reset) = (None, None);
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

    /// Records the loss of a stream's own events, whose log ends with the cursor. The endpoint must get a reset with
    /// this cursor.
    ///
    /// The cursor may precede the position, because a log that lost its newest events issues later ones behind it.
    pub fn lose_stream(&mut self, read: StreamRead, cursor: Cursor) {
        let Some(queue) = self.queues.get_mut(&read.id) else { return };
        (queue.busy_since, queue.reset) = (None, Some(cursor));
        if cursor != Cursor::ORIGIN {
            let has_grown = queue.newest > read.newest;
            queue.newest = if has_grown { queue.newest.max(cursor) } else { cursor };
        }
        self.has_unsaved_reset = true;
        self.ready_behind.push_back(read.id);
    }

    /// Continues after the loss of a stream's own events, of which the endpoint has got a reset with this cursor.
    pub fn skip_to(&mut self, id: StreamId, cursor: Cursor) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        (queue.busy_since, queue.reset) = (None, None);
        if let Some(waiting) = &mut queue.waiting {
            waiting.attempts = 0;
        }
        // Without events, the stream no longer exists.
        queue.after = if cursor == Cursor::ORIGIN { queue.newest } else { cursor };
        self.proceed(id);
    }

    /// Records that the state is saved, with the cursors of all resets.
    pub const fn has_saved(&mut self) {
        self.has_unsaved_reset = false;
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
        self.reset_attempts = ResetAttempts::default();
        self.read = cursor;
    }

    /// Replaces the reset that the endpoint has not got, because events after its cursor are lost too. The log ends
    /// with the new cursor. Failed attempts count on.
    pub fn renew_reset(&mut self, reason: ResetReason, cursor: Cursor) {
        self.reset_attempts.cursor = Some(cursor);
        self.reset = Some(PendingReset { reason, cursor, is_busy: false });
        self.has_unsaved_reset = true;
    }

    /// Ends a failed attempt at a reset.
    pub fn reset_failed(&mut self, due: Timestamp) {
        let attempts = self.reset_attempts.waiting.attempts + 1;
        self.reset_attempts.waiting = Waiting { attempts, due };
        if let Some(reset) = &mut self.reset {
            reset.is_busy = false;
        }
    }

    /// Returns the failed attempts at a reset, and its cursor.
    pub const fn reset_attempts(&self) -> ResetAttempts {
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
