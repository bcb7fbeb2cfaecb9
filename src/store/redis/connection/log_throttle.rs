//! Rate-limited log lines for failed Redis calls.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::failure::{Failure, FailureKind};

/// At most one line for each kind of failure in this time, because an outage fails every call.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Logs failures, at most once in [`LOG_INTERVAL`] for each kind.
#[derive(Default)]
pub(super) struct LogThrottle(Mutex<Vec<KindState>>);

struct KindState {
    kind: FailureKind,
    logged_at: Instant,
    suppressed: u64,
}

impl LogThrottle {
    /// Logs a failed call as a warning with advice for operators, unless its kind was logged recently.
    pub(super) fn warn(&self, call: &'static str, failure: &Failure) {
        let Some(unlogged) = self.admit(failure.kind, Instant::now()) else { return };
        let (kind, advice) = (failure.kind.as_str(), failure.kind.advice());
        tracing::warn!(kind, call, error = failure.message, unlogged, "Redis: {advice}");
    }

    /// Decides whether a failure is logged. Returns how many of its kind were suppressed since the last line.
    fn admit(&self, kind: FailureKind, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = kinds.iter_mut().find(|state| state.kind == kind) else {
            kinds.push(KindState { kind, logged_at: now, suppressed: 0 });
            return Some(0);
        };
        if now.duration_since(state.logged_at) < LOG_INTERVAL {
            state.suppressed += 1;
            return None;
        }
        state.logged_at = now;
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_throttle_with_repeated_failures_admits_one_per_kind_and_interval() {
        let (throttle, start) = (LogThrottle::default(), Instant::now());
        assert_eq!(throttle.admit(FailureKind::Busy, start), Some(0));
        for _ in 0..5 {
            assert_eq!(throttle.admit(FailureKind::Busy, start), None);
        }
        assert_eq!(throttle.admit(FailureKind::OutOfMemory, start), Some(0), "another kind is logged");
        assert_eq!(throttle.admit(FailureKind::Busy, start + LOG_INTERVAL), Some(5));
    }
}
