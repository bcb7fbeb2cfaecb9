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
