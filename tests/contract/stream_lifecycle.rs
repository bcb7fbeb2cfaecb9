//! Lifecycle of a stream in every store: creation, guarded changes, close and expiry of an empty stream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use livestream_orchestrator::{
    domain::{
        Change, EventKind, Metadata, ParticipantState, Rejection, RoomName, RoomSid, StopReason, StreamId,
        StreamRef, StreamStatus, change::Effect, stream::NewStream,
    },
    store::{Applied, CreateOutcome, Guard, ParticipantFilter, ScheduledJob, StoreError},
};

use super::backend::{Backend, assert_unbroken, kinds, left, new_stream, on_every_backend, session, token};

on_every_backend!(
    stream_lifecycle_publishes_every_event,
    room_name_is_reserved_until_stream_ends,
    stop_of_failed_stream_changes_nothing,
    concurrent_creations_of_one_room_name_make_one_stream,
    concurrent_writes_with_one_expected_version_succeed_once,
    metadata_write_with_stale_expectation_is_rejected,
    close_disconnects_participants_in_batches,
    empty_stream_is_scheduled_for_idle_stop,
    totals_count_streams_by_status_and_participants,
    unknown_stream_is_not_found,
);

async fn stream_lifecycle_publishes_every_event(backend: Backend) {
    let stream = backend.active("life").await;
    backend.change(&stream, token("ann", Duration::from_secs(60))).await;
    backend.change(&stream, Change::Connect(session("ann", "PA_1", 1))).await;
    backend.change(&stream, left("ann", Some("PA_1"))).await;
    let stopped = backend.stop(&stream).await;
    let log = backend.log(stream.id).await;
    assert_unbroken(&log);
    assert_eq!(
        kinds(&log),
        [
            EventKind::StreamCreated,
            EventKind::StreamUpdated,
            EventKind::ParticipantUpdated,
            EventKind::ParticipantJoined,
            EventKind::ParticipantLeft,
            EventKind::StreamUpdated,
            EventKind::StreamStopped,
        ]
    );
    let last = log.last().unwrap();
    let told = last.draft.stream.clone().with_metadata(Metadata::default());
    assert_eq!((last.draft.reason.as_deref(), &told), (Some("requested"), &stopped));
    assert_eq!(stopped.stopped_at, Some(stopped.updated_at));
    assert_eq!((stopped.participant_count(), stopped.peak_participant_count), (0, 1));
    for change in [Change::Activate { room_sid: "RM_1".into() }, Change::Fail { reason: "x".to_owned() }] {
        let refused = backend.apply(&stream, change).await;
        assert!(matches!(refused, Err(StoreError::Rejected(Rejection::InvalidTransition { .. }))));
    }
    assert_eq!(backend.stop(&stream).await, stopped, "a repeated stop changes nothing");
}

async fn room_name_is_reserved_until_stream_ends(backend: Backend) {
    let first = backend.active("held").await;
    let again = backend.store.create(backend.placed(new_stream("held"))).await.unwrap();
    assert!(matches!(again, CreateOutcome::Existing(stream) if stream.id == first.id));
    backend.stop(&first).await;
    assert_eq!(
        backend.store.id_of_room(&first.room_name).await.unwrap(),
        Some(first.id),
        "an ended stream is found by its room name"
    );
    let second = backend.create("held").await;
    assert_eq!(backend.store.id_of_room(&first.room_name).await.unwrap(), Some(second.id));
    backend.change(&second.reference(), Change::Fail { reason: "x".to_owned() }).await;
    let third = backend.create("held").await;
    assert_ne!(third.id, second.id, "a failed creation releases the name");
}

async fn stop_of_failed_stream_changes_nothing(backend: Backend) {
    let stream = backend.create("failed").await.reference();
    let failed = backend.change(&stream, Change::Fail { reason: "x".to_owned() }).await.stream;
    for room_sid in [None, Some(RoomSid::from("RM_1"))] {
        for reason in [StopReason::Requested, StopReason::RoomFinished, StopReason::Idle] {
            let begin = Change::BeginStop { reason, room_sid: room_sid.clone() };
            let stop = backend.change(&stream, begin).await;
            assert_eq!((stop.effect, &stop.stream), (Effect::Unchanged, &failed), "{reason:?}");
        }
    }
    assert_eq!(backend.log(stream.id).await.len(), 2, "no event after the failure");
}

async fn concurrent_creations_of_one_room_name_make_one_stream(backend: Backend) {
    let creations = join_all((0..20).map(|_| backend.store.create(backend.placed(new_stream("race"))))).await;
    let new = creations.iter().filter(|created| matches!(created, Ok(CreateOutcome::Created(_)))).count();
    let ids: HashSet<_> = creations
        .into_iter()
        .map(|created| match created.unwrap() {
            CreateOutcome::Created(stream) | CreateOutcome::Existing(stream) => stream.id,
            CreateOutcome::RoomNameLocked => panic!("the room name is not locked"),
        })
        .collect();
    assert_eq!((new, ids.len()), (1, 1));
}

