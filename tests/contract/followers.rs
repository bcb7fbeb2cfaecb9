//! Records of followers and of webhook endpoints, in every store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, time::Duration};

use livestream_orchestrator::{
    domain::{Cursor, EndpointId, StreamId, Topic},
    store::{FollowerChange, FollowerRecord, Job, ReplaceOutcome, SaveOutcome},
};

use super::{
    archiver::Running,
    backend::{Backend, RETENTION, on_every_backend},
    history_databases::Database,
};
use crate::support::{
    eventually,
    fault_proxy::{CommandFault, FaultProxy},
    servers::Redis,
    unique,
};

on_every_backend!(
    record_is_changed_only_under_the_lease_and_generation,
    record_with_many_fields_is_kept,
    position_is_the_newest_event_at_or_before_a_cursor,
    endpoint_is_replaced_only_if_it_is_the_expected_one,
    number_of_endpoints_is_bounded,
    leases_of_different_jobs_are_independent,
);

fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn by_request(expected: Option<u64>, generation: u64, pairs: &[(&str, &str)]) -> FollowerChange {
    FollowerChange { lease: None, expected, generation, fields: fields(pairs) }
}

async fn record_is_changed_only_under_the_lease_and_generation(backend: Backend) {
    let store = &backend.followed[0];
    assert_eq!(store.follower("a").await.unwrap(), None);
    assert_eq!(store.save("a", by_request(Some(0), 0, &[])).await.unwrap(), SaveOutcome::Superseded);
    let begun = by_request(None, 0, &[("position", "1-0"), ("x", "1")]);
    assert_eq!(store.save("a", begun.clone()).await.unwrap(), SaveOutcome::Saved);
    assert_eq!(store.save("a", begun).await.unwrap(), SaveOutcome::Superseded, "it exists");
    let lease = store.take_lease(Job::SendWebhooks, Duration::from_secs(60), Duration::ZERO).await.unwrap();
    let by_follower = FollowerChange { lease, ..by_request(Some(0), 0, &[("x", ""), ("y", "2")]) };
    assert_eq!(store.save("a", by_follower.clone()).await.unwrap(), SaveOutcome::Saved);
    let expected: BTreeMap<_, _> = fields(&[("position", "1-0"), ("y", "2")]).into_iter().collect();
    let record = FollowerRecord { generation: 0, fields: expected };
    assert_eq!(store.follower("a").await.unwrap(), Some(record));
    assert_eq!(store.follower_field("a", "y").await.unwrap().as_deref(), Some("2"));
    assert_eq!(store.follower_field("a", "x").await.unwrap(), None);
    let moved = by_request(Some(0), 1, &[("position", "0-0")]);
    assert_eq!(store.save("a", moved).await.unwrap(), SaveOutcome::Saved);
    assert_eq!(store.save("a", by_follower.clone()).await.unwrap(), SaveOutcome::Superseded);
    store.end_lease(by_follower.lease.as_ref().unwrap(), None).await.unwrap();
    assert_eq!(store.save("a", by_follower).await.unwrap(), SaveOutcome::LeaseLost);
    assert_eq!(store.followers().await.unwrap(), ["a"]);
    store.remove_follower("a").await.unwrap();
    assert!(store.followers().await.unwrap().is_empty());
    assert_eq!(store.follower("a").await.unwrap(), None);
}

async fn record_with_many_fields_is_kept(backend: Backend) {
    let store = &backend.followed[0];
    let many: Vec<_> = (0..1_000).map(|n| (format!("stream:{n}"), "v".to_owned())).collect();
    let change = FollowerChange { lease: None, expected: None, generation: 3, fields: many.clone() };
    assert_eq!(store.save("many", change).await.unwrap(), SaveOutcome::Saved);
    let record = store.follower("many").await.unwrap().unwrap();
    assert_eq!((record.generation, record.fields), (3, many.into_iter().collect()));
}

