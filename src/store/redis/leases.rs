//! Clock and leases.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    client::RedisStore,
    codec::corrupt,
    scripts::{AcquireLease, ReleaseLease, RenewLease},
};
use crate::{
    domain::Timestamp,
    store::{Clock, Job, Lease, Leases, StoreError},
};

/// How long the end of the last job is remembered: longer than any useful interval.
const DONE_TTL: Duration = Duration::from_secs(24 * 3600);

#[async_trait]
impl Clock for RedisStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        let (seconds, micros): (i64, i64) = self.query("time", &redis::cmd("TIME")).await?;
        let millis = seconds.checked_mul(1_000).and_then(|millis| millis.checked_add(micros / 1_000));
        millis.map(Timestamp::from_millis).ok_or_else(|| corrupt("time"))
    }
}

#[async_trait]
impl Leases for RedisStore {
    async fn take_lease(
        &self,
        job: Job,
        ttl: Duration,
        every: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let lease = Lease { job, token: uuid::Uuid::now_v7().to_string() };
        let call = AcquireLease {
            lease: self.keys.lease(job),
            finished_at: self.keys.lease_finished_at(job),
            due_at: self.keys.lease_due_at(job),
            token: lease.token.clone(),
            ttl_ms: ttl,
            interval_ms: every,
        };
        let taken: bool = self.run("take_lease", call).await?;
        Ok(taken.then_some(lease))
    }

    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<bool, StoreError> {
        let call = RenewLease { lease: self.keys.lease(lease.job), token: lease.token.clone(), ttl_ms: ttl };
        self.run("renew_lease", call).await
    }

    async fn end_lease(&self, lease: &Lease, again: Option<Duration>) -> Result<(), StoreError> {
        let call = ReleaseLease {
            lease: self.keys.lease(lease.job),
            finished_at: self.keys.lease_finished_at(lease.job),
            due_at: self.keys.lease_due_at(lease.job),
            token: lease.token.clone(),
            record_ttl_ms: DONE_TTL,
            due_after_ms: again,
        };
        self.run("end_lease", call).await
    }
}
