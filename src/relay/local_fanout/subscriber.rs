//! Local subscriber: the fan-out's record of one client, and the sink for direct writes to it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
};

use bytes::Bytes;

use super::batch::Batch;
use crate::domain::Cursor;

/// Non-blocking writer to one client's connection.
pub trait DirectSink {
    /// Writes encoded events without waiting. Takes all bytes or none.
    ///
    /// Connection errors are reported as [`DirectWrite::Refused`]; the client's own task observes them.
    fn try_write(&self, chunks: &Bytes) -> DirectWrite;
}

/// Result of a direct write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectWrite {
    /// All bytes are in the socket's send buffer.
    Complete,
    /// The sink keeps the bytes that the socket refused; the client's task must run to write them.
    Partial,
    /// The sink took no bytes.
    Refused,
}

/// Delivery state of one client of a fan-out.
pub(super) struct LocalSubscriber {
    /// Buffer index of the next message to read.
    pub(super) next_index: Cell<u64>,
    /// Newest event that the client has, from the fan-out or from the log.
    pub(super) last: Cell<Cursor>,
    /// True while the client's task waits in `recv` with nothing left to read.
    pub(super) is_waiting: Cell<bool>,
    /// Newest event written directly since the subscription last asked.
    pub(super) direct_position: Cell<Option<Cursor>>,
    /// Index in the fan-out's list of subscribers.
    pub(super) slot: Cell<usize>,
    /// True if the fan-out counts the client among those with unread messages.
    pub(super) is_behind: Cell<bool>,
    /// True if the buffer dropped the next message.
    pub(super) has_overflowed: Cell<bool>,
    pub(super) waker: RefCell<Option<Waker>>,
    pub(super) sink: RefCell<Option<Rc<dyn DirectSink>>>,
}

impl LocalSubscriber {
    /// Creates the record of a client that has every event up to `last`.
    pub(super) fn new(slot: usize, next_index: u64, last: Cursor) -> Self {
        Self {
            next_index: Cell::new(next_index),
            last: Cell::new(last),
            is_waiting: Cell::default(),
            direct_position: Cell::default(),
            slot: Cell::new(slot),
            is_behind: Cell::default(),
            has_overflowed: Cell::default(),
            waker: RefCell::default(),
            sink: RefCell::default(),
        }
    }

    /// Wakes the client's task, which then reads from the buffer.
    pub(super) fn wake(&self) {
        self.is_waiting.set(false);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Writes the batch directly if the client has everything before it; returns true if the sink took it.
    pub(super) fn try_write(&self, batch: &Batch) -> bool {
        let Some(chunks) = batch.chunks.as_ref().filter(|_| self.is_next(batch)) else { return false };
        let result = self.sink.borrow().as_ref().map_or(DirectWrite::Refused, |sink| sink.try_write(chunks));
        if result == DirectWrite::Refused {
            return false;
        }
        self.advance_past(batch);
        if result == DirectWrite::Partial {
            self.wake();
        }
        true
    }

    fn is_next(&self, batch: &Batch) -> bool {
        self.is_waiting.get() && self.next_index.get() == batch.first_index && self.last.get() < batch.first
    }

    fn advance_past(&self, batch: &Batch) {
        self.next_index.set(batch.first_index + batch.count);
        self.last.set(batch.last);
        self.direct_position.set(Some(batch.last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: Cursor = Cursor::new(2, 0);

    struct FixedSink(DirectWrite);

    impl DirectSink for FixedSink {
        fn try_write(&self, _: &Bytes) -> DirectWrite {
            self.0
        }
    }

    fn waiting(next_index: u64, last: Cursor, result: DirectWrite) -> LocalSubscriber {
        let subscriber = LocalSubscriber::new(0, next_index, last);
        subscriber.is_waiting.set(true);
        subscriber.sink.replace(Some(Rc::new(FixedSink(result))));
        subscriber
    }

    fn batch() -> Batch {
        let chunks = Some(Bytes::from_static(b"1\r\nx\r\n"));
        Batch { first_index: 7, count: 1, message_bytes: 1, first: EVENT, last: EVENT, chunks }
    }

    #[test]
    fn direct_write_to_waiting_subscriber_advances_its_position() {
        let subscriber = waiting(7, Cursor::new(1, 0), DirectWrite::Complete);
        assert!(subscriber.try_write(&batch()));
        assert_eq!((subscriber.next_index.get(), subscriber.last.get()), (8, EVENT));
        assert_eq!(subscriber.direct_position.get(), Some(EVENT));
        assert!(subscriber.is_waiting.get());
    }

    #[test]
    fn direct_write_that_is_partial_ends_the_wait() {
        let subscriber = waiting(7, Cursor::new(1, 0), DirectWrite::Partial);
        assert!(subscriber.try_write(&batch()) && !subscriber.is_waiting.get());
    }

    #[test]
    fn direct_write_out_of_sequence_is_not_attempted() {
        let behind = waiting(6, Cursor::new(1, 0), DirectWrite::Complete);
        let ahead = waiting(7, EVENT, DirectWrite::Complete);
        let reading = waiting(7, Cursor::new(1, 0), DirectWrite::Complete);
        reading.is_waiting.set(false);
        for subscriber in [behind, ahead, reading] {
            assert!(!subscriber.try_write(&batch()) && subscriber.direct_position.get().is_none());
        }
    }

    #[test]
    fn direct_write_that_is_refused_changes_nothing() {
        let subscriber = waiting(7, Cursor::new(1, 0), DirectWrite::Refused);
        assert!(!subscriber.try_write(&batch()));
        assert_eq!((subscriber.next_index.get(), subscriber.direct_position.get()), (7, None));
    }
}
