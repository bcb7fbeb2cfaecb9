//! What an endpoint has not received yet of one partition, and what may be sent next. Pure: no clock, no I/O.
//!
//! The log of all streams is read once, and each stream has a queue of its own. A stream whose delivery fails, or takes
//! longer than [`SLOW_AFTER`], falls behind: its queued events are dropped, and later they are read from the stream's
//! own log. So the position in the log of all streams moves on, and what must be kept is bounded: that position, and
//! one position for each stream that is behind.

mod outcomes;
mod queue;
mod queued_event;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use self::queue::Queue;
pub use self::{queue::Waiting, queued_event::QueuedEvent};
use crate::{
    domain::{Cursor, EndpointFilter, StreamId, Timestamp},
    store::ResetReason,
};

/// Time after which a stream whose delivery is in progress falls behind.
pub const SLOW_AFTER: Duration = Duration::from_secs(1);
/// Number of streams that are behind from which on the log of all streams is not read on.
pub const MAX_BEHIND: usize = 1_000;
/// Maximum number of queued events.
const MAX_QUEUED: usize = 1_000;
/// Maximum approximate size of the queued events in bytes.
const MAX_QUEUED_BYTES: usize = 4 * 1024 * 1024;

/// A step that may be made next.
#[derive(Debug)]
pub enum Step {
    /// Deliver the event.
    Deliver(QueuedEvent),
    /// Read a page of a stream's own log.
    Read(StreamRead),
    /// Deliver a reset with this cursor, because events of all streams were lost.
    Reset(ResetReason, Cursor),
}

/// A read of a stream's own log.
#[derive(Clone, Copy, Debug)]
pub struct StreamRead {
    /// The stream.
    pub id: StreamId,
    /// Position after which to read.
    pub after: Cursor,
    /// Newest event of the stream that was known when the read began. Later events may be missing in the page.
    pub newest: Cursor,
    /// Cursor of the reset to deliver if events after the position are lost; `None` if that is not known yet.
    pub reset: Option<Cursor>,
}

/// Position of a stream that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Position in the stream's log.
    pub after: Cursor,
    /// Attempts at the next delivery.
    pub waiting: Waiting,
    /// Cursor of the reset that is the next delivery.
    pub reset: Option<Cursor>,
    /// Number of deliveries that are not made.
    pub undelivered: u64,
    /// Time of the first of them.
    pub oldest: Timestamp,
}

/// Attempts at a reset of all streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResetAttempts {
    /// Failed attempts and the time of the next one.
    pub waiting: Waiting,
    /// Cursor of the reset. The same in every attempt until the log loses what follows it: an endpoint that ignores
    /// repeats would otherwise miss the events between the cursors.
    pub cursor: Option<Cursor>,
}

/// A reset that the endpoint must get before anything else.
#[derive(Clone, Copy, Debug)]
struct PendingReset {
    reason: ResetReason,
    cursor: Cursor,
    is_busy: bool,
}

/// Deliveries to one endpoint that are not made.
#[derive(Debug)]
pub struct Backlog {
    filter: EndpointFilter,
    read: Cursor,
    queues: BTreeMap<StreamId, Queue>,
    /// Streams that may have a step: those that follow the log of all streams, and those that are behind.
    ready: VecDeque<StreamId>,
    ready_behind: VecDeque<StreamId>,
    reset_attempts: ResetAttempts,
    reset: Option<PendingReset>,
    /// The cursor of a reset is not saved yet, so that another instance would choose another one.
    has_unsaved_reset: bool,
}

impl Backlog {
    /// Continues at a saved position. `reset_attempts` are those at a reset that was not delivered.
    pub fn new(
        filter: EndpointFilter,
        read: Cursor,
        behind: BTreeMap<StreamId, Behind>,
        reset_attempts: ResetAttempts,
    ) -> Self {
        let ready_behind = behind.keys().copied().collect();
        let queues = behind.into_iter().map(|(id, behind)| (id, restored(behind, read))).collect();
        let (ready, reset, has_unsaved_reset) = (VecDeque::new(), None, false);
        Self { filter, read, queues, ready, ready_behind, reset_attempts, reset, has_unsaved_reset }
    }

