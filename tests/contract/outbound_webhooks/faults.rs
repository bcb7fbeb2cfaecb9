//! Faults of endpoints, and requests at the same time as deliveries.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::Ordering;

use livestream_orchestrator::{
    domain::{
        DisabledReason, Endpoint, EndpointFilter, EndpointId, Partition, Partitioning, StreamId, Timestamp,
        webhook_endpoint::MAX_ENDPOINTS,
    },
    outbound_webhooks::{Directory, Error},
    store::{FollowerChange, LogBounds, ReplaceOutcome, SaveOutcome},
};

use super::fixture::{Fixture, new_endpoint};
use crate::support::eventually;

/// Streams whose deliveries hang: more than the deliveries that an endpoint gets at once.
const HANGING: usize = 60;

async fn wait_for_room(fixture: &Fixture, room: &str) {
    let is_delivered = || async { fixture.client.rooms().iter().any(|one| one == room).then_some(()) };
    eventually(room, is_delivered).await;
}

fn record(expected: Option<u64>, generation: u64, fields: Vec<(String, String)>) -> FollowerChange {
    FollowerChange { lease: None, expected, generation, fields }
}

#[tokio::test]
async fn position_of_an_endpoint_that_is_being_created_is_kept() {
    let fixture = Fixture::start(LogBounds::DEFAULT, 200).await;
    let sender = fixture.start_sender(Partitioning::SINGLE, Partition::FIRST);
    fixture.wait_for_position(&fixture.endpoint).await;
    // A creation records the position before the endpoint. Meanwhile another endpoint is created.
    let fields = fixture.record(&fixture.endpoint).await.unwrap().fields.into_iter().collect();
    let creating = new_endpoint(fixture.endpoint.enabled_at);
    let store = &fixture.backend.followed[0];
    assert_eq!(store.save(creating.id.as_str(), record(None, 0, fields)).await.unwrap(), SaveOutcome::Saved);
    let other = new_endpoint(fixture.endpoint.enabled_at);
    fixture.directory.add(&other).await.unwrap();
    fixture.wait_for_position(&other).await;
    fixture.backend.create("after-the-position").await;
    fixture.directory.add(&creating).await.unwrap();
    let is_delivered = || async { (fixture.client.rooms().len() == 3).then_some(()) };
    eventually("the event at each of three endpoints", is_delivered).await;
    sender.stop().await;
}

#[tokio::test]
async fn streams_that_hang_hold_up_no_other_stream() {
    let fixture = Fixture::start(LogBounds::DEFAULT, 200).await;
    fixture.begin().await;
    fixture.client.hang(|body| {
        let room = body["data"]["stream"]["roomName"].as_str();
        room.is_some_and(|room| room.starts_with("hangs"))
    });
    for n in 0..HANGING {
        fixture.backend.create(&format!("hangs-{n}")).await;
    }
    fixture.backend.create("other").await;
    let sender = fixture.start_sender(Partitioning::SINGLE, Partition::FIRST);
    wait_for_room(&fixture, "other").await;
    let stream = fixture.backend.create("later").await;
    wait_for_room(&fixture, "later").await;
    // Also behind: the first attempt fails, and the second one succeeds while the others hang.
    fixture.client.status.store(500, Ordering::Relaxed);
    fixture.change(&stream.reference(), 1).await;
    let attempts = || fixture.client.rooms().iter().filter(|room| *room == "later").count();
    eventually("the failed attempt", || async { (attempts() == 2).then_some(()) }).await;
    fixture.client.status.store(200, Ordering::Relaxed);
    fixture.advance(6);
    eventually("the second attempt", || async { (attempts() == 3).then_some(()) }).await;
    sender.stop().await;
}

#[tokio::test]
async fn endpoint_of_one_stream_follows_only_its_partition() {
    let fixture = Fixture::start(LogBounds::DEFAULT, 200).await;
    let partitioning = Partitioning::new(2).unwrap();
    let [first, second] = [0, 1].map(|index| partitioning.all().nth(index).unwrap());
    let stream = partitioning.move_to(StreamId::generate(), first);
    let filter = EndpointFilter { events: None, stream_id: Some(stream) };
    let of_stream = Endpoint { filter, ..new_endpoint(fixture.endpoint.enabled_at) };
    fixture.directory.add(&of_stream).await.unwrap();
    let sender = fixture.start_sender(partitioning, second);
    fixture.wait_for_position(&fixture.endpoint).await;
    fixture.backend.create("of-another-stream").await;
    wait_for_room(&fixture, "of-another-stream").await;
    assert_eq!(fixture.record(&of_stream).await, None);
    sender.stop().await;
    let sender = fixture.start_sender(partitioning, first);
    fixture.wait_for_position(&of_stream).await;
    sender.stop().await;
}

