//! Rate limits in Redis: the generic cell rate algorithm in one script, so concurrent instances share one exact count.

use async_trait::async_trait;

use super::{client::RedisStore, codec::corrupt, scripts};
use crate::store::{RateLimit, RateLimitDecision, RateLimitStore, StoreError};

#[async_trait]
impl RateLimitStore for RedisStore {
    async fn take(&self, subject: &str, limit: RateLimit) -> Result<RateLimitDecision, StoreError> {
        let call = scripts::RateLimit {
            full_at: self.keys.rate(subject),
            interval_micros: limit.interval_micros(),
            period_micros: limit.period.as_micros(),
        };
        let (granted, debt): (bool, String) = self.run("take", call).await?;
        let debt = debt.parse().map_err(|_| corrupt("rate"))?;
        Ok(RateLimitDecision::new(granted, debt, limit))
    }
}
