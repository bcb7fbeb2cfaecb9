//! Recordings and broadcasts in two stores, compared without times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::domain::{Egress, RtmpTarget, StreamEgresses, StreamId, Timestamp};

use crate::backend::Backend;

/// Returns a recording or a broadcast without the times of its record.
pub(super) fn egress_without_times(egress: &Egress) -> Egress {
    let time = Timestamp::default();
    let target = |target: &RtmpTarget| RtmpTarget { planned_at: time, ..target.clone() };
    Egress {
        created_at: time,
        status_since: time,
        changed_at: time,
        recorder_missing_since: egress.recorder_missing_since.map(|_| time),
        // The end of an egress that has failed without a report is a time of the record.
        ended_at: egress.ended_at.filter(|_| egress.state_time.report > 0),
        targets: egress.targets.iter().map(target).collect(),
        ..egress.clone()
    }
}

/// Asserts that both stores have the same recordings and broadcasts, intents and addresses of targets.
pub(super) async fn assert_same_egresses(model: &Backend, redis: &Backend, id: StreamId) {
    let of = async |backend: &Backend| {
        let StreamEgresses { mut egresses, mut plans } = backend.store.egresses(id).await.unwrap();
        egresses.sort_by(|one, other| one.id.cmp(&other.id));
        plans.sort_by_key(|plan| plan.job);
        let mut addresses = Vec::new();
        for egress in &egresses {
            addresses.push(backend.store.egress_addresses(id, &egress.id).await.unwrap());
        }
        let plans: Vec<_> =
            plans.into_iter().map(|plan| (plan.job, plan.outputs, plan.is_abandoned)).collect();
        (egresses.iter().map(egress_without_times).collect::<Vec<_>>(), plans, addresses)
    };
    assert_eq!(of(redis).await, of(model).await);
}
