//! How often somebody may do something, counted by all instances together.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;

/// So many within a period. All of them may come at once; from then on they come back one by one, each after its share of
/// the period (the generic cell rate algorithm).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many; at least one.
    pub count: u32,
    /// Within what time.
    pub period: Duration,
}

impl Limit {
    /// After how long one comes back, in microseconds.
    pub fn interval_micros(self) -> f64 {
        self.period.as_secs_f64() * 1e6 / f64::from(self.count.max(1))
    }
}

/// Where somebody stands after having asked for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether they got it.
    pub granted: bool,
    /// How many more they would get at once.
    pub remaining: u32,
    /// After how long they have all of them again.
    pub reset: Duration,
    /// After how long they get one more; nothing where they would at once.
    pub retry_after: Duration,
}

impl Standing {
    /// The standing of somebody for whom all is free again after this many microseconds: the one rule of the algorithm, for both
    /// backends.
    pub(super) fn of(granted: bool, debt_micros: f64, limit: Limit) -> Self {
        let (interval, most) = (limit.interval_micros(), limit.period.as_secs_f64() * 1e6);
        // Halves of a microsecond are what the arithmetic may be off by.
        let free = ((most - debt_micros) / interval + 1e-6).floor().max(0.0);
        let wait = (debt_micros + interval - most).max(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by the count")]
        let remaining = free.min(f64::from(limit.count)) as u32;
        let micros = |micros: f64| Duration::from_secs_f64(micros.max(0.0) / 1e6);
        Self {
            granted,
            remaining,
            reset: micros(debt_micros),
            retry_after: if remaining > 0 { Duration::ZERO } else { micros(wait) },
        }
    }
}

/// What is counted.
///
/// # Errors
/// [`StoreError::Unavailable`] rather than wait longer than a bounded time.
#[async_trait]
pub trait Quota: Send + Sync {
    /// Asks for one more of `subject`, which is all that a count is told apart by. Exact, however many instances ask at
    /// once; the times are the store's.
    async fn take(&self, subject: &str, limit: Limit) -> Result<Standing, StoreError>;
}
