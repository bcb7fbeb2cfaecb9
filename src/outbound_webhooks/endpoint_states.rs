//! Numbers of endpoints by state, over all partitions whose senders run on this instance.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use crate::{
    domain::{EndpointId, Partition},
    telemetry::Metrics,
};

/// Endpoints as the sender of one partition sees them.
#[derive(Clone, Debug, Default)]
pub(super) struct StatesInPartition {
    pub(super) enabled: usize,
    pub(super) disabled: usize,
    /// Those of the enabled ones whose last attempts failed.
    pub(super) failing: BTreeSet<EndpointId>,
}

/// Endpoints as the senders on this instance see them.
#[derive(Default)]
pub(super) struct EndpointStates(Mutex<BTreeMap<Partition, StatesInPartition>>);

impl EndpointStates {
    /// Records what the sender of a partition sees, and sets the gauge. `None` stands for a sender that has ended;
    /// without any sender the gauge has no values, because another instance reports them.
    pub(super) fn record(&self, partition: Partition, states: Option<StatesInPartition>, metrics: &Metrics) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match states {
            Some(states) => all.insert(partition, states),
            None => all.remove(&partition),
        };
        let gauge = &metrics.webhook_endpoints;
        for (state, count) in counts(&all) {
            if all.is_empty() {
                // Absent if no sender has run before.
                let _ = gauge.remove_label_values(&[state]);
            } else {
                gauge.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }
}

/// An endpoint that fails in several partitions counts once.
fn counts(all: &BTreeMap<Partition, StatesInPartition>) -> [(&'static str, usize); 3] {
    let failing: BTreeSet<_> = all.values().flat_map(|states| &states.failing).collect();
    let most = |count: fn(&StatesInPartition) -> usize| all.values().map(count).max().unwrap_or_default();
    [
        ("enabled", most(|states| states.enabled)),
        ("failing", failing.len()),
        ("disabled", most(|states| states.disabled)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Partitioning, StreamId};

    #[test]
    fn endpoints_are_counted_once_over_partitions_and_not_without_a_sender() {
        let (states, metrics) = (EndpointStates::default(), Metrics::new().unwrap());
        let ids: Vec<EndpointId> = (0..2).map(|_| StreamId::generate().into()).collect();
        let failing = |ids: &[EndpointId]| {
            Some(StatesInPartition { enabled: 3, disabled: 1, failing: ids.iter().cloned().collect() })
        };
        let partitions: Vec<_> = Partitioning::new(2).unwrap().all().collect();
        states.record(partitions[0], failing(&ids), &metrics);
        states.record(partitions[1], failing(&ids[..1]), &metrics);
        let text = || String::from_utf8(metrics.encode(None).unwrap()).unwrap();
        for line in ["{state=\"enabled\"} 3", "{state=\"failing\"} 2", "{state=\"disabled\"} 1"] {
            assert!(text().contains(&format!("lso_webhook_endpoints{line}")), "{line}: {}", text());
        }
        states.record(partitions[0], None, &metrics);
        assert!(text().contains("lso_webhook_endpoints{state=\"failing\"} 1"), "{}", text());
        states.record(partitions[1], None, &metrics);
        assert!(!text().contains("lso_webhook_endpoints{"), "{}", text());
    }
}
