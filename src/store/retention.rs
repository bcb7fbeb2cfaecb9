//! Retention: how long a store keeps streams, and how much of their logs.

use std::time::Duration;

/// Minimum number of events that a stream's log holds, within [`LogBounds::max_bytes`].
pub const STREAM_LOG_LENGTH: usize = 1_000;
/// Minimum number of events that the log of all streams holds, within its bound in bytes.
pub const ALL_LOG_LENGTH: usize = STREAM_LOG_LENGTH * ALL_LOG_EVENTS_FACTOR;
/// The bounds of the log of all streams in events, as a multiple of a stream's.
pub const ALL_LOG_EVENTS_FACTOR: usize = 10;
/// The bound of the log of all streams in bytes, as a multiple of a stream's.
pub const ALL_LOG_BYTES_FACTOR: usize = 16;
/// A log is trimmed whenever this part of a stream's [`LogBounds::max_bytes`] has been appended.
pub const TRIM_BLOCKS: usize = 64;

/// How long the Redis keys of an ended stream, other than its hash, outlive its retention time if no sweeper removes
/// them.
pub const REMOVAL_GRACE: Duration = Duration::from_secs(60);

/// Interval of the events that tell the counts of one stream.
pub const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// Configured retention times and bounds.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// TTL of a live stream's keys, renewed by every change.
    pub live: Duration,
    /// How long an ended stream can be read.
    pub stopped: Duration,
    /// How long a join token may be valid after its stream has ended.
    pub tokens: Duration,
    /// What a stream's log keeps.
    pub log: LogBounds,
    /// Time after the newest event of a counted stream before which its counts are not told by an event of their own.
    pub count_interval: Duration,
    /// Whether ended visits, and changes of recordings after the end of their streams, are logged, for a history.
    /// Nothing else reads them.
    pub keeps_visits: bool,
}

/// What a log keeps. [`Self::of_all_streams`] returns the bounds of the log of all streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// Age up to which every event is kept, within the two maxima.
    pub retention: Duration,
    /// Number of newest events that are kept at any age, within `max_bytes`.
    pub min_events: usize,
    /// Maximum number of events, exceeded by less than the events of one block.
    pub max_events: usize,
    /// Maximum size of the events, in bytes as stored. The newest event is kept at any size.
    pub max_bytes: usize,
}

impl LogBounds {
    /// The bounds of a stream's log with the default settings.
    pub const DEFAULT: Self = Self {
        retention: Duration::from_secs(120),
        min_events: STREAM_LOG_LENGTH,
        max_events: 20_000,
        max_bytes: 4_000_000,
    };

    /// Returns the bounds of the log of all streams.
    #[must_use]
    pub const fn of_all_streams(self) -> Self {
        Self {
            retention: self.retention,
            min_events: self.min_events * ALL_LOG_EVENTS_FACTOR,
            max_events: self.max_events * ALL_LOG_EVENTS_FACTOR,
            max_bytes: self.max_bytes * ALL_LOG_BYTES_FACTOR,
        }
    }
}
