//! Merging of published events of all partitions in the order of their cursors, without I/O.
//!
//! An event is passed on when every partition has shown that nothing earlier will come from it: by a later event, or by
//! a reading of its clock and its newest cursor after everything up to that cursor has been received.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::{clocks::watermark_of, history::Positions};
use crate::{domain::Cursor, store::ClockReading};

/// Time after which an event that a partition has, and that was not received, is lost.
const LOST_AFTER: Duration = Duration::from_secs(1);
/// Maximum events that wait. Later ones are reported as a gap, because the logs hold them too. So many wait only while
/// a master hangs that has not been found to be down yet.
const MAX_WAITING: usize = 10_000;

/// Published events `T` of all partitions that wait to be passed on.
pub(super) struct Merge<T> {
    partitions: Vec<Followed>,
    waiting: BTreeMap<Cursor, T>,
    /// Newest event that was passed on, or that existed before the first one.
    last: Cursor,
    /// Events up to this cursor may have predecessors that were not received.
    unknown_until: Cursor,
    has_gap: bool,
}

/// What is known of one partition.
struct Followed {
    /// Every event up to this cursor has been received, or is in a reported gap.
    received: Cursor,
    /// No event up to this cursor will come.
    watermark: Cursor,
    /// Readings whose newest cursor has not been received.
    readings: VecDeque<Reading>,
}

struct Reading {
    tail: Cursor,
    watermark: Cursor,
    at: Instant,
}

impl<T> Merge<T> {
    /// Begins after the newest cursors of the partitions. Published events up to them, and of other partitions, are
    /// discarded.
    pub(super) fn begin(tails: impl Iterator<Item = Cursor>) -> Self {
        let follow = |tail| Followed { received: tail, watermark: tail, readings: VecDeque::new() };
        let partitions: Vec<_> = tails.map(follow).collect();
        let last = partitions.iter().map(|followed| followed.received).max().unwrap_or(Cursor::ORIGIN);
        Self { partitions, waiting: BTreeMap::new(), last, unknown_until: last, has_gap: false }
    }

    /// Adds an event that a partition has published after the event with the cursor `previous`.
    pub(super) fn on_event(&mut self, partition: usize, event: T, cursor: Cursor, previous: Cursor) {
        let Some(followed) = self.partitions.get_mut(partition) else { return };
        if cursor <= followed.received {
            return;
        }
        let is_full = self.waiting.len() >= MAX_WAITING;
        let is_gap = previous != followed.received || is_full;
        followed.receive(cursor);
        if is_gap {
            self.report_gap(cursor);
        }
        if !is_full {
            self.waiting.insert(cursor, event);
        }
    }

    /// Adds readings of all partitions, in order.
    pub(super) fn on_readings(&mut self, readings: &[ClockReading], at: Instant) {
        let mut lost = None;
        for (followed, reading) in self.partitions.iter_mut().zip(readings) {
            lost = lost.max(followed.add_reading(reading, at));
        }
        if let Some(tail) = lost {
            self.report_gap(tail);
        }
    }

    fn report_gap(&mut self, until: Cursor) {
        self.has_gap = true;
        self.unknown_until = self.unknown_until.max(until);
    }

    /// Returns what has been received and passed on.
    pub(super) fn positions(&self) -> Positions {
        let received = self.partitions.iter().map(|followed| followed.received).collect();
        Positions { received, passed: self.last }
    }

    /// Reports once that an event was not received.
    pub(super) fn take_gap(&mut self) -> bool {
        std::mem::take(&mut self.has_gap)
    }

    /// Returns the next event and its predecessor, which is [`Cursor::GREATEST`] if it is not known.
    pub(super) fn next(&mut self) -> Option<(T, Cursor)> {
        let until = self.partitions.iter().map(Followed::complete_until).min()?;
        let first = self.waiting.first_entry().filter(|first| *first.key() <= until)?;
        let (cursor, event) = first.remove_entry();
        // The last of the events that were not received is the one at `unknown_until`.
        let known = self.last.max(self.unknown_until);
        let previous = if cursor <= self.unknown_until { Cursor::GREATEST } else { known };
        self.last = self.last.max(cursor);
        Some((event, previous))
    }

    /// Returns the time to which the clocks must be raised so that the waiting events can be passed on; `None` if no
    /// event waits.
    pub(super) fn floor(&self) -> Option<u64> {
        self.waiting.last_key_value().map(|(cursor, _)| cursor.millis() + 1)
    }
}

impl Followed {
    fn complete_until(&self) -> Cursor {
        self.watermark.max(self.received)
    }

    fn receive(&mut self, cursor: Cursor) {
        self.received = cursor;
        while let Some(reading) = self.readings.pop_front_if(|reading| reading.tail <= cursor) {
            self.watermark = self.watermark.max(reading.watermark);
        }
    }

    /// Adds a reading; returns the newest cursor if events up to it are lost.
    fn add_reading(&mut self, reading: &ClockReading, at: Instant) -> Option<Cursor> {
        let watermark = watermark_of(reading);
        self.readings.push_back(Reading { tail: reading.tail, watermark, at });
        self.receive(self.received);
        let is_lost = |reading: &mut Reading| at.duration_since(reading.at) > LOST_AFTER;
        let lost = self.readings.pop_front_if(is_lost)?;
        self.receive(lost.tail);
        Some(lost.tail)
    }
}

#[cfg(test)]
mod tests;
