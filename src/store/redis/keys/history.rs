//! Names of the keys that only a history uses.

use super::Keys;

impl Keys {
    /// Position in the log of all streams after which every event is kept, within the log's maxima.
    pub fn events_kept_after(&self) -> String {
        self.shared("events:kept_after")
    }

    /// Log of ended visits.
    pub fn visits(&self) -> String {
        self.shared("visits")
    }
}