    /// Position in the log of all streams up to which everything was read.
    pub const fn read_position(&self) -> Cursor {
        self.read
    }

    /// True if more events of the log of all streams can be queued.
    pub fn has_room(&self) -> bool {
        let in_line = self.queues.values().filter(|queue| queue.waiting.is_none());
        let sizes = in_line.flat_map(|queue| &queue.events).map(QueuedEvent::approximate_bytes);
        let (queued, bytes) = sizes.fold((0, 0), |(queued, bytes), size| (queued + 1, bytes + size));
        let is_small = queued < MAX_QUEUED && bytes < MAX_QUEUED_BYTES;
        self.reset.is_none() && is_small && self.behind().count() < MAX_BEHIND
    }

    /// Queues events of the log of all streams.
    pub fn add(&mut self, events: &[QueuedEvent]) {
        if !events.is_empty() {
            self.reset_attempts = ResetAttempts::default();
        }
        for event in events {
            self.read = event.cursor();
            if self.filter.matches(event.stream_id(), event.kind()) {
                self.add_event(event);
            }
        }
        self.forget_idle();
    }

    /// Continues after a position up to which there are no further events of all streams.
    pub fn continue_after(&mut self, position: Cursor) {
        self.reset_attempts = ResetAttempts::default();
        self.read = self.read.max(position);
        self.forget_idle();
    }

    fn forget_idle(&mut self) {
        // Kept until now, because their newest events were still to come in the log of all streams.
        let read = self.read;
        self.queues.retain(|_, queue| !queue.is_idle() || queue.newest > read);
    }

    fn add_event(&mut self, event: &QueuedEvent) {
        let id = event.stream_id();
        let queue = self.queues.entry(id).or_insert_with(|| Queue::new(event.previous(), event.timestamp()));
        let was_empty = queue.events.is_empty();
        if queue.add(event) && queue.waiting.is_none() && was_empty && queue.busy_since.is_none() {
            self.ready.push_back(id);
        }
    }

    /// Continues after a loss of events of the log of all streams. `tail` is the newest position of that log.
    ///
    /// An endpoint of one stream continues from that stream's own log. Any other gets a reset.
    pub fn lose(&mut self, reason: ResetReason, tail: Cursor, now: Timestamp) {
        let Some(id) = self.filter.stream_id else {
            self.queues.clear();
            self.ready.clear();
            self.ready_behind.clear();
            self.has_unsaved_reset |= self.reset_attempts.cursor.is_none();
            let cursor = *self.reset_attempts.cursor.get_or_insert(tail);
            self.reset = Some(PendingReset { reason, cursor, is_busy: false });
            return;
        };
        let after = self.read;
        let queue = self.queues.entry(id).or_insert_with(|| Queue::new(after, now));
        if queue.waiting.is_none() {
            // A delivery in progress stays queued, so that its result finds it.
            queue.fall_behind(Waiting { attempts: 0, due: now }, usize::from(queue.busy_since.is_some()));
            queue.undelivered = queue.undelivered.max(1);
            if queue.busy_since.is_none() {
                self.ready_behind.push_back(id);
            }
        }
        queue.newest = queue.newest.max(tail);
        self.read = tail;
    }

    /// Returns the next step for a stream that follows the log of all streams, or a reset.
    pub fn next(&mut self, now: Timestamp) -> Option<Step> {
        if let Some(reset) = &mut self.reset {
            let is_due = self.reset_attempts.waiting.due <= now && !self.has_unsaved_reset;
            return (is_due && !reset.is_busy).then(|| {
                reset.is_busy = true;
                Step::Reset(reset.reason, reset.cursor)
            });
        }
        while let Some(id) = self.ready.pop_front() {
            if let Some(step) = self.begin(id, now) {
                return Some(step);
            }
        }
        None
    }

