//! Rate limits in Redis: the generic cell rate algorithm in one script, so concurrent instances share one exact count.

use async_trait::async_trait;

use super::{client::RedisStore, codec::corrupt, scripts};
use crate::store::{RateLimit, RateLimitDecision, RateLimitStore, StoreError};

impl RedisStore {
    /// Counts one request, if the limit has room for it, or `charge` units in any case.
    async fn count(
        &self,
        name: &'static str,
        subject: &str,
        charge: Option<u32>,
        limit: RateLimit,
    ) -> Result<RateLimitDecision, StoreError> {
        let call = scripts::RateLimit {
            full_at: self.keys.rate(subject),
            interval_micros: limit.interval_micros(),
            period_micros: limit.period_micros(),
            max_debt_micros: limit.max_debt_micros(),
            charge,
        };
        let (granted, debt): (bool, String) = self.run(name, call).await?;
        let debt = debt.parse().map_err(|_| corrupt("rate"))?;
        Ok(RateLimitDecision::new(granted, debt, limit))
    }
}

#[async_trait]
impl RateLimitStore for RedisStore {
    async fn take(&self, subject: &str, limit: RateLimit) -> Result<RateLimitDecision, StoreError> {
        self.count("take", subject, None, limit).await
    }

    async fn charge(
        &self,
        subject: &str,
        units: u32,
        limit: RateLimit,
    ) -> Result<RateLimitDecision, StoreError> {
        self.count("charge", subject, Some(units), limit).await
    }
}
