//! Ring buffer: the newest messages of a fan-out, shared by all its subscribers.

use std::collections::VecDeque;

use crate::{
    domain::Cursor,
    relay::{
        budget::Budget,
        subscriber::{Delivery, Ended, QUEUE_BYTES, QUEUE_MESSAGES},
    },
};

/// Result of a lookup by index.
pub(super) enum Entry {
    /// The message at the index.
    Message(Delivery),
    /// The message has not arrived yet.
    NotYet,
    /// The message was dropped because the buffer was full.
    Dropped,
    /// The fan-out has ended; no further message arrives.
    End,
}

/// The newest messages, addressed by an index that counts from the fan-out's first message.
///
/// Bounded by [`QUEUE_MESSAGES`] and [`QUEUE_BYTES`]. A single message above the byte bound is kept.
pub(super) struct RingBuffer {
    messages: VecDeque<Delivery>,
    bytes: usize,
    first_index: u64,
    /// Cursor of the newest message.
    last: Cursor,
    ended: Option<Ended>,
    budget: Budget,
}

impl Drop for RingBuffer {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

impl RingBuffer {
    /// Creates an empty buffer whose messages are charged to the budget.
    pub(super) const fn new(budget: Budget) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            first_index: 0,
            last: Cursor::ORIGIN,
            ended: None,
            budget,
        }
    }

    /// Sets the cursor that the first message follows.
    pub(super) fn start_at(&mut self, position: Cursor) {
        self.last = position;
    }

    /// Appends messages, then drops the oldest ones above the bounds.
    pub(super) fn extend(&mut self, deliveries: impl Iterator<Item = Delivery>) {
        deliveries.for_each(|delivery| self.push(delivery));
        while self.messages.len() > QUEUE_MESSAGES || (self.bytes > QUEUE_BYTES && self.messages.len() > 1) {
            self.drop_oldest();
        }
    }

    fn push(&mut self, delivery: Delivery) {
        let size = delivery.size();
        self.bytes += size;
        self.budget.add(size);
        match &delivery {
            Delivery::Event(frame) => self.last = frame.event().cursor,
            Delivery::Reset(reset) => self.last = reset.cursor,
            Delivery::Ended(_) => {}
        }
        self.messages.push_back(delivery);
    }

    /// Drops the messages before an index.
    pub(super) fn drop_before(&mut self, index: u64) {
        while self.first_index < index && !self.messages.is_empty() {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(delivery) = self.messages.pop_front() {
            let size = delivery.size();
            self.bytes -= size;
            self.budget.release(size);
            self.first_index += 1;
        }
    }

    /// Ends the buffer. Messages that it holds stay readable.
    pub(super) fn end(&mut self, reason: Ended) {
        self.ended = Some(reason);
    }

    /// Returns the end reason; `None` while further messages can arrive.
    pub(super) const fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Returns the index of the oldest message.
    pub(super) const fn first_index(&self) -> u64 {
        self.first_index
    }

    /// Returns the index of the next message to arrive.
    pub(super) fn next_index(&self) -> u64 {
        self.first_index + self.messages.len() as u64
    }

    /// Returns the index of the next message to arrive and the cursor that it follows.
    pub(super) fn end_position(&self) -> (u64, Cursor) {
        (self.next_index(), self.last)
    }

    /// Looks up the message at an index.
    pub(super) fn get(&self, index: u64) -> Entry {
        let Some(offset) = index.checked_sub(self.first_index) else { return Entry::Dropped };
        let message = usize::try_from(offset).ok().and_then(|offset| self.messages.get(offset));
        match message {
            Some(delivery) => Entry::Message(delivery.clone()),
            None if self.ended.is_some() => Entry::End,
            None => Entry::NotYet,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    fn extend(buffer: &mut RingBuffer, count: usize) {
        buffer.extend((0..count).map(|_| Delivery::Ended(Ended::Complete)));
    }

    #[test]
    fn ring_buffer_beyond_its_bound_drops_the_oldest_message() {
        let mut buffer = RingBuffer::new(Budget::new(&Metrics::new().unwrap()));
        extend(&mut buffer, QUEUE_MESSAGES);
        assert!(matches!(buffer.get(0), Entry::Message(_)));
        extend(&mut buffer, 1);
        let end = QUEUE_MESSAGES as u64 + 1;
        assert!(matches!(buffer.get(0), Entry::Dropped) && matches!(buffer.get(1), Entry::Message(_)));
        assert!(matches!(buffer.get(end), Entry::NotYet) && buffer.next_index() == end);
        buffer.drop_before(end);
        assert_eq!((buffer.first_index(), buffer.bytes), (end, 0));
        buffer.end(Ended::TooSlow);
        assert!(matches!(buffer.get(end), Entry::End));
    }
}