#[tokio::test]
async fn replay_without_notice_to_the_sender_is_made() {
    let fixture = Fixture::start(LogBounds::DEFAULT, 200).await;
    fixture.begin().await;
    let before = fixture.record(&fixture.endpoint).await.unwrap();
    let sender = fixture.start_sender(Partitioning::SINGLE, Partition::FIRST);
    fixture.backend.create("replayed").await;
    wait_for_room(&fixture, "replayed").await;
    let is_saved = || async { (fixture.record(&fixture.endpoint).await? != before).then_some(()) };
    eventually("the saved position", is_saved).await;
    // The store fails after the replay has set the position back, so the endpoints' revision does not change.
    let change = record(Some(before.generation), before.generation + 1, before.fields.into_iter().collect());
    let store = &fixture.backend.followed[0];
    assert_eq!(store.save(fixture.endpoint.id.as_str(), change).await.unwrap(), SaveOutcome::Saved);
    let is_repeated = || async { (fixture.client.rooms().len() >= 2).then_some(()) };
    eventually("the replay", is_repeated).await;
    sender.stop().await;
}

#[tokio::test]
async fn late_410_of_an_old_url_does_not_disable() {
    let fixture = Fixture::start(LogBounds::DEFAULT, 200).await;
    let (directory, seen) = (&fixture.directory, fixture.endpoint.clone());
    let correct = |endpoint: &mut Endpoint| {
        endpoint.url = "https://example.com/corrected".to_owned();
        Ok(true)
    };
    directory.change(&seen.id, correct).await.unwrap();
    let corrected = directory.disable(&seen, DisabledReason::Gone, seen.enabled_at).await.unwrap();
    assert_eq!(corrected.disabled, None);
    let gone = directory.disable(&corrected, DisabledReason::Gone, seen.enabled_at).await.unwrap();
    assert_eq!(gone.disabled, Some((DisabledReason::Gone, seen.enabled_at)));
}

#[tokio::test]
async fn failures_of_before_the_endpoint_was_enabled_do_not_delay() {
    let fixture = Fixture::start(LogBounds::DEFAULT, 500).await;
    fixture.begin().await;
    fixture.backend.create("waits").await;
    fixture.run_until_received(1).await;
    fixture.advance(6);
    fixture.run_until_received(2).await;
    assert_eq!(fixture.waiting().await.0, 2, "the next attempt is in five minutes");
    // Enabled before the worker has saved for the last time, as by a request while it delivers.
    let enable = |endpoint: &mut Endpoint| {
        endpoint.enabled_at = Timestamp::from_millis(endpoint.enabled_at.as_millis() + 1);
        Ok(true)
    };
    fixture.directory.change(&fixture.endpoint.id, enable).await.unwrap();
    fixture.run_until_received(3).await;
    assert_eq!(fixture.waiting().await.0, 1);
}

#[tokio::test]
async fn record_of_an_endpoint_of_the_file_has_no_secret_and_is_not_counted() {
    let fixture = Fixture::start(LogBounds::DEFAULT, 200).await;
    let (store, now) = (&fixture.backend.webhook_endpoints, fixture.endpoint.enabled_at);
    let of_file = Endpoint { created_at: None, enabled_at: Timestamp::default(), ..new_endpoint(now) };
    let directory = Directory::new(store.clone(), vec![of_file.clone()]);
    directory.disable(&of_file, DisabledReason::Requested, now).await.unwrap();
    assert!(directory.find(&of_file.id).await.unwrap().endpoint.disabled.is_some());
    let record = store.records().await.unwrap().records[&of_file.id].clone();
    assert!(!record.contains("whsec_") && !record.contains("https"), "{record}");
    // One is in the file, and one was created by the fixture.
    for _ in 2..MAX_ENDPOINTS {
        assert!(directory.has_room().await.unwrap());
        directory.add(&new_endpoint(now)).await.unwrap();
    }
    assert!(!directory.has_room().await.unwrap());
    assert!(matches!(directory.add(&new_endpoint(now)).await, Err(Error::TooMany)));
    assert_eq!(directory.list().await.unwrap().endpoints.len(), MAX_ENDPOINTS);
}

#[tokio::test]
async fn record_that_cannot_be_parsed_is_not_deleted() {
    let fixture = Fixture::start(LogBounds::DEFAULT, 200).await;
    let (store, id) = (&fixture.backend.webhook_endpoints, EndpointId::from(StreamId::generate()));
    let replaced = store.replace(&id, None, Some("of a later version"), MAX_ENDPOINTS).await.unwrap();
    assert_eq!(replaced, ReplaceOutcome::Replaced);
    let listing = fixture.directory.list().await.unwrap();
    assert_eq!(listing.endpoints.len(), 1);
    assert!(listing.others.contains(id.as_str()), "its position is kept");
}
