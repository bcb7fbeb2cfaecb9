//! Exponential backoff for opening connections, shared by all runtimes of an instance, and jitter for every pause.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::failure::Failure;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Scales a duration by a random factor between 0.5 and 1.5, because clients that fail together must not retry
/// together.
pub(super) fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(0.5 + fastrand::f64())
}

/// Rejects attempts for a pause after each failure, and answers them with that failure. Consecutive failures double the
/// pause, up to [`LONGEST_PAUSE`].
#[derive(Default)]
pub(super) struct Backoff(Mutex<Option<Pause>>);

struct Pause {
    until: Instant,
    /// The length before jitter, from which the next pause is computed.
    length: Duration,
    failure: Failure,
}

impl Backoff {
    fn pause(&self) -> MutexGuard<'_, Option<Pause>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Allows an attempt when no pause is running.
    ///
    /// # Errors
    /// The failure that started the running pause.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match &*self.pause() {
            Some(pause) if Instant::now() < pause.until => Err(pause.failure.clone()),
            _ => Ok(()),
        }
    }

    /// Starts a pause. Does nothing while one is running, so concurrent attempts that fail together count once.
    pub(super) fn record_failure(&self, failure: &Failure) {
        let mut pause = self.pause();
        let now = Instant::now();
        let length = match &*pause {
            Some(running) if now < running.until => return,
            Some(last) => (last.length * 2).min(LONGEST_PAUSE),
            None => FIRST_PAUSE,
        };
        *pause = Some(Pause { until: now + jittered(length), length, failure: failure.clone() });
    }

    /// Ends the pause after a success; the next failure starts with [`FIRST_PAUSE`].
    pub(super) fn reset(&self) {
        *self.pause() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::failure::FailureKind, *};

    #[test]
    fn backoff_after_failures_rejects_attempts_for_growing_pauses() {
        let backoff = Backoff::default();
        assert!(backoff.check().is_ok());
        let mut lengths = Vec::new();
        for _ in 0..8 {
            backoff.record_failure(&Failure::new(FailureKind::Refused, "connection refused"));
            assert_eq!(backoff.check().unwrap_err().kind, FailureKind::Refused);
            let mut pause = backoff.0.lock().unwrap();
            let pause = pause.as_mut().unwrap();
            lengths.push(pause.length);
            pause.until = Instant::now();
        }
        assert!(backoff.check().is_ok());
        assert!(
            lengths.is_sorted() && lengths[0] == FIRST_PAUSE && lengths[7] == LONGEST_PAUSE,
            "{lengths:?}"
        );
        backoff.reset();
        assert!(backoff.check().is_ok() && backoff.0.lock().unwrap().is_none());
    }
}
