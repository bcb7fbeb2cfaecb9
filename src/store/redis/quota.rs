//! Rate limits in Redis: the generic cell rate algorithm in one script, so concurrent instances share one exact count.

use async_trait::async_trait;

use super::{RedisStore, corrupt};
use crate::store::{Limit, Quota, Standing, StoreError};

#[async_trait]
impl Quota for RedisStore {
    async fn take(&self, subject: &str, limit: Limit) -> Result<Standing, StoreError> {
        let args = [limit.interval_micros().to_string(), limit.period.as_micros().to_string()];
        let (granted, debt): (bool, String) =
            self.run("take", &self.scripts.take, &[self.keys.rate(subject)], &args).await?;
        let debt = debt.parse().map_err(|_| corrupt("rate"))?;
        Ok(Standing::of(granted, debt, limit))
    }
}