async fn position_is_the_newest_event_at_or_before_a_cursor(backend: Backend) {
    let partitions = backend.followed.iter().zip(&backend.partitions);
    let (store, _) = partitions.into_iter().next().unwrap();
    assert_eq!(store.position_at(None).await.unwrap(), Cursor::ORIGIN);
    let room = (0..).map(|n| format!("position-{n}"));
    let in_first = |room: &String| {
        let of_room = backend.partition_of_room(room);
        std::ptr::addr_eq(std::sync::Arc::as_ptr(&of_room), std::sync::Arc::as_ptr(&backend.partitions[0]))
    };
    let room = room.into_iter().find(in_first).unwrap();
    backend.active(&room).await;
    let log = store.newest(Topic::All, 10).await.unwrap().unwrap();
    let (first, last) = (log.first().unwrap().cursor, log.last().unwrap().cursor);
    assert_eq!(store.position_at(None).await.unwrap(), last);
    assert_eq!(store.position_at(Some(first)).await.unwrap(), first);
    assert_eq!(store.position_at(Some(Cursor::new(first.millis() - 1, 0))).await.unwrap(), Cursor::ORIGIN);
    assert_eq!(store.position_at(Some(Cursor::new(last.millis() + 1, 0))).await.unwrap(), last);
}

async fn endpoint_is_replaced_only_if_it_is_the_expected_one(backend: Backend) {
    let store = &backend.webhook_endpoints;
    let id = EndpointId::from(StreamId::generate());
    let revision = store.revision().await.unwrap();
    assert_eq!(store.replace(&id, Some("x"), Some("y"), 9).await.unwrap(), ReplaceOutcome::Changed);
    assert_eq!(store.replace(&id, None, Some("x"), 9).await.unwrap(), ReplaceOutcome::Replaced);
    assert_eq!(store.replace(&id, None, Some("z"), 9).await.unwrap(), ReplaceOutcome::Changed);
    assert_eq!(store.replace(&id, Some("x"), Some("y"), 9).await.unwrap(), ReplaceOutcome::Replaced);
    let records = store.records().await.unwrap();
    assert_eq!(records.records, [(id.clone(), "y".to_owned())].into());
    assert_eq!(records.revision, revision + 2);
    assert_eq!(store.replace(&id, Some("y"), None, 9).await.unwrap(), ReplaceOutcome::Replaced);
    store.touch().await.unwrap();
    assert_eq!(store.revision().await.unwrap(), revision + 4);
    assert!(store.records().await.unwrap().records.is_empty());
}

async fn number_of_endpoints_is_bounded(backend: Backend) {
    let store = &backend.webhook_endpoints;
    let ids: Vec<_> = (0..3).map(|_| EndpointId::from(StreamId::generate())).collect();
    for id in &ids[..2] {
        assert_eq!(store.replace(id, None, Some("x"), 2).await.unwrap(), ReplaceOutcome::Replaced);
    }
    assert_eq!(store.replace(&ids[2], None, Some("x"), 2).await.unwrap(), ReplaceOutcome::Full);
    assert_eq!(store.replace(&ids[0], Some("x"), Some("y"), 2).await.unwrap(), ReplaceOutcome::Replaced);
}

async fn leases_of_different_jobs_are_independent(backend: Backend) {
    let store = &backend.followed[0];
    let take = |job| store.take_lease(job, Duration::from_secs(60), Duration::ZERO);
    let reconcile = take(Job::Reconcile).await.unwrap().unwrap();
    let send = take(Job::SendWebhooks).await.unwrap().unwrap();
    assert_eq!(take(Job::SendWebhooks).await.unwrap(), None);
    store.end_lease(&reconcile, None).await.unwrap();
    assert!(store.renew_lease(&send, Duration::from_secs(60)).await.unwrap());
}

/// The instance has the lease without knowing it, when it is told to stop.
#[tokio::test]
async fn lease_of_an_attempt_during_the_shutdown_is_released() {
    let (redis, database) = (Redis::start(), Database::sqlite());
    let proxy = FaultProxy::start(redis.port).await;
    let prefix = unique("followers");
    let slow = Backend::redis_at(&proxy.url(), &prefix, RETENTION);
    proxy.fault_commands(Some(("lease:archive", CommandFault::Delay(Duration::from_millis(300)))));
    let running = Running::start(&slow, &database.address);
    eventually("an attempt", || async { (proxy.faulted_count() > 0).then_some(()) }).await;
    running.stop().await;
    let other = Backend::redis_at(&redis.url(), &prefix, RETENTION);
    let (ttl, never) = (Duration::from_secs(60), Duration::ZERO);
    assert!(other.followed[0].take_lease(Job::Archive, ttl, never).await.unwrap().is_some());
}
