//! Idempotency keys, in every store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use livestream_orchestrator::{
    domain::{Change, Metadata, change::Effect},
    store::{
        Attempt, BeginOutcome, CreateOutcome, DedupKey, Guard, IDEMPOTENCY_TTL, MAX_LIVE_KEYS,
        PreviousAttempt, RequestKey,
    },
};

use super::backend::{Backend, RETENTION, new_stream};
use crate::support::{eventually, unique};

const LEASE: Duration = Duration::from_secs(60);

fn backends() -> [Backend; 2] {
    [Backend::memory(RETENTION), Backend::redis(&unique("requests"), RETENTION)]
}

/// A key of the caller ann.
fn key(key: &str) -> RequestKey {
    RequestKey { key: key.to_owned(), caller: "ann".to_owned() }
}

fn begun(known: BeginOutcome) -> Attempt {
    match known {
        BeginOutcome::Begun(attempt) => attempt,
        other => panic!("not begun: {other:?}"),
    }
}

#[tokio::test]
async fn concurrent_requests_with_one_key_run_once() {
    for Backend { answers, .. } in backends() {
        let k = &key("k");
        let first = begun(answers.begin(k, "the body", LEASE).await.unwrap());
        assert_eq!(first.previous, None);
        assert_eq!(answers.begin(k, "the body", LEASE).await.unwrap(), BeginOutcome::InProgress);
        assert_eq!(answers.begin(k, "another", LEASE).await.unwrap(), BeginOutcome::Mismatch);
        let stranger = Attempt { holder: "another".to_owned(), ..first.clone() };
        assert!(
            answers.renew(k, &first, LEASE).await.unwrap()
                && !answers.renew(k, &stranger, LEASE).await.unwrap()
        );
        answers.complete(k, &stranger, "of another attempt", IDEMPOTENCY_TTL).await.unwrap();
        answers.abandon(k, &stranger).await.unwrap();
        assert_eq!(answers.begin(k, "the body", LEASE).await.unwrap(), BeginOutcome::InProgress);
        answers.complete(k, &first, "the answer", IDEMPOTENCY_TTL).await.unwrap();
        let answered = BeginOutcome::Completed("the answer".to_owned());
        assert_eq!(answers.begin(k, "the body", LEASE).await.unwrap(), answered);
        assert_eq!(answers.begin(k, "another", LEASE).await.unwrap(), BeginOutcome::Mismatch);
    }
}

