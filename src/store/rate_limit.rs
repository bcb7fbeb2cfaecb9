//! Rate limits that hold over all instances.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;

/// Maximum number of requests in a period, as the generic cell rate algorithm (GCRA) applies it.
///
/// The whole number may come at once. Each request is available again after its share of the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Number of requests, at least one.
    pub count: u32,
    /// Length of the period.
    pub period: Duration,
}

impl RateLimit {
    /// Returns the time after which one request is available again, in microseconds.
    pub fn interval_micros(self) -> f64 {
        self.period_micros() / f64::from(self.count.max(1))
    }

    /// Returns the length of the period in microseconds.
    pub fn period_micros(self) -> f64 {
        self.period.as_secs_f64() * 1e6
    }

    /// Returns the maximum time until the whole limit is available again, in microseconds. Charges beyond the limit
    /// refuse later requests for at most one more period.
    pub fn max_debt_micros(self) -> f64 {
        2.0 * self.period_micros()
    }
}

/// Decision about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitDecision {
    /// True if the request is within the limit.
    pub allowed: bool,
    /// Number of further requests that are allowed at once.
    pub remaining: u32,
    /// Time until the whole limit is available again.
    pub reset: Duration,
    /// Time until the next request is allowed; zero if it is allowed now.
    pub retry_after: Duration,
}

impl RateLimitDecision {
    /// Computes a decision from the time until the whole limit is available again. Both backends use it.
    pub(super) fn new(allowed: bool, debt_micros: f64, limit: RateLimit) -> Self {
        let (interval, most) = (limit.interval_micros(), limit.period_micros());
        // Corrects rounding errors of up to half a microsecond.
        let free = ((most - debt_micros) / interval + 1e-6).floor().max(0.0);
        let wait = (debt_micros + interval - most).max(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by the count")]
        let remaining = free.min(f64::from(limit.count)) as u32;
        let micros = |micros: f64| Duration::from_secs_f64(micros.max(0.0) / 1e6);
        Self {
            allowed,
            remaining,
            reset: micros(debt_micros),
            retry_after: if remaining > 0 { Duration::ZERO } else { micros(wait) },
        }
    }
}

/// Counters of rate limits.
#[async_trait]
pub trait RateLimitStore: Send + Sync {
    /// Counts one request of `subject`. Exact for any number of concurrent instances; times are the store's.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] after a bounded time without an answer.
    async fn take(&self, subject: &str, limit: RateLimit) -> Result<RateLimitDecision, StoreError>;

    /// Counts what an allowed request has cost besides itself, as `units` further requests, also beyond the limit.
    /// Later requests are then refused until the excess has drained, for at most one more period.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] after a bounded time without an answer.
    async fn charge(
        &self,
        subject: &str,
        units: u32,
        limit: RateLimit,
    ) -> Result<RateLimitDecision, StoreError>;
}
