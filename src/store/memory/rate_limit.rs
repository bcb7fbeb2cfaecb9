//! Rate limits in memory.

use async_trait::async_trait;

use super::state::MemoryStore;
use crate::{
    domain::Timestamp,
    store::{RateLimit, RateLimitDecision, RateLimitStore, StoreError},
};

#[expect(clippy::cast_precision_loss, reason = "microseconds of this century are exact")]
fn micros(now: Timestamp) -> f64 {
    now.as_millis() as f64 * 1e3
}

#[async_trait]
impl RateLimitStore for MemoryStore {
    async fn take(&self, subject: &str, limit: RateLimit) -> Result<RateLimitDecision, StoreError> {
        let (mut inner, now) = self.current();
        Ok(inner.rates.take(subject, micros(now), limit))
    }

    async fn charge(
        &self,
        subject: &str,
        units: u32,
        limit: RateLimit,
    ) -> Result<RateLimitDecision, StoreError> {
        let (mut inner, now) = self.current();
        Ok(inner.rates.charge(subject, micros(now), units, limit))
    }
}
