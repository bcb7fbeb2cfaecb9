//! Concurrent changes of one stream, which share script calls: their outcomes are those of calls one after another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures_util::future::join_all;
use livestream_orchestrator::{
    domain::{Change, ParticipantMetadata, Session, Stream, StreamRef, change::Effect, stream::NewStream},
    store::{Applied, DedupKey, Guard, Retention, StoreError},
};
use proptest::prelude::*;
use redis::AsyncCommands;

use crate::{
    backend::{Backend, RETENTION, identity, left, new_stream, session, token},
    lua_scripts::{
        assert_same_end, create_on_both, next_millisecond, participant_without_times, without_times,
    },
    random_changes::{History, history},
    support::{servers::shared_redis, unique},
};

type Step = (Change, Option<DedupKey>);

/// Whether changes of this kind share calls.
const fn is_batched(change: &Change) -> bool {
    matches!(
        change,
        Change::IssueToken { .. }
            | Change::Connect(_)
            | Change::Observe { .. }
            | Change::Disconnect { .. }
            | Change::Lose { .. }
    )
}

/// A change whose token, if it issues one, expires after all earlier ones. Tokens of one call that were valid for the
/// same time would end in the order of their identities, those of several calls in the order of the calls.
fn expiring_in_order(mut change: Change, number: usize) -> Change {
    if let Change::IssueToken { joining_ttl, .. } = &mut change {
        *joining_ttl = Duration::from_secs(3_600 + number as u64);
    }
    change
}

/// Divides the steps of a history into groups of changes that are made at the same time.
fn groups(history: &History, sizes: &[usize]) -> Vec<Vec<Step>> {
    let mut groups: Vec<Vec<Step>> = Vec::new();
    let mut sizes = sizes.iter().cycle();
    let mut room = 0;
    for (number, (change, _, once)) in history.steps.iter().cloned().enumerate() {
        let step = (expiring_in_order(change, number), once.map(DedupKey::Webhook));
        match groups.last_mut() {
            Some(group) if room > 0 && is_batched(&step.0) => group.push(step),
            _ => groups.push(vec![step]),
        }
        let is_alone = groups.last().is_some_and(|group| group.len() == 1);
        let alone_room = if is_batched(&groups.last().unwrap()[0].0) { *sizes.next().unwrap() } else { 0 };
        room = if is_alone { alone_room } else { room - 1 };
    }
    groups
}

async fn apply(
    backend: &Backend,
    stream: &StreamRef,
    (change, dedup_key): Step,
) -> Result<Applied, StoreError> {
    backend.store.apply(stream, change, Guard { dedup_key, ..Guard::default() }).await
}

/// Asserts that an outcome is the expected one, and that its stream is the state after this or a later change.
fn assert_same(made: Result<Applied, StoreError>, expected: &Result<Applied, StoreError>, states: &[Stream]) {
    match (made, expected) {
        (Ok(made), Ok(expected)) => {
            assert_eq!(made.effect, expected.effect);
            let of = |one: &Applied| one.participant.as_ref().map(participant_without_times);
            if made.effect != Effect::Duplicate {
                assert_eq!(of(&made), of(expected));
            }
            let stream = without_times(&made.stream);
            assert!(states.iter().any(|state| without_times(state) == stream), "{stream:?} {states:?}");
        }
        (Err(StoreError::Rejected(made)), Err(StoreError::Rejected(expected))) => assert_eq!(made, *expected),
        other => panic!("{other:?}"),
    }
}

async fn compare(history: History, sizes: Vec<usize>) {
    let retention = Retention { count_interval: history.count_interval, ..RETENTION };
    let prefix = unique("batch");
    let (model, redis) = (Backend::memory(retention), Backend::redis(&prefix, retention));
    let stream = create_on_both(&model, &redis, &history).await;
    for group in groups(&history, &sizes) {
        next_millisecond();
        let (mut expected, mut states) = (Vec::new(), Vec::new());
        for step in group.clone() {
            expected.push(apply(&model, &stream, step).await);
            states.push(model.store.get(stream.id).await.unwrap().unwrap());
        }
        let made = join_all(group.into_iter().map(|step| apply(&redis, &stream, step))).await;
        for (i, (made, expected)) in made.into_iter().zip(&expected).enumerate() {
            assert_same(made, expected, &states[i..]);
        }
    }
    assert_same_end(&model, &redis, stream.id, history.count_interval.is_zero()).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn changes_in_random_groups_match_the_model(
        history in history(),
        sizes in prop::collection::vec(0..7usize, 1..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare(history, sizes));
    }
}

