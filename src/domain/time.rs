//! Timestamp: a point in time, written as RFC 3339 in UTC with milliseconds.

use std::{fmt, time::Duration};

use chrono::{DateTime, SecondsFormat};
use serde::{Serialize, Serializer};

/// Milliseconds since the Unix epoch, by the store's clock, so that all instances agree. The domain reads no clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Makes the time `ms` milliseconds after the Unix epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Returns the milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Adds a duration. Saturates.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Returns the duration from this time to a later one; zero if that is earlier.
    pub fn until(self, later: Self) -> Duration {
        let millis = later.as_millis().saturating_sub(self.as_millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    }

    /// Subtracts a duration. Saturates.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::from_timestamp_millis(self.0).unwrap_or_default();
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_is_written_as_rfc3339_with_milliseconds() {
        assert_eq!(Timestamp::from_millis(1_768_384_800_000).to_string(), "2026-01-14T10:00:00.000Z");
        assert_eq!(Timestamp::from_millis(1).to_string(), "1970-01-01T00:00:00.001Z");
    }
}
