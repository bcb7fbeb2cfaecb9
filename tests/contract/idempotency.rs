//! Idempotency keys, in every store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use livestream_orchestrator::{
    domain::{Change, Metadata, change::Effect, stream::NewStream},
    store::{
        Attempt, BeginOutcome, CreateOutcome, DedupKey, FAILURE_TTL, Guard, IDEMPOTENCY_TTL, MAX_LIVE_KEYS,
        PreviousAttempt, RequestKey,
    },
};

use super::backend::{Backend, RETENTION, new_stream, with_and_without_partitions};
use crate::support::eventually;

const LEASE: Duration = Duration::from_secs(60);

fn backends() -> [Backend; 3] {
    with_and_without_partitions("requests", RETENTION)
}

/// A key of the caller ann.
fn key(key: &str) -> RequestKey {
    RequestKey { key: key.to_owned(), caller: "ann".to_owned(), max_live: MAX_LIVE_KEYS }
}

fn begun(outcome: BeginOutcome) -> Attempt {
    match outcome {
        BeginOutcome::Begun(attempt) => attempt,
        other => panic!("not begun: {other:?}"),
    }
}

#[tokio::test]
async fn concurrent_requests_with_one_key_run_once() {
    for Backend { idempotency, .. } in backends() {
        let k = &key("k");
        let first = begun(idempotency.begin(k, "the body", LEASE).await.unwrap());
        assert_eq!(first.previous, None);
        assert_eq!(idempotency.begin(k, "the body", LEASE).await.unwrap(), BeginOutcome::InProgress);
        assert_eq!(idempotency.begin(k, "another", LEASE).await.unwrap(), BeginOutcome::Mismatch);
        let other_attempt = Attempt { holder: "another".to_owned(), ..first.clone() };
        assert!(
            idempotency.renew(k, &first, LEASE).await.unwrap()
                && !idempotency.renew(k, &other_attempt, LEASE).await.unwrap()
        );
        idempotency.complete(k, &other_attempt, "of another attempt", IDEMPOTENCY_TTL).await.unwrap();
        idempotency.abandon(k, &other_attempt, FAILURE_TTL).await.unwrap();
        assert_eq!(idempotency.begin(k, "the body", LEASE).await.unwrap(), BeginOutcome::InProgress);
        idempotency.complete(k, &first, "the answer", IDEMPOTENCY_TTL).await.unwrap();
        let answered = BeginOutcome::Completed("the answer".to_owned());
        assert_eq!(idempotency.begin(k, "the body", LEASE).await.unwrap(), answered);
        assert_eq!(idempotency.begin(k, "another", LEASE).await.unwrap(), BeginOutcome::Mismatch);
    }
}