async fn connection() -> redis::aio::MultiplexedConnection {
    redis::Client::open(shared_redis()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

fn connect(n: usize) -> Change {
    Change::Connect(session(&format!("viewer-{n}"), &format!("PA_{n}"), 1))
}

#[tokio::test]
async fn concurrent_changes_all_take_effect_with_consecutive_versions() {
    let backend = Backend::redis(&unique("many"), RETENTION);
    let stream = backend.active("room").await;
    let connects = (0..200).map(|n| backend.change(&stream, connect(n)));
    join_all(connects).await;
    let departures = (0..200).map(|n| {
        let sid = format!("PA_{n}");
        let departure = left(&format!("viewer-{n}"), Some(&sid));
        let backend = &backend;
        let stream = &stream;
        async move { backend.change(stream, departure).await }
    });
    join_all(departures).await;
    let state = backend.store.get(stream.id).await.unwrap().unwrap();
    assert_eq!((state.version, state.participant_count()), (402, 0));
    assert_eq!(state.peak_participant_count, 200);
    let versions: Vec<_> =
        backend.log(stream.id).await.iter().map(|event| event.draft.stream.version).collect();
    assert_eq!(versions, (1..=402).collect::<Vec<_>>());
}

/// Bytes of an entry of which few fit into one call.
const LARGE_BYTES: usize = 40_000;

#[tokio::test]
async fn large_changes_are_divided_over_calls_in_their_order() {
    let backend = Backend::redis(&unique("large"), RETENTION);
    let stream = backend.active("room").await;
    let large = |n: usize| match connect(n) {
        Change::Connect(session) => Change::Connect(Session {
            metadata: Some(ParticipantMetadata::stored(format!("\"{}\"", "x".repeat(LARGE_BYTES))).unwrap()),
            ..session
        }),
        other => other,
    };
    let webhook = |n: usize| Some(DedupKey::Webhook(unique(&format!("EV_{n}"))));
    let connects = (0..20).map(|n| apply(&backend, &stream, (large(n), webhook(n))));
    for (n, outcome) in join_all(connects).await.into_iter().enumerate() {
        let outcome = outcome.unwrap();
        assert_eq!(outcome.effect, Effect::Changed);
        assert_eq!(outcome.participant.unwrap().identity, identity(&format!("viewer-{n}")));
    }
    let log = backend.log(stream.id).await;
    let order: Vec<_> = log.iter().filter_map(|event| event.draft.participant.as_ref()).collect();
    let order: Vec<_> = order.iter().map(|one| one.identity.to_string()).collect();
    assert_eq!(order, (0..20).map(|n| format!("viewer-{n}")).collect::<Vec<_>>());
    let departures =
        (0..20).map(|n| backend.apply(&stream, left(&format!("viewer-{n}"), Some(&format!("PA_{n}")))));
    assert!(join_all(departures).await.into_iter().all(|outcome| outcome.is_ok()));
    assert_eq!(backend.store.get(stream.id).await.unwrap().unwrap().participant_count(), 0);
}

#[tokio::test]
async fn full_stream_admits_no_more_tokens_than_its_maximum_in_one_call() {
    let backend = Backend::redis(&unique("full"), RETENTION);
    let new = NewStream { max_participants: Some(2), ..new_stream("room") };
    let stream = match backend.store.create(new).await.unwrap() {
        livestream_orchestrator::store::CreateOutcome::Created(stream) => stream.reference(),
        other => panic!("{other:?}"),
    };
    backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
    let changes = (0..5).flat_map(|n| [connect(n), token(&format!("guest-{n}"), Duration::from_secs(60))]);
    let outcomes = join_all(changes.map(|change| backend.apply(&stream, change))).await;
    let refused: Vec<_> = outcomes.iter().map(Result::is_err).collect();
    assert_eq!(refused, [false, false, false, true, false, true, false, true, false, true]);
}

#[tokio::test]
async fn change_of_unreadable_entry_fails_without_the_others() {
    let prefix = unique("unreadable");
    let backend = Backend::redis(&prefix, RETENTION);
    let stream = backend.active("room").await;
    let key = format!("{{{prefix}}}:stream:{}:participants", stream.id);
    let _: () = connection().await.hset(key, "viewer-2", "no JSON").await.unwrap();
    let outcomes = join_all((0..5).map(|n| backend.apply(&stream, connect(n)))).await;
    let refused: Vec<_> = outcomes.iter().map(Result::is_err).collect();
    assert_eq!(refused, [false, false, true, false, false]);
    assert!(matches!(outcomes[2], Err(StoreError::Unavailable(_))), "{:?}", outcomes[2]);
    assert_eq!(backend.store.get(stream.id).await.unwrap().unwrap().participant_count(), 4);
}

#[tokio::test]
async fn caller_that_gives_up_does_not_cancel_the_changes_of_others() {
    let backend = Backend::redis(&unique("cancelled"), RETENTION);
    let stream = backend.active("room").await;
    let mut changes: Vec<_> = (0..6).map(|n| Box::pin(backend.apply(&stream, connect(n)))).collect();
    for change in &mut changes {
        assert!(futures_util::poll!(change).is_pending());
    }
    // The caller whose call is in progress, and one that waits.
    drop(changes.remove(3));
    drop(changes.remove(0));
    for outcome in join_all(changes).await {
        outcome.unwrap();
    }
    let entry = backend.store.participant(stream.id, identity("viewer-3").as_str()).await.unwrap();
    assert!(entry.is_none(), "a change whose caller has gone is not begun");
}

#[tokio::test]
async fn changes_of_a_stream_that_does_not_exist_are_not_found() {
    let backend = Backend::redis(&unique("absent"), RETENTION);
    let mut stream = backend.active("room").await;
    stream.id = livestream_orchestrator::domain::StreamId::generate();
    for outcome in join_all((0..5).map(|n| backend.apply(&stream, connect(n)))).await {
        assert!(matches!(outcome, Err(StoreError::NotFound)), "{outcome:?}");
    }
}
