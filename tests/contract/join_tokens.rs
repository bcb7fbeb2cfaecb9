//! Join tokens and the participants that use them, in every store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures_util::future::join_all;
use livestream_orchestrator::{
    domain::{
        Change, EventKind, Participant, ParticipantState, Rejection, Removals, StreamStatus, change::Effect,
        stream::NewStream,
    },
    store::{CreateOutcome, ScheduledJob, StoreError},
};

use super::backend::{Backend, assert_unbroken, kinds, left, new_stream, on_every_backend, session, token};

on_every_backend!(
    concurrent_joins_are_counted_once,
    token_for_full_stream_is_rejected,
    unused_token_expires_to_previous_state,
);

async fn concurrent_joins_are_counted_once(backend: Backend) {
    let stream = backend.active("joins").await;
    let join = |n: usize| {
        let (backend, stream) = (backend.clone(), stream.clone());
        async move {
            let (who, sid) = (format!("p{n}"), format!("PA_{n}"));
            backend.change(&stream, token(&who, Duration::from_secs(60))).await;
            // Twice, as a duplicated webhook.
            backend.change(&stream, Change::Connect(session(&who, &sid, 1))).await;
            backend.change(&stream, Change::Connect(session(&who, &sid, 1))).await;
        }
    };
    join_all((0..200).map(join)).await;
    let view = backend.store.view(stream.id).await.unwrap().unwrap();
    assert_eq!((view.stream.participant_count(), view.stream.peak_participant_count), (200, 200));
    assert_eq!(view.participants.len(), 200);
    assert!(view.participants.iter().all(Participant::is_active));
    let log = backend.log(stream.id).await;
    assert_unbroken(&log);
    assert_eq!(kinds(&log).iter().filter(|kind| **kind == EventKind::ParticipantJoined).count(), 200);
}

async fn token_for_full_stream_is_rejected(backend: Backend) {
    let new = NewStream { max_participants: Some(1), ..new_stream("full") };
    let CreateOutcome::Created(stream) = backend.store.create(backend.placed(new)).await.unwrap() else {
        panic!("taken")
    };
    let stream = stream.reference();
    let early = backend.apply(&stream, token("ann", Duration::from_secs(60))).await;
    assert!(matches!(
        early,
        Err(StoreError::Rejected(Rejection::NotActive { status: StreamStatus::Creating }))
    ));
    backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
    backend.change(&stream, Change::Connect(session("ann", "PA_1", 1))).await;
    let refused = backend.apply(&stream, token("bob", Duration::from_secs(60))).await;
    assert!(matches!(refused, Err(StoreError::Rejected(Rejection::Full { max: 1 }))));
    let known = backend.change(&stream, token("ann", Duration::from_secs(60))).await;
    assert_eq!(known.effect, Effect::Unchanged, "a present participant gets another token");
    backend.stop(&stream).await;
    let late = backend.apply(&stream, token("ann", Duration::from_secs(60))).await;
    assert!(matches!(
        late,
        Err(StoreError::Rejected(Rejection::NotActive { status: StreamStatus::Stopped }))
    ));
}

async fn unused_token_expires_to_previous_state(backend: Backend) {
    let stream = backend.active("expiry").await;
    backend.change(&stream, Change::Connect(session("back", "PA_1", 1))).await;
    backend.change(&stream, left("back", Some("PA_1"))).await;
    let before = backend.store.participant(stream.id, "back").await.unwrap().unwrap();
    // The role of the token is recorded, also when the token expires unused.
    let before = Participant { sid: None, role_recorded: true, removals: Removals::default(), ..before };
    for who in ["ann", "back"] {
        backend.change(&stream, token(who, Duration::ZERO)).await;
    }
    backend.change(&stream, token("waiting", Duration::from_secs(60))).await;
    assert!(backend.scheduled_jobs(10).await.contains(&ScheduledJob::ExpireJoining(stream.id)));
    assert_eq!(backend.change(&stream, Change::ExpireJoining).await.effect, Effect::Changed);
    assert!(!backend.scheduled_jobs(10).await.contains(&ScheduledJob::ExpireJoining(stream.id)));
    assert_eq!(backend.store.participant(stream.id, "ann").await.unwrap(), None);
    let back = backend.store.participant(stream.id, "back").await.unwrap().unwrap();
    assert_eq!(
        Participant { changed_at: before.changed_at, ..back },
        before,
        "the state after the previous visit"
    );
    let waiting = backend.store.participant(stream.id, "waiting").await.unwrap().unwrap();
    assert_eq!(waiting.state, ParticipantState::Joining);
    let log = backend.log(stream.id).await;
    let published: Vec<_> =
        log.iter().rev().take(2).map(|event| event.draft.participant.clone().unwrap()).collect();
    assert!(published.iter().all(|participant| participant.state == ParticipantState::Disconnected));
    assert_eq!(backend.change(&stream, Change::ExpireJoining).await.effect, Effect::Unchanged);
}