    /// Returns the next step for a stream that is behind.
    pub fn next_behind(&mut self, now: Timestamp) -> Option<Step> {
        for _ in 0..self.ready_behind.len() {
            let id = self.ready_behind.pop_front()?;
            let must_wait = |queue: &Queue| !queue.is_due(now) || self.must_save_first(queue);
            if self.queues.get(&id).is_some_and(must_wait) {
                self.ready_behind.push_back(id);
            } else if let Some(step) = self.begin(id, now) {
                return Some(step);
            }
        }
        None
    }

    fn must_save_first(&self, queue: &Queue) -> bool {
        queue.reset.is_some() && self.has_unsaved_reset
    }

    fn begin(&mut self, id: StreamId, now: Timestamp) -> Option<Step> {
        let queue = self.queues.get_mut(&id).filter(|queue| queue.busy_since.is_none())?;
        let step = match queue.events.front() {
            Some(event) => Step::Deliver(event.clone()),
            None if queue.waiting.is_some() => {
                let Queue { after, newest, reset, .. } = *queue;
                Step::Read(StreamRead { id, after, newest, reset })
            }
            None => return None,
        };
        queue.busy_since = Some(now);
        Some(step)
    }

    /// Makes streams fall behind whose deliveries have been in progress for [`SLOW_AFTER`].
    pub fn set_slow_behind(&mut self, now: Timestamp) {
        let is_slow = |since: Timestamp| since.plus(SLOW_AFTER) <= now;
        for queue in self.queues.values_mut() {
            if queue.waiting.is_none() && queue.busy_since.is_some_and(is_slow) {
                queue.fall_behind(Waiting { attempts: 0, due: now }, 1);
            }
        }
    }

    /// Position in the log of all streams from which everything continues that is not behind.
    pub fn position(&self) -> Cursor {
        let in_line = self.queues.values().filter(|queue| queue.waiting.is_none());
        let first = in_line.filter_map(|queue| queue.events.front()).min_by_key(|event| event.cursor());
        first.map_or(self.read, QueuedEvent::previous_of_all)
    }

    /// Returns the streams that are behind.
    pub fn behind(&self) -> impl Iterator<Item = (StreamId, Behind)> + '_ {
        self.queues.iter().filter_map(|(id, queue)| {
            let Queue { after, reset, undelivered, oldest, .. } = *queue;
            Some((*id, Behind { after, waiting: queue.waiting?, reset, undelivered, oldest }))
        })
    }

    /// Returns the number of deliveries of read events that are not made.
    pub fn undelivered(&self) -> u64 {
        self.queues.values().map(|queue| queue.undelivered).sum()
    }

    /// Returns the time of the first event that was read and is not delivered.
    pub fn oldest(&self) -> Option<Timestamp> {
        let open = self.queues.values().filter(|queue| queue.undelivered > 0);
        open.map(|queue| queue.oldest).min()
    }

    /// True if an attempt at a delivery has failed and none has succeeded since.
    pub fn is_failing(&self) -> bool {
        self.reset_attempts.waiting.attempts > 0 || self.queues.values().any(|queue| queue.attempts() > 0)
    }
}

/// Everything up to `read` is read from the stream's own log, and everything after it from that of all streams.
fn restored(behind: Behind, read: Cursor) -> Queue {
    let Behind { after, waiting, reset, undelivered, oldest } = behind;
    let mut queue = Queue::new(after, oldest);
    // The cursor of a reset may precede the position.
    queue.newest = reset.unwrap_or(after).max(read);
    (queue.waiting, queue.reset, queue.undelivered) = (Some(waiting), reset, undelivered);
    queue
}

#[cfg(test)]
mod tests;
