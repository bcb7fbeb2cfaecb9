//! Readiness of the hubs of an instance.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{store::Source, telemetry::Metrics};

/// Whether each hub is connected and has caught up with its logs.
///
/// A store of several partitions has a source for each of them, and the merged one last.
pub(super) struct Readiness {
    sources: Vec<AtomicBool>,
    metrics: Arc<Metrics>,
}

impl Readiness {
    pub(super) fn new(sources: usize, metrics: Arc<Metrics>) -> Self {
        Self { sources: std::iter::repeat_with(AtomicBool::default).take(sources).collect(), metrics }
    }

    /// Sets the readiness of one hub, and the metrics.
    pub(super) fn set(&self, source: Source, ready: bool) {
        self.sources[source.0].store(ready, Ordering::Relaxed);
        if source.0 < self.partitions() {
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

    /// Returns the numbers of the partitions whose hubs are not ready.
    pub(super) fn waiting(&self) -> impl Iterator<Item = usize> {
        let partitions = self.sources.iter().take(self.partitions()).enumerate();
        partitions.filter(|(_, ready)| !ready.load(Ordering::Relaxed)).map(|(partition, _)| partition)
    }

    /// Returns the number of partitions; 0 for a store that is not divided.
    pub(super) fn partitions(&self) -> usize {
        if self.sources.len() > 1 { self.sources.len() - 1 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readiness(sources: &[bool]) -> Readiness {
        let readiness = Readiness::new(sources.len(), Arc::new(Metrics::new().unwrap()));
        sources.iter().enumerate().for_each(|(source, ready)| readiness.set(Source(source), *ready));
        readiness
    }

    #[test]
    fn instance_is_ready_while_some_partitions_are() {
        for (sources, ready, waiting) in [
            (&[true][..], true, vec![]),
            (&[false], false, vec![]),
            (&[true, true, true], true, vec![]),
            (&[true, true, false], false, vec![]),
            (&[true, false, false], true, vec![1]),
            (&[false, false, false], false, vec![0, 1]),
        ] {
            let readiness = readiness(sources);
            assert_eq!(readiness.is_ready(), ready, "{sources:?}");
            assert_eq!(readiness.waiting().collect::<Vec<_>>(), waiting, "{sources:?}");
        }
    }
}
