//! The number of partitions of a deployment, recorded under its prefix. It never changes, because streams would be
//! looked up in other partitions than those that have them.

use super::client::RedisStore;
use crate::{domain::Partitioning, store::StoreError};

impl RedisStore {
    /// Records the number of partitions unless one is recorded, and returns the recorded one. The store must have the
    /// prefix itself as its hash tag, as that of [`RedisStore::new`] has.
    ///
    /// A deployment without the record that has keys is one of an earlier version, with one partition.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if Redis does not answer.
    pub async fn record_partitions(&self, wanted: Partitioning) -> Result<u16, StoreError> {
        let is_used: bool = self.query("partitions", redis::cmd("EXISTS").arg(self.keys.tail())).await?;
        let count = if is_used { Partitioning::SINGLE } else { wanted }.count();
        let mut record = redis::cmd("SET");
        record.arg(self.keys.partition_count()).arg(count).arg("NX");
        let _: redis::Value = self.query("partitions", &record).await?;
        let recorded: Option<u16> =
            self.query("partitions", redis::cmd("GET").arg(self.keys.partition_count())).await?;
        Ok(recorded.unwrap_or(count))
    }
}
