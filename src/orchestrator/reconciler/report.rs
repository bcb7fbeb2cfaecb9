//! Result of a reconciliation, and the counters of its repairs.

use std::sync::atomic::{AtomicU64, Ordering};

/// Result of one reconciliation.
#[derive(Debug, Default)]
pub struct Report {
    /// True if LiveKit listed no room at all and no second listing has confirmed it: nothing was stopped.
    pub held_back: bool,
    /// Number of streams that were not compared, because LiveKit did not answer for their rooms.
    pub failed: u64,
    pub(super) repairs: Repairs,
}

impl Report {
    /// Reports whether a difference must be compared again before the interval is over.
    pub fn is_unfinished(&self) -> bool {
        self.held_back || self.repairs.undecided.load(Ordering::Relaxed) > 0
    }

    /// Returns the number of repairs.
    pub fn repairs(&self) -> u64 {
        self.repairs.counts().into_iter().map(|(_, count)| count).sum()
    }
}

/// Repairs by kind. Several comparisons count concurrently.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    pub(super) joined: AtomicU64,
    pub(super) left: AtomicU64,
    pub(super) updated: AtomicU64,
    pub(super) stopped: AtomicU64,
    pub(super) metadata: AtomicU64,
    pub(super) room_deleted: AtomicU64,
    /// Recorded roles that LiveKit did not have.
    pub(super) role: AtomicU64,
    /// Participants without access that were still connected.
    pub(super) removed: AtomicU64,
    /// Ingresses whose record or whose existence differed.
    pub(super) ingresses: AtomicU64,
    /// Recordings and broadcasts whose record or whose existence differed.
    pub(super) egresses: AtomicU64,
    /// Differences that the listing grace period does not allow to repair yet.
    pub(super) undecided: AtomicU64,
    /// Rooms with other settings than their streams. LiveKit cannot change settings, so this is no repair.
    pub(super) other_settings: AtomicU64,
}

impl Repairs {
    pub(super) fn counts(&self) -> [(&'static str, u64); 10] {
        [
            ("joined", &self.joined),
            ("left", &self.left),
            ("updated", &self.updated),
            ("stopped", &self.stopped),
            ("metadata", &self.metadata),
            ("room_deleted", &self.room_deleted),
            ("role", &self.role),
            ("removed", &self.removed),
            ("ingress", &self.ingresses),
            ("egress", &self.egresses),
        ]
        .map(|(kind, count)| (kind, count.load(Ordering::Relaxed)))
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
