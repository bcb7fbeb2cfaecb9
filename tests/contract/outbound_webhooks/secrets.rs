//! Secrets of endpoints on a moved clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use livestream_orchestrator::{
    domain::{Partition, Partitioning},
    orchestrator::Orchestrator,
    outbound_webhooks::{AllPermits, EndpointService},
    store::LogBounds,
    telemetry::Metrics,
};
use secrecy::ExposeSecret;

use super::fixture::Fixture;
use crate::{
    fake_livekit::{FakeLiveKit, POLICY},
    support::{endpoint::Received, eventually},
};

/// Time for which the secret before a rotation signs too, in seconds.
const DAY: i64 = 24 * 3_600;

/// Returns the use cases of the fixture's endpoint.
fn service(fixture: &Fixture) -> EndpointService {
    let (livekit, metrics) = (FakeLiveKit::new(), Arc::new(Metrics::new().unwrap()));
    let orchestrator =
        Orchestrator::new(fixture.backend.store.clone(), livekit.clone(), livekit, POLICY, metrics);
    EndpointService::new(
        fixture.directory.clone(),
        fixture.backend.followed.clone(),
        fixture.backend.feed.clone(),
        fixture.client.clone(),
        Arc::new(AllPermits::new(usize::MAX)),
        Arc::new(orchestrator),
    )
}

/// Creates a stream, and returns the delivery of its first event.
async fn delivery(fixture: &Fixture, room: &str) -> Received {
    fixture.backend.create(room).await;
    eventually(room, || async {
        let received = fixture.client.received().into_iter();
        received.into_iter().find(|one| one.json()["data"]["stream"]["roomName"] == room)
    })
    .await
}

#[tokio::test]
async fn secret_before_a_rotation_signs_for_a_day_and_no_longer() {
    let fixture = Fixture::start(LogBounds::DEFAULT, 200).await;
    fixture.begin().await;
    let service = service(&fixture);
    let old = fixture.endpoint.secrets.current.clone();
    let new = service.rotate_secret(&fixture.endpoint.id, None).await.unwrap();
    let [old, new] = [old.expose_secret(), new.expose_secret()];
    let sender = fixture.start_sender(Partitioning::SINGLE, Partition::FIRST);
    let at_once = delivery(&fixture, "at-once").await;
    assert!(at_once.is_signed_by(new) && at_once.is_signed_by(old));
    fixture.advance(DAY - 300);
    let within = delivery(&fixture, "within-the-day").await;
    assert!(within.is_signed_by(new) && within.is_signed_by(old));
    fixture.advance(301);
    // The sender continues its last reading of the store's clock for a moment.
    eventually("the end of the old secret", || async {
        let received = delivery(&fixture, &crate::support::unique("after")).await;
        assert!(received.is_signed_by(new));
        (!received.is_signed_by(old)).then_some(())
    })
    .await;
    assert!(service.test(&fixture.endpoint.id).await.unwrap().answer.is_success());
    let test = fixture.client.received().pop().unwrap();
    assert!(test.is_signed_by(new) && !test.is_signed_by(old));
    sender.stop().await;
}
