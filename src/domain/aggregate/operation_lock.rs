//! Operation lock of a stream that is being created or stopped.

use super::state::Aggregate;
use crate::domain::{Timestamp, change::Effect, stream::OPERATION_LOCK};

impl Aggregate {
    /// Acquires the lock if no other holder has it.
    pub(super) fn acquire_lock(&mut self, now: Timestamp) -> Effect {
        let stream = &mut self.stream;
        if !stream.is_under_way() || stream.lock_expires_at.is_some_and(|until| until > now) {
            return Effect::Unchanged;
        }
        stream.lock_expires_at = Some(now.plus(OPERATION_LOCK));
        Effect::Changed
    }

    /// Releases the lock of the holder to which it ends at `until`.
    pub(super) fn release_lock(&mut self, until: Timestamp) -> Effect {
        let held = self.holds_lock(until);
        if held {
            self.stream.lock_expires_at = None;
        }
        if held { Effect::Changed } else { Effect::Unchanged }
    }

    /// Reports whether the operation lock is still held by the holder to which it ended at `known`.
    ///
    /// A renewal whose answer was lost has moved the end by less than [`OPERATION_LOCK`]. The lock of a later holder
    /// ends later than that.
    fn holds_lock(&self, known: Timestamp) -> bool {
        let Some(until) = self.stream.lock_expires_at else { return false };
        self.stream.is_under_way() && until >= known && until < known.plus(OPERATION_LOCK)
    }

    /// Extends the lock of the holder to which it ends at `until`.
    pub(super) fn renew_lock(&mut self, until: Timestamp, now: Timestamp) -> Effect {
        if !self.holds_lock(until) {
            return Effect::Unchanged;
        }
        self.stream.lock_expires_at = Some(now.plus(OPERATION_LOCK));
        Effect::Changed
    }
}
