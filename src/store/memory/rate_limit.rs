//! Rate limits in memory.

use std::collections::HashMap;

use async_trait::async_trait;

use super::MemoryStore;
use crate::store::{RateLimit, RateLimitDecision, RateLimitStore, StoreError};

/// Number of subjects from which full limits are removed.
const PRUNE_FROM: usize = 10_000;

/// Time at which the whole limit of each subject is available again, in microseconds.
#[derive(Default)]
pub(super) struct Rates(HashMap<String, f64>);

impl Rates {
    fn take(&mut self, subject: &str, now: f64, limit: RateLimit) -> RateLimitDecision {
        if self.0.len() >= PRUNE_FROM {
            self.0.retain(|_, free| *free > now);
        }
        let (interval, period) = (limit.interval_micros(), limit.period.as_secs_f64() * 1e6);
        let free = self.0.entry(subject.to_owned()).or_insert(now);
        *free = free.clamp(now, now + period);
        let granted = *free + interval - now <= period + 0.5;
        if granted {
            *free += interval;
        }
        RateLimitDecision::new(granted, *free - now, limit)
    }
}

#[async_trait]
impl RateLimitStore for MemoryStore {
    async fn take(&self, subject: &str, limit: RateLimit) -> Result<RateLimitDecision, StoreError> {
        let (mut inner, now) = self.current();
        #[expect(clippy::cast_precision_loss, reason = "microseconds of this century are exact")]
        let now = now.as_millis() as f64 * 1e3;
        Ok(inner.rates.take(subject, now, limit))
    }
}
