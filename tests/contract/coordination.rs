//! Operation locks, the lease of the reconciler, name locks and confirmation of empty listings, in every store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures_util::future::join_all;
use livestream_orchestrator::{
    domain::{Change, RoomName, StopReason, StreamRef, Timestamp, change::Effect},
    store::{CreateOutcome, Guard, Job, Lease, StoreError},
};

use super::backend::{Backend, new_stream, on_every_backend, session};

on_every_backend!(
    operation_lock_has_one_holder,
    operation_lock_is_renewed_and_released_by_its_holder_alone,
    lease_has_one_holder_and_fences_the_previous,
    unrenewed_lease_expires,
    empty_listing_is_confirmed_by_second_listing,
    room_name_of_ended_stream_can_be_locked,
);

/// Returns the expiry of a stream's operation lock.
async fn lock_expiry(backend: &Backend, stream: &StreamRef) -> Timestamp {
    backend.store.get(stream.id).await.unwrap().unwrap().lock_expires_at.unwrap()
}

async fn operation_lock_has_one_holder(backend: Backend) {
    let creating = backend.create("claimed").await.reference();
    assert_eq!(
        backend.change(&creating, Change::AcquireLock).await.effect,
        Effect::Unchanged,
        "the creation holds the lock"
    );
    assert_eq!(
        backend
            .change(&creating, Change::ReleaseLock { until: lock_expiry(&backend, &creating).await })
            .await
            .effect,
        Effect::Changed
    );
    let locks = join_all((0..10).map(|_| backend.change(&creating, Change::AcquireLock))).await;
    assert_eq!(locks.iter().filter(|lock| lock.effect == Effect::Changed).count(), 1);
    let active = backend.active("active").await;
    assert_eq!(
        backend.change(&active, Change::AcquireLock).await.effect,
        Effect::Unchanged,
        "an active stream has no operation to continue"
    );
    let begin = || Change::BeginStop { reason: StopReason::Requested, room_sid: None };
    let stops = join_all((0..10).map(|_| backend.change(&active, begin()))).await;
    assert_eq!(
        stops.iter().filter(|stop| stop.effect == Effect::Changed).count(),
        1,
        "the stop holds the lock"
    );
    assert_eq!(backend.change(&active, Change::AcquireLock).await.effect, Effect::Unchanged);
    assert_eq!(backend.log(active.id).await.len(), 3, "locks publish no events");
}

async fn operation_lock_is_renewed_and_released_by_its_holder_alone(backend: Backend) {
    let stream = backend.create("locked").await.reference();
    let first = lock_expiry(&backend, &stream).await;
    let renewed = backend.change(&stream, Change::RenewLock { until: first }).await;
    assert_eq!(renewed.effect, Effect::Changed);
    // The answer of the renewal was lost, so the holder still has the previous expiry.
    assert_eq!(backend.change(&stream, Change::RenewLock { until: first }).await.effect, Effect::Changed);
    assert_eq!(backend.change(&stream, Change::ReleaseLock { until: first }).await.effect, Effect::Changed);
    backend.change(&stream, Change::AcquireLock).await;
    let second = lock_expiry(&backend, &stream).await;
    // A holder whose lock has expired cannot change the lock of the next holder.
    let stale = second.minus(livestream_orchestrator::domain::stream::OPERATION_LOCK);
    for change in [Change::RenewLock { until: stale }, Change::ReleaseLock { until: stale }] {
        assert_eq!(backend.change(&stream, change).await.effect, Effect::Unchanged);
    }
    assert_eq!(lock_expiry(&backend, &stream).await, second);
}

