//! Waiting before what has just failed is tried again, so that an outage does not end in a herd.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::failure::Failure;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Half of a duration to one and a half, so that what failed together is not tried again together.
pub(super) fn jittered(duration: Duration) -> Duration {
    let random = f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    duration.mul_f64(0.5 + random)
}

/// After a failure, nobody tries for a moment; who would have is told of the failure. Each moment is longer than the
/// one before.
#[derive(Default)]
pub(super) struct Brake(Mutex<Option<Pulled>>);

struct Pulled {
    until: Instant,
    pause: Duration,
    why: Failure,
}

impl Brake {
    /// # Errors
    /// The last failure, while it is not to be tried again.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let pulled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*pulled {
            Some(pulled) if Instant::now() < pulled.until => Err(pulled.why.clone()),
            _ => Ok(()),
        }
    }

    pub(super) fn pull(&self, why: &Failure) {
        let mut pulled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let pause = match &*pulled {
            // Somebody else who tried at the same time.
            Some(before) if now < before.until => return,
            Some(before) => (before.pause * 2).min(LONGEST_PAUSE),
            None => FIRST_PAUSE,
        };
        *pulled = Some(Pulled { until: now + jittered(pause), pause, why: why.clone() });
    }

    pub(super) fn release(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::failure::Kind, *};

    #[test]
    fn one_failure_is_told_to_all_until_the_moment_is_over() {
        let brake = Brake::default();
        assert!(brake.check().is_ok());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            brake.pull(&Failure::new(Kind::Refused, "nobody"));
            assert_eq!(brake.check().unwrap_err().kind, Kind::Refused);
            let mut pulled = brake.0.lock().unwrap();
            let pulled = pulled.as_mut().unwrap();
            pauses.push(pulled.pause);
            pulled.until = Instant::now();
        }
        assert!(brake.check().is_ok());
        assert!(pauses.is_sorted() && pauses[0] == FIRST_PAUSE && pauses[7] == LONGEST_PAUSE, "{pauses:?}");
        brake.release();
        assert!(brake.check().is_ok() && brake.0.lock().unwrap().is_none());
    }
}
