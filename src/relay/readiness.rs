//! Readiness of the hubs of an instance.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

use crate::{store::Source, telemetry::Metrics};

/// Whether each hub is connected and has caught up with its logs.
///
/// A store of several partitions has a source for each of them, and the merged one last.
pub(super) struct Readiness {
    sources: Vec<AtomicBool>,
    /// Wakes the merged hub when the hub of a partition becomes ready.
    partition_back: Notify,
    metrics: Arc<Metrics>,
}

impl Readiness {
    pub(super) fn new(sources: usize, metrics: Arc<Metrics>) -> Self {
        let sources = std::iter::repeat_with(AtomicBool::default).take(sources).collect();
        let readiness = Self { sources, partition_back: Notify::new(), metrics };
        // A partition that is down since the start has its metric too.
        (0..readiness.partitions()).for_each(|partition| readiness.set(Source(partition), false));
        readiness
    }

    /// Sets the readiness of one hub, and the metrics.
    pub(super) fn set(&self, source: Source, ready: bool) {
        let was_ready = self.sources[source.0].swap(ready, Ordering::Relaxed);
        if source.0 < self.partitions() {
            if ready && !was_ready {
                self.partition_back.notify_one();
            }
            let partition = source.0.to_string();
            self.metrics.partition_up.with_label_values(&[&partition]).set(i64::from(ready));
        }
        self.metrics.feed_up.set(i64::from(self.is_ready()));
    }

    /// Reports whether every hub is ready, or those of some partitions while others are down. The merged feed waits for
    /// the latter.
    pub(super) fn is_ready(&self) -> bool {
        let down = self.waiting().count();
        let is_merged = self.sources.last().is_some_and(|merged| merged.load(Ordering::Relaxed));
        is_merged || (down > 0 && down < self.partitions())
    }

    /// Reports whether the hub of some partition is ready, whatever the merged feed does.
    pub(super) fn has_ready_partition(&self) -> bool {
        self.waiting().count() < self.partitions()
    }

    /// Returns the numbers of the partitions whose hubs are not ready.
    pub(super) fn waiting(&self) -> impl Iterator<Item = usize> {
        let partitions = self.sources.iter().take(self.partitions()).enumerate();
        partitions.filter(|(_, ready)| !ready.load(Ordering::Relaxed)).map(|(partition, _)| partition)
    }

    /// Reports whether a source is the merged one of several partitions.
    pub(super) fn is_merged(&self, source: Source) -> bool {
        source.0 > 0 && source.0 == self.partitions()
    }

    /// Returns when the hub of a partition has become ready since the last call. For the merged hub. Cancellation safe.
    pub(super) async fn partition_back(&self) {
        self.partition_back.notified().await;
    }

    /// Returns the number of partitions; 0 for a store that is not divided.
    pub(super) fn partitions(&self) -> usize {
        if self.sources.len() > 1 { self.sources.len() - 1 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn readiness(sources: &[bool]) -> Readiness {
        let readiness = Readiness::new(sources.len(), Arc::new(Metrics::new().unwrap()));
        sources.iter().enumerate().for_each(|(source, ready)| readiness.set(Source(source), *ready));
        readiness
    }

    #[test]
    fn instance_is_ready_while_some_partitions_are() {
        for (sources, ready, any, waiting) in [
            (&[true][..], true, false, vec![]),
            (&[false], false, false, vec![]),
            (&[true, true, true], true, true, vec![]),
            (&[true, true, false], false, true, vec![]),
            (&[true, false, false], true, true, vec![1]),
            (&[false, false, false], false, false, vec![0, 1]),
        ] {
            let readiness = readiness(sources);
            assert_eq!(readiness.is_ready(), ready, "{sources:?}");
            assert_eq!(readiness.has_ready_partition(), any, "{sources:?}");
            assert_eq!(readiness.waiting().collect::<Vec<_>>(), waiting, "{sources:?}");
        }
    }

    #[test]
    fn partition_that_has_never_been_ready_has_its_metric() {
        let readiness = Readiness::new(3, Arc::new(Metrics::new().unwrap()));
        let text = String::from_utf8(readiness.metrics.encode(None).unwrap()).unwrap();
        for partition in 0..2 {
            let line = format!("lso_partition_up{{partition=\"{partition}\"}} 0");
            assert!(text.lines().any(|found| found == line), "{line}");
        }
    }

    #[tokio::test]
    async fn merged_hub_is_woken_by_a_partition_that_is_back() {
        let readiness = readiness(&[true, false, false]);
        // By the first partition.
        readiness.partition_back().await;
        readiness.set(Source(0), true);
        readiness.set(Source(2), true);
        assert!(readiness.partition_back().now_or_never().is_none(), "no partition has become ready");
        readiness.set(Source(1), true);
        readiness.partition_back().await;
        assert!(readiness.is_merged(Source(2)) && !readiness.is_merged(Source(1)));
    }
}
