//! Background jobs of a store with several partitions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use livestream_orchestrator::{
    domain::StreamStatus,
    orchestrator::{Orchestrator, Policy, Reconciler},
    telemetry::Metrics,
};

use super::{
    backend::{Backend, RETENTION},
    fake_livekit::{FakeLiveKit, POLICY},
};
use crate::support::unique;

/// A LiveKit that has lost its state would otherwise end the only stream of each partition.
#[tokio::test]
async fn empty_listing_is_confirmed_if_other_partitions_have_streams() {
    let backend = Backend::partitioned(&unique("jobs"), RETENTION);
    let partition = |room: &str| backend.partition_of_room(room);
    let mut names = (0..).map(|n| format!("room-{n}"));
    let other = names.find(|name| !Arc::ptr_eq(&partition(name), &partition("room"))).unwrap();
    let streams = [backend.active("room").await, backend.active(&other).await];
    let policy = Policy { listing_grace: Duration::ZERO, ..POLICY };
    let metrics = Arc::new(Metrics::new().unwrap());
    let livekit = FakeLiveKit::new();
    let orchestrator =
        Arc::new(Orchestrator::new(backend.store.clone(), livekit.clone(), livekit, policy, metrics));
    for room in ["room", &other] {
        let reconciler = Reconciler::new(orchestrator.clone(), partition(room));
        let report = reconciler.reconcile(Duration::ZERO).await.unwrap().expect("the partition's own lease");
        assert!(report.held_back, "{report:?}");
    }
    for stream in streams {
        let status = backend.store.get(stream.id).await.unwrap().unwrap().status;
        assert_eq!(status, StreamStatus::Active);
    }
}