async fn concurrent_writes_with_one_expected_version_succeed_once(backend: Backend) {
    let stream = backend.active("guarded").await;
    let write = |n: usize| {
        let (backend, stream) = (backend.clone(), stream.clone());
        async move {
            let metadata = Metadata::parse(&format!(r#"{{"n":{n}}}"#)).unwrap();
            let change = Change::SetMetadata { expected: Metadata::default(), metadata };
            backend
                .store
                .apply(&stream, change, Guard { version: Some(2), dedup_key: None, lease: None })
                .await
        }
    };
    let results = join_all((0..20).map(write)).await;
    let mismatch = |result: &Result<Applied, StoreError>| {
        matches!(result, Err(StoreError::Rejected(Rejection::VersionMismatch { current: 3 })))
    };
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(results.iter().filter(|result| mismatch(result)).count(), 19);
    assert_eq!(backend.log(stream.id).await.len(), 3);
}

async fn metadata_write_with_stale_expectation_is_rejected(backend: Backend) {
    let stream = backend.active("metadata").await;
    let metadata = |n: u32| {
        Metadata::parse(&format!(r#"{{"n":{n},"empty":[],"big":12345678901234567890123.10}}"#)).unwrap()
    };
    let set = |expected, metadata| Change::SetMetadata { expected, metadata };
    let applied = backend.change(&stream, set(Metadata::default(), metadata(1))).await;
    assert_eq!(applied.stream.metadata, metadata(1));
    let stale = backend.apply(&stream, set(Metadata::default(), metadata(2))).await;
    assert!(matches!(stale, Err(StoreError::Rejected(Rejection::MetadataChanged))));
    assert_eq!(backend.change(&stream, set(metadata(1), metadata(1))).await.effect, Effect::Unchanged);
    assert_eq!(backend.log(stream.id).await.last().unwrap().draft.stream.metadata, Some(metadata(1)));
}

async fn close_disconnects_participants_in_batches(backend: Backend) {
    let stream = backend.active("closing").await;
    for n in 0..120 {
        backend.change(&stream, Change::Connect(session(&format!("p{n}"), &format!("PA_{n}"), 1))).await;
    }
    backend.change(&stream, token("late", Duration::from_secs(60))).await;
    backend.change(&stream, Change::BeginStop { reason: StopReason::Requested, room_sid: None }).await;
    assert_eq!(backend.change(&stream, Change::Close).await.effect, Effect::Partial);
    let stopped = backend.stop(&stream).await;
    assert_eq!((stopped.status, stopped.participant_count()), (StreamStatus::Stopped, 0));
    let log = backend.log(stream.id).await;
    assert_unbroken(&log);
    let count = |kind| kinds(&log).iter().filter(|published| **published == kind).count();
    assert_eq!((count(EventKind::ParticipantJoined), count(EventKind::ParticipantLeft)), (120, 120));
    assert_eq!(log.last().unwrap().draft.kind, EventKind::StreamStopped);
    let present = backend
        .store
        .participants(stream.id, ParticipantFilter::state(ParticipantState::Disconnected), 1_000, None)
        .await
        .unwrap();
    assert_eq!(present.items.len(), 121, "no participant of a stopped stream is active");
}

async fn empty_stream_is_scheduled_for_idle_stop(backend: Backend) {
    let new = NewStream { idle_after: Some(Duration::ZERO), ..new_stream("idle") };
    let CreateOutcome::Created(stream) = backend.store.create(backend.placed(new)).await.unwrap() else {
        panic!("taken")
    };
    let stream = stream.reference();
    backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
    assert_eq!(backend.scheduled_jobs(10).await, [ScheduledJob::StopIdle(stream.id)]);
    backend.change(&stream, Change::Connect(session("ann", "PA_1", 1))).await;
    assert_eq!(backend.scheduled_jobs(10).await, []);
    let idle = || Change::BeginStop { reason: StopReason::Idle, room_sid: None };
    assert_eq!(backend.change(&stream, idle()).await.effect, Effect::Unchanged, "a participant is active");
    backend.change(&stream, left("ann", None)).await;
    assert_eq!(backend.scheduled_jobs(10).await, [ScheduledJob::StopIdle(stream.id)]);
    assert_eq!(backend.change(&stream, idle()).await.stream.status, StreamStatus::Stopping);
    let forever = NewStream { idle_after: None, ..new_stream("forever") };
    let CreateOutcome::Created(forever) = backend.store.create(backend.placed(forever)).await.unwrap() else {
        panic!("taken")
    };
    backend.change(&forever.reference(), Change::Activate { room_sid: "RM_1".into() }).await;
    assert_eq!(backend.scheduled_jobs(10).await, []);
}

async fn totals_count_streams_by_status_and_participants(backend: Backend) {
    let (one, two) = (backend.active("one").await, backend.active("two").await);
    backend.create("three").await;
    for (stream, who) in [(&one, "a"), (&one, "b"), (&two, "a")] {
        backend.change(stream, Change::Connect(session(who, &format!("PA_{who}"), 1))).await;
    }
    let totals = backend.store.totals().await.unwrap();
    let of = |status| totals.streams.iter().find(|(of, _)| *of == status).unwrap().1;
    assert_eq!((of(StreamStatus::Creating), of(StreamStatus::Active), totals.participants), (1, 2, 3));
    backend.stop(&one).await;
    let totals = backend.store.totals().await.unwrap();
    let of = |status| totals.streams.iter().find(|(of, _)| *of == status).unwrap().1;
    assert_eq!((of(StreamStatus::Active), of(StreamStatus::Stopped), totals.participants), (1, 1, 1));
}

async fn unknown_stream_is_not_found(backend: Backend) {
    let unknown = StreamRef { id: StreamId::generate(), room_name: RoomName::parse("none").unwrap() };
    assert!(matches!(backend.apply(&unknown, Change::Close).await, Err(StoreError::NotFound)));
    assert!(backend.store.get(unknown.id).await.unwrap().is_none());
    assert!(backend.store.view(unknown.id).await.unwrap().is_none());
    assert!(backend.store.id_of_room(&unknown.room_name).await.unwrap().is_none());
    assert!(backend.store.participant(unknown.id, "ann").await.unwrap().is_none());
    let people = backend.store.participants(unknown.id, ParticipantFilter::default(), 10, None).await;
    assert!(matches!(people, Err(StoreError::NotFound)));
    assert!(backend.log(unknown.id).await.is_empty());
    backend.store.ping().await.unwrap();
}
