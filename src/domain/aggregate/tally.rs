//! Tally: the numbers of active participants at this moment.

use crate::domain::{ParticipantCounts, Role};

/// Numbers of active participants at this moment. The stream has those of its newest event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Current numbers.
    pub counts: ParticipantCounts,
    /// Greatest number of active participants so far.
    pub peak: u32,
}

impl Tally {
    /// Counts a participant that has become active in this role.
    pub(super) fn add(&mut self, role: Role) {
        *self.counts.of_mut(role) += 1;
        self.peak = self.peak.max(self.counts.total());
    }

    /// Stops counting a participant of this role.
    pub(super) const fn remove(&mut self, role: Role) {
        *self.counts.of_mut(role) -= 1;
    }
}