async fn lease_has_one_holder_and_fences_the_previous(backend: Backend) {
    let store = &backend.partition_of_room("fenced");
    let (long, never) = (Duration::from_secs(60), Duration::ZERO);
    let takers = join_all((0..10).map(|_| store.take_lease(Job::Reconcile, long, never))).await;
    let mut taken: Vec<_> = takers.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(taken.len(), 1);
    let lease = taken.remove(0);
    assert!(store.renew_lease(&lease, long).await.unwrap());
    let stream = backend.active("fenced").await;
    let by = |lease: &Lease| Guard { lease: Some(lease.clone()), ..Guard::default() };
    let join = |n: usize| Change::Connect(session(&format!("p{n}"), &format!("PA_{n}"), 1));
    store.apply(&stream, join(0), by(&lease)).await.unwrap();
    store.end_lease(&lease, None).await.unwrap();
    // The lease is not due again, and its previous holder cannot renew it.
    assert_eq!(store.take_lease(Job::Reconcile, long, long).await.unwrap(), None);
    assert!(!store.renew_lease(&lease, long).await.unwrap());
    let late = store.apply(&stream, join(1), by(&lease)).await;
    assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
    let next = store.take_lease(Job::Reconcile, long, never).await.unwrap().unwrap();
    assert_ne!(next, lease);
    store.end_lease(&lease, None).await.unwrap();
    store.apply(&stream, join(2), by(&next)).await.unwrap();
    let late = store.apply(&stream, join(3), by(&lease)).await;
    assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
    assert_eq!(store.get(stream.id).await.unwrap().unwrap().participant_count(), 2);
}

async fn unrenewed_lease_expires(backend: Backend) {
    let lease = backend.partitions[0]
        .take_lease(Job::Reconcile, Duration::from_millis(30), Duration::ZERO)
        .await
        .unwrap()
        .unwrap();
    let next = crate::support::eventually("the lease", || async {
        backend.partitions[0]
            .take_lease(Job::Reconcile, Duration::from_secs(60), Duration::ZERO)
            .await
            .unwrap()
    })
    .await;
    assert_ne!(lease, next);
    assert!(!backend.partitions[0].renew_lease(&lease, Duration::from_secs(60)).await.unwrap());
}

async fn empty_listing_is_confirmed_by_second_listing(backend: Backend) {
    let (store, wait) = (&backend.partitions[0], Duration::from_millis(50));
    assert!(!store.confirm_empty_listing(Duration::from_secs(60)).await.unwrap());
    assert!(
        !store.confirm_empty_listing(Duration::from_secs(60)).await.unwrap(),
        "too early for a confirmation"
    );
    store.clear_empty_listing().await.unwrap();
    assert!(!store.confirm_empty_listing(wait).await.unwrap());
    crate::support::eventually("the confirmation", || async {
        store.confirm_empty_listing(wait).await.unwrap().then_some(())
    })
    .await;
}

async fn room_name_of_ended_stream_can_be_locked(backend: Backend) {
    let (store, ttl) = (&backend.store, Duration::from_secs(60));
    let (room, partition) = (RoomName::parse("over").unwrap(), backend.partition_of_room("over"));
    assert!(!store.lock_room_name(&room, ttl).await.unwrap(), "no stream ever had the name");
    let stream = backend.active("over").await;
    assert!(!store.lock_room_name(&room, ttl).await.unwrap(), "a live stream has the name");
    assert!(partition.closed_rooms(10, 0).await.unwrap().is_empty());
    backend.stop(&stream).await;
    assert_eq!(partition.closed_rooms(10, 0).await.unwrap(), std::slice::from_ref(&room));
    assert!(partition.closed_rooms(10, 1).await.unwrap().is_empty());
    assert!(store.lock_room_name(&room, ttl).await.unwrap());
    assert!(!store.lock_room_name(&room, ttl).await.unwrap(), "the name is locked");
    assert!(matches!(
        store.create(backend.placed(new_stream("over"))).await,
        Ok(CreateOutcome::RoomNameLocked)
    ));
    store.unlock_room_name(&room).await.unwrap();
    backend.create("over").await;
    assert!(!store.lock_room_name(&room, ttl).await.unwrap(), "a new stream has the name");
    assert!(partition.closed_rooms(10, 0).await.unwrap().is_empty());
}
