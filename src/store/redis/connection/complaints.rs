//! What goes wrong with Redis, in the log.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::failure::{Failure, Kind};

/// One line of the log a kind in this time: an outage fails every call.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Says in the log what goes wrong, without repeating itself.
#[derive(Default)]
pub(super) struct Complaints(Mutex<Vec<(Kind, Instant, u64)>>);

impl Complaints {
    pub(super) fn hear(&self, call: &'static str, failure: &Failure) {
        let Some(silent) = self.is_new(failure.kind, Instant::now()) else { return };
        let (kind, advice) = (failure.kind.as_str(), failure.kind.advice());
        tracing::warn!(kind, call, error = failure.words, unlogged = silent, "Redis: {advice}");
    }

    /// How many of this kind have not been told of, if it is time to tell.
    fn is_new(&self, kind: Kind, now: Instant) -> Option<u64> {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, at, silent)) = heard.iter_mut().find(|(heard, ..)| *heard == kind) else {
            heard.push((kind, now, 0));
            return Some(0);
        };
        if now.duration_since(*at) < LOG_INTERVAL {
            *silent += 1;
            return None;
        }
        *at = now;
        Some(std::mem::take(silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_of_now_and_then() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        assert_eq!(complaints.is_new(Kind::Busy, start), Some(0));
        for _ in 0..5 {
            assert_eq!(complaints.is_new(Kind::Busy, start), None);
        }
        assert_eq!(complaints.is_new(Kind::OutOfMemory, start), Some(0), "another kind is news");
        assert_eq!(complaints.is_new(Kind::Busy, start + LOG_INTERVAL), Some(5));
    }
}