#[tokio::test]
async fn request_after_expired_attempt_continues_it() {
    for backend in backends() {
        let stream = backend.active("room").await;
        let (idempotency, k) = (&backend.idempotency, &key("k"));
        let first = begun(idempotency.begin(k, "the body", Duration::from_millis(1)).await.unwrap());
        // The attempt holds the key until its lease expires.
        let second = eventually("the end of a lease", || async {
            match idempotency.begin(k, "the body", LEASE).await.unwrap() {
                BeginOutcome::Begun(attempt) => Some(attempt),
                _ => None,
            }
        })
        .await;
        let Some(PreviousAttempt { since, changed_stream: None }) = second.previous else {
            panic!("{second:?}")
        };
        assert_eq!(second.reserved_id, first.reserved_id);
        assert_ne!(second.holder, first.holder);
        idempotency.complete(k, &first, "too late", IDEMPOTENCY_TTL).await.unwrap();

        let metadata = || Metadata::parse(r#"{"n":1}"#).unwrap();
        let change = || Change::SetMetadata { expected: Metadata::default(), metadata: metadata() };
        let guard = || Guard { dedup_key: Some(DedupKey::Request("k".to_owned())), ..Guard::default() };
        let made = backend.store.apply(&stream, change(), guard()).await.unwrap();
        let again = backend.store.apply(&stream, change(), guard()).await.unwrap();
        assert_eq!((made.effect, again.effect), (Effect::Changed, Effect::Duplicate));
        idempotency.abandon(k, &second, FAILURE_TTL).await.unwrap();
        let third = begun(idempotency.begin(k, "the body", LEASE).await.unwrap());
        assert_eq!(third.previous, Some(PreviousAttempt { since, changed_stream: Some(stream.id) }));
    }
}

#[tokio::test]
async fn key_is_free_when_its_short_answer_expires() {
    let short = Duration::from_millis(1);
    for backend in backends() {
        let (stream, idempotency) = (backend.active("room").await, &backend.idempotency);
        let (refused, changed) = (&key("refused"), &key("changed"));
        let attempt = begun(idempotency.begin(refused, "the body", LEASE).await.unwrap());
        idempotency.complete(refused, &attempt, "a refusal", short).await.unwrap();
        let next = eventually("the end of the key", || async {
            match idempotency.begin(refused, "another body", LEASE).await.unwrap() {
                BeginOutcome::Begun(attempt) => Some(attempt),
                BeginOutcome::Completed(_) | BeginOutcome::Mismatch => None,
                other => panic!("{other:?}"),
            }
        })
        .await;
        assert_eq!(next.previous, None, "the key is new");

        // The key of a change is not free: a repetition must not be taken for another request.
        let attempt = begun(idempotency.begin(changed, "the body", LEASE).await.unwrap());
        let metadata = Metadata::parse(r#"{"n":1}"#).unwrap();
        let change = Change::SetMetadata { expected: Metadata::default(), metadata };
        let guard = Guard { dedup_key: Some(DedupKey::Request("changed".to_owned())), ..Guard::default() };
        backend.store.apply(&stream, change, guard).await.unwrap();
        idempotency.complete(changed, &attempt, "a refusal", short).await.unwrap();
        let before = backend.partitions[0].now().await.unwrap();
        eventually("another millisecond", || async {
            (backend.partitions[0].now().await.unwrap() > before.plus(short)).then_some(())
        })
        .await;
        let answered = BeginOutcome::Completed("a refusal".to_owned());
        assert_eq!(idempotency.begin(changed, "the body", LEASE).await.unwrap(), answered);
    }
}

#[tokio::test]
async fn caller_with_maximum_of_live_keys_gets_no_new_key() {
    for Backend { idempotency, .. } in backends() {
        let fill = stream::iter(1..MAX_LIVE_KEYS).map(|n| {
            let (idempotency, key) = (idempotency.clone(), key(&n.to_string()));
            async move { begun(idempotency.begin(&key, "the body", LEASE).await.unwrap()) }
        });
        assert_eq!(fill.buffer_unordered(64).count().await, MAX_LIVE_KEYS - 1);
        let (last, new) = (&key("last"), &key("new"));
        let attempt = begun(idempotency.begin(last, "the body", LEASE).await.unwrap());
        let BeginOutcome::TooManyKeys { retry_after } =
            idempotency.begin(new, "the body", LEASE).await.unwrap()
        else {
            panic!("more than the maximum")
        };
        assert!(retry_after > Duration::ZERO && retry_after <= IDEMPOTENCY_TTL, "{retry_after:?}");
        // Requests with live keys are not refused, and other callers have keys of their own.
        assert_eq!(idempotency.begin(last, "the body", LEASE).await.unwrap(), BeginOutcome::InProgress);
        let of_bob = RequestKey { caller: "bob".to_owned(), ..key("of bob") };
        begun(idempotency.begin(&of_bob, "the body", LEASE).await.unwrap());
        idempotency.abandon(last, &attempt, FAILURE_TTL).await.unwrap();
        let attempt = begun(idempotency.begin(last, "the body", LEASE).await.unwrap());
        idempotency.complete(last, &attempt, "a refusal", Duration::from_millis(1)).await.unwrap();
        eventually("a free key", || async {
            match idempotency.begin(new, "the body", LEASE).await.unwrap() {
                BeginOutcome::Begun(_) => Some(()),
                _ => None,
            }
        })
        .await;
    }
}

/// Time until the caller of this key may begin a request with a new one.
async fn wait_for_new_key(backend: &Backend, key: &RequestKey) -> Duration {
    let new = RequestKey { key: format!("{} new", key.key), ..key.clone() };
    match backend.idempotency.begin(&new, "the body", LEASE).await.unwrap() {
        BeginOutcome::TooManyKeys { retry_after } => retry_after,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn abandoned_key_is_free_soon_unless_a_stream_was_created_or_changed() {
    let only_key = |name: &str| RequestKey { caller: name.to_owned(), max_live: 1, ..key(name) };
    for backend in backends() {
        let idempotency = &backend.idempotency;
        let failed = &only_key("failed");
        for _ in 0..2 {
            let attempt = begun(idempotency.begin(failed, "the body", LEASE).await.unwrap());
            assert!(wait_for_new_key(&backend, failed).await > FAILURE_TTL, "during the attempt");
            idempotency.abandon(failed, &attempt, FAILURE_TTL).await.unwrap();
            assert!(wait_for_new_key(&backend, failed).await <= FAILURE_TTL);
        }

        let changed = &only_key("changed");
        let attempt = begun(idempotency.begin(changed, "the body", LEASE).await.unwrap());
        let stream = backend.active("room").await;
        let metadata = Metadata::parse(r#"{"n":1}"#).unwrap();
        let change = Change::SetMetadata { expected: Metadata::default(), metadata };
        let guard = Guard { dedup_key: Some(DedupKey::Request("changed".to_owned())), ..Guard::default() };
        backend.store.apply(&stream, change, guard).await.unwrap();
        idempotency.abandon(changed, &attempt, FAILURE_TTL).await.unwrap();
        assert!(wait_for_new_key(&backend, changed).await > FAILURE_TTL);

        let created = &only_key("created");
        let attempt = begun(idempotency.begin(created, "the body", LEASE).await.unwrap());
        let new = NewStream { id: attempt.reserved_id, ..new_stream("created") };
        backend.store.create(backend.placed(new)).await.unwrap();
        idempotency.abandon(created, &attempt, FAILURE_TTL).await.unwrap();
        assert!(wait_for_new_key(&backend, created).await > FAILURE_TTL);
    }
}

#[tokio::test]
async fn stream_id_is_created_once() {
    for backend in backends() {
        let new = new_stream("room");
        let CreateOutcome::Created(stream) = backend.store.create(backend.placed(new.clone())).await.unwrap()
        else {
            panic!("taken")
        };
        backend.change(&stream.reference(), Change::Activate { room_sid: "RM_1".into() }).await;
        backend.stop(&stream.reference()).await;
        let CreateOutcome::Existing(again) = backend.store.create(backend.placed(new)).await.unwrap() else {
            panic!("created twice")
        };
        assert_eq!(again.id, stream.id, "also after its end, when its room name is free");
    }
}