#[tokio::test]
async fn request_after_expired_attempt_continues_it() {
    for backend in backends() {
        let stream = backend.active("room").await;
        let (answers, k) = (&backend.answers, &key("k"));
        let first = begun(answers.begin(k, "the body", Duration::from_millis(1)).await.unwrap());
        // The attempt holds the key until its lease expires.
        let second = eventually("the end of a lease", || async {
            match answers.begin(k, "the body", LEASE).await.unwrap() {
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
        answers.complete(k, &first, "too late", IDEMPOTENCY_TTL).await.unwrap();

        let metadata = || Metadata::parse(r#"{"n":1}"#).unwrap();
        let change = || Change::SetMetadata { expected: Metadata::default(), metadata: metadata() };
        let guard = || Guard { dedup_key: Some(DedupKey::Request("k".to_owned())), ..Guard::default() };
        let made = backend.store.apply(&stream, change(), guard()).await.unwrap();
        let again = backend.store.apply(&stream, change(), guard()).await.unwrap();
        assert_eq!((made.effect, again.effect), (Effect::Changed, Effect::Duplicate));
        answers.abandon(k, &second).await.unwrap();
        let third = begun(answers.begin(k, "the body", LEASE).await.unwrap());
        assert_eq!(third.previous, Some(PreviousAttempt { since, changed_stream: Some(stream.id) }));
    }
}

#[tokio::test]
async fn key_is_free_when_its_short_answer_expires() {
    let short = Duration::from_millis(1);
    for backend in backends() {
        let (stream, answers) = (backend.active("room").await, &backend.answers);
        let (refused, changed) = (&key("refused"), &key("changed"));
        let attempt = begun(answers.begin(refused, "the body", LEASE).await.unwrap());
        answers.complete(refused, &attempt, "a refusal", short).await.unwrap();
        let next = eventually("the end of the key", || async {
            match answers.begin(refused, "another body", LEASE).await.unwrap() {
                BeginOutcome::Begun(attempt) => Some(attempt),
                BeginOutcome::Completed(_) | BeginOutcome::Mismatch => None,
                other => panic!("{other:?}"),
            }
        })
        .await;
        assert_eq!(next.previous, None, "the key is new");

        // The key of a change is not free: a repetition must not be taken for another request.
        let attempt = begun(answers.begin(changed, "the body", LEASE).await.unwrap());
        let metadata = Metadata::parse(r#"{"n":1}"#).unwrap();
        let change = Change::SetMetadata { expected: Metadata::default(), metadata };
        let guard = Guard { dedup_key: Some(DedupKey::Request("changed".to_owned())), ..Guard::default() };
        backend.store.apply(&stream, change, guard).await.unwrap();
        answers.complete(changed, &attempt, "a refusal", short).await.unwrap();
        let before = backend.store.now().await.unwrap();
        eventually("another millisecond", || async {
            (backend.store.now().await.unwrap() > before.plus(short)).then_some(())
        })
        .await;
        let answered = BeginOutcome::Completed("a refusal".to_owned());
        assert_eq!(answers.begin(changed, "the body", LEASE).await.unwrap(), answered);
    }
}

#[tokio::test]
async fn caller_with_maximum_of_live_keys_gets_no_new_key() {
    for Backend { answers, .. } in backends() {
        let fill = stream::iter(1..MAX_LIVE_KEYS).map(|n| {
            let (answers, key) = (answers.clone(), key(&n.to_string()));
            async move { begun(answers.begin(&key, "the body", LEASE).await.unwrap()) }
        });
        assert_eq!(fill.buffer_unordered(64).count().await, MAX_LIVE_KEYS - 1);
        let (last, new) = (&key("last"), &key("new"));
        let attempt = begun(answers.begin(last, "the body", LEASE).await.unwrap());
        let BeginOutcome::TooManyKeys { retry_after } = answers.begin(new, "the body", LEASE).await.unwrap()
        else {
            panic!("more than the maximum")
        };
        assert!(retry_after > Duration::ZERO && retry_after <= IDEMPOTENCY_TTL, "{retry_after:?}");
        // Known keys are answered, and other callers have keys of their own.
        assert_eq!(answers.begin(last, "the body", LEASE).await.unwrap(), BeginOutcome::InProgress);
        let of_bob = RequestKey { caller: "bob".to_owned(), ..key("of bob") };
        begun(answers.begin(&of_bob, "the body", LEASE).await.unwrap());
        answers.abandon(last, &attempt).await.unwrap();
        let attempt = begun(answers.begin(last, "the body", LEASE).await.unwrap());
        answers.complete(last, &attempt, "a refusal", Duration::from_millis(1)).await.unwrap();
        eventually("a free key", || async {
            match answers.begin(new, "the body", LEASE).await.unwrap() {
                BeginOutcome::Begun(_) => Some(()),
                _ => None,
            }
        })
        .await;
    }
}

#[tokio::test]
async fn stream_id_is_created_once() {
    for backend in backends() {
        let new = new_stream("room");
        let CreateOutcome::Created(stream) = backend.store.create(new.clone()).await.unwrap() else {
            panic!("taken")
        };
        backend.change(&stream.reference(), Change::Activate { room_sid: "RM_1".into() }).await;
        backend.stop(&stream.reference()).await;
        let CreateOutcome::Existing(again) = backend.store.create(new).await.unwrap() else {
            panic!("created twice")
        };
        assert_eq!(again.id, stream.id, "also after its end, when its room name is free");
    }
}
