//! Rate limits in memory.

use async_trait::async_trait;

use super::state::MemoryStore;
use crate::store::{RateLimit, RateLimitDecision, RateLimitStore, StoreError};

#[async_trait]
impl RateLimitStore for MemoryStore {
    async fn take(&self, subject: &str, limit: RateLimit) -> Result<RateLimitDecision, StoreError> {
        let (mut inner, now) = self.current();
        #[expect(clippy::cast_precision_loss, reason = "microseconds of this century are exact")]
        let now = now.as_millis() as f64 * 1e3;
        Ok(inner.rates.take(subject, now, limit))
    }
}
