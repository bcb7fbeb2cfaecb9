//! The clocks of the partitions: a position up to which no partition can add events any more.
//!
//! The masters' clocks may differ. Each reading raises the clock of its partition to the greatest time that this
//! instance has read anywhere, so the partitions differ by the age of a reading and not by the difference of their
//! clocks (a hybrid logical clock).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{domain::Cursor, store::ClockReading};

/// The greatest time that a partition has shown to this instance.
#[derive(Default)]
pub(super) struct Clocks {
    greatest: AtomicU64,
}

impl Clocks {
    /// Returns the greatest time of all readings, in milliseconds since 1970.
    pub(super) fn greatest(&self) -> u64 {
        self.greatest.load(Ordering::Relaxed)
    }

    pub(super) fn record(&self, reading: &ClockReading) {
        self.greatest.fetch_max(time_of(reading), Ordering::Relaxed);
    }
}

/// Returns the time at or before which every event before the reading is.
pub(super) fn time_of(reading: &ClockReading) -> u64 {
    reading.millis.max(reading.tail.millis())
}

/// Returns the greatest cursor of a time.
pub(super) const fn end_of(millis: u64) -> Cursor {
    Cursor::new(millis, u64::MAX)
}

/// Returns the position after which every event after the reading is.
pub(super) fn watermark_of(reading: &ClockReading) -> Cursor {
    end_of(reading.millis.saturating_sub(1)).max(reading.tail)
}
