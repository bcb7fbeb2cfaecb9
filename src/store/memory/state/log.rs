//! Log of events, trimmed by the rules of `lua/changes/shared/trimming.lua`.

use std::sync::Arc;

use crate::{
    domain::{Cursor, Event, Timestamp},
    store::LogBounds,
};

/// Events of a stream, or of all streams, oldest first.
#[derive(Default)]
pub(in crate::store::memory) struct Log {
    events: Vec<Arc<Event>>,
    /// Bytes of each event.
    sizes: Vec<usize>,
    /// Bytes of all events that the log holds.
    bytes: usize,
    /// Bytes of all events that were ever appended.
    total: usize,
}

impl Log {
    pub(in crate::store::memory) fn events(&self) -> &[Arc<Event>] {
        &self.events
    }

    /// Appends an event of `size` bytes, and trims the log after each block of bytes. Events after `kept_after` are
    /// kept within the maxima.
    pub(in crate::store::memory) fn append(
        &mut self,
        event: &Arc<Event>,
        size: usize,
        bounds: &LogBounds,
        block: usize,
        kept_after: Option<Cursor>,
    ) {
        self.events.push(event.clone());
        self.sizes.push(size);
        self.bytes += size;
        self.total += size;
        if self.total % block < size {
            self.trim(bounds, block, event.timestamp, kept_after);
        }
    }

    /// Removes the oldest events that the bounds do not keep.
    fn trim(&mut self, bounds: &LogBounds, block: usize, now: Timestamp, kept_after: Option<Cursor>) {
        let (max_bytes, kept_since) = (bounds.max_bytes - block, now.minus(bounds.retention));
        let mut removed = 0;
        for (event, size) in self.events.iter().zip(&self.sizes) {
            let left = self.events.len() - removed;
            let is_within = self.bytes <= max_bytes && left <= bounds.max_events;
            let is_needed = kept_after.is_some_and(|position| event.cursor > position);
            let is_kept =
                is_within && (left <= bounds.min_events || event.timestamp > kept_since || is_needed);
            if is_kept || left == 1 {
                break;
            }
            self.bytes -= size;
            removed += 1;
        }
        self.events.drain(..removed);
        self.sizes.drain(..removed);
    }
}
