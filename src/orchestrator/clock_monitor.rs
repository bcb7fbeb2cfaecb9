//! Clock monitor: measures how far the clocks of the partitions differ.
//!
//! Cursors follow the clock that is furthest ahead. Times in documents are those of each partition's own clock. So a
//! difference does not change the order of events, but times of different partitions cannot be compared. The metric and
//! its alert make operators aware of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    store::{PartitionStore, StoreError},
    telemetry::Metrics,
};

/// Time between two measurements.
const INTERVAL: Duration = Duration::from_secs(10);
/// Readings of one clock in a measurement. The shortest call counts, because the first one may open a connection.
const READINGS: usize = 3;

/// Compares the clocks of partitions.
pub struct ClockMonitor {
    partitions: Vec<Arc<dyn PartitionStore>>,
    metrics: Arc<Metrics>,
}

impl ClockMonitor {
    /// Creates a monitor of all partitions, in order.
    pub const fn new(partitions: Vec<Arc<dyn PartitionStore>>, metrics: Arc<Metrics>) -> Self {
        Self { partitions, metrics }
    }

    /// Measures until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        loop {
            self.measure().await;
            if shutdown.run_until_cancelled(sleep(INTERVAL)).await.is_none() {
                return;
            }
        }
    }

    /// Measures once. The value of a partition that does not answer stays as it is.
    pub async fn measure(&self) {
        let begun = Instant::now();
        let offsets = join_all(self.partitions.iter().map(|one| offset(one.as_ref(), begun))).await;
        let Some(greatest) = offsets.iter().flatten().copied().reduce(f64::max) else { return };
        for (partition, offset) in offsets.iter().enumerate() {
            let Ok(offset) = offset else { continue };
            let behind = self.metrics.partition_clock_behind.with_label_values(&[partition.to_string()]);
            behind.set(greatest - offset);
        }
    }
}

/// The seconds from `begun`, on this machine's clock, to the time that a partition answers. The error is at most half
/// of the duration of the shortest call.
async fn offset(partition: &dyn PartitionStore, begun: Instant) -> Result<f64, StoreError> {
    let (mut shortest, mut offset) = (Duration::MAX, 0.0);
    for _ in 0..READINGS {
        let before = begun.elapsed();
        let now = partition.now().await?;
        let after = begun.elapsed();
        if after - before < shortest {
            shortest = after - before;
            offset = now.as_millis() as f64 / 1_000.0 - ((before + after) / 2).as_secs_f64();
        }
    }
    Ok(offset)
}
