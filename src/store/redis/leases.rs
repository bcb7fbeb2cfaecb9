//! Who may do the jobs that one instance at a time does, and the time by which everything is recorded.

use std::time::Duration;

use super::{RedisStore, corrupt, millis};
use crate::{
    domain::Timestamp,
    store::{Lease, StoreError},
};

/// How long it is remembered when a job was last done: longer than anybody would set the interval to.
const DONE_TTL: Duration = Duration::from_secs(24 * 3600);
/// How many times the waiting time a suspicion is remembered.
const SUSPICION_LIVES: u32 = 10;

impl RedisStore {
    pub(super) async fn time(&self) -> Result<Timestamp, StoreError> {
        let (seconds, micros): (i64, i64) = self.query("time", &redis::cmd("TIME")).await?;
        let millis = seconds.checked_mul(1_000).and_then(|millis| millis.checked_add(micros / 1_000));
        millis.map(Timestamp::from_millis).ok_or_else(|| corrupt("time"))
    }

    pub(super) async fn take(&self, ttl: Duration, every: Duration) -> Result<Option<Lease>, StoreError> {
        let lease = Lease { token: uuid::Uuid::now_v7().to_string() };
        let keys = [self.keys.lease(), self.keys.lease_done()];
        let args = [lease.token.clone(), millis(ttl), millis(every)];
        let taken: bool = self.run("take_lease", &self.scripts.lease, &keys, &args).await?;
        Ok(taken.then_some(lease))
    }

    pub(super) async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<bool, StoreError> {
        let args = [lease.token.clone(), millis(ttl)];
        self.run("renew_lease", &self.scripts.lease_renew, &[self.keys.lease()], &args).await
    }

    pub(super) async fn end(&self, lease: &Lease) -> Result<(), StoreError> {
        let keys = [self.keys.lease(), self.keys.lease_done()];
        let args = [lease.token.clone(), millis(DONE_TTL)];
        self.run("end_lease", &self.scripts.lease_end, &keys, &args).await
    }

    pub(super) async fn seen_again(&self, after: Duration) -> Result<bool, StoreError> {
        let args = [millis(after), millis(after * SUSPICION_LIVES)];
        self.run("suspect", &self.scripts.suspect, &[self.keys.suspicion()], &args).await
    }
}
