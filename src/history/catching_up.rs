//! Waiting until the archivers have stored what the logs have.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::{error::HistoryError, failure::Failure, records::Log, service::History};
use crate::{
    domain::{Cursor, Partition, Timestamp, Topic},
    store::FollowedPartition,
};

/// Maximum time that a request waits for the archivers.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Interval at which the positions of the archivers are read.
const INTERVAL: Duration = Duration::from_millis(200);

impl History {
    /// Waits until everything is stored that the logs of all partitions have at the time of the call. Returns false if
    /// that takes longer than 15 s.
    pub(super) async fn catch_up(&self) -> bool {
        let partitions = self.partitions.get().into_iter().flatten();
        let caught_up = partitions.map(|(number, partition)| self.catch_up_with(*number, &**partition));
        timeout(TIMEOUT, join_all(caught_up)).await.is_ok()
    }

    async fn catch_up_with(&self, number: Partition, partition: &dyn FollowedPartition) {
        let mut target = None;
        loop {
            let read = async {
                let target = match target {
                    Some(target) => target,
                    None => *target.insert(newest(partition).await?),
                };
                self.has_stored(number, partition, target).await
            };
            match read.await {
                Ok(true) => return,
                Ok(false) => {}
                Err(failure) => tracing::debug!(%failure, "position of the history not read; retrying"),
            }
            sleep(INTERVAL).await;
        }
    }

    async fn has_stored(
        &self,
        number: Partition,
        partition: &dyn FollowedPartition,
        (tail, now): (Cursor, Timestamp),
    ) -> Result<bool, Failure> {
        let (events, visits) = self.positions(number).await?;
        if events.unwrap_or(Cursor::ORIGIN) < tail {
            return Ok(false);
        }
        let next = partition.visits_after(visits, 1).await?;
        Ok(next.is_none_or(|page| i64::try_from(page.end.millis()).unwrap_or(i64::MAX) > now.as_millis()))
    }

    /// Returns the positions of both logs of a partition. Takes a permit of reads, so that erasures that wait leave
    /// connections to the archivers for which they wait.
    async fn positions(&self, number: Partition) -> Result<(Option<Cursor>, Option<Cursor>), HistoryError> {
        // Never closed.
        let _permit = self.reads.acquire().await;
        let events = self.store.position(number, Log::Events).await?;
        Ok((events, self.store.position(number, Log::Visits).await?))
    }
}

/// Returns the cursor of the newest event, and the time of the store, which the cursors of visits have too.
async fn newest(partition: &dyn FollowedPartition) -> Result<(Cursor, Timestamp), Failure> {
    let now = partition.now().await?;
    let tails = partition.tails(&[Topic::All]).await?;
    Ok((tails.first().copied().unwrap_or(Cursor::ORIGIN), now))
}
