//! Idempotency keys and rate limits, in every store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{Change, Metadata, change::Effect},
    store::{Attempt, BeginOutcome, CreateOutcome, DedupKey, Guard, PreviousAttempt, RateLimit},
};

use super::backend::{Backend, RETENTION, new_stream};
use crate::support::{eventually, unique};

const LEASE: Duration = Duration::from_secs(60);

fn backends() -> [Backend; 2] {
    [Backend::memory(RETENTION), Backend::redis(&unique("requests"), RETENTION)]
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
        let first = begun(answers.begin("k", "the body", LEASE).await.unwrap());
        assert_eq!(first.previous, None);
        assert_eq!(answers.begin("k", "the body", LEASE).await.unwrap(), BeginOutcome::InProgress);
        assert_eq!(answers.begin("k", "another", LEASE).await.unwrap(), BeginOutcome::Mismatch);
        let stranger = Attempt { holder: "another".to_owned(), ..first.clone() };
        assert!(
            answers.renew("k", &first, LEASE).await.unwrap()
                && !answers.renew("k", &stranger, LEASE).await.unwrap()
        );
        answers.complete("k", &stranger, "of another attempt").await.unwrap();
        answers.abandon("k", &stranger).await.unwrap();
        assert_eq!(answers.begin("k", "the body", LEASE).await.unwrap(), BeginOutcome::InProgress);
        answers.complete("k", &first, "the answer").await.unwrap();
        let answered = BeginOutcome::Completed("the answer".to_owned());
        assert_eq!(answers.begin("k", "the body", LEASE).await.unwrap(), answered);
        assert_eq!(answers.begin("k", "another", LEASE).await.unwrap(), BeginOutcome::Mismatch);
    }
}

#[tokio::test]
async fn request_after_expired_attempt_continues_it() {
    for backend in backends() {
        let stream = backend.active("room").await;
        let answers = &backend.answers;
        let first = begun(answers.begin("k", "the body", Duration::from_millis(1)).await.unwrap());
        // The attempt holds the key until its lease expires.
        let second = eventually("the end of a lease", || async {
            match answers.begin("k", "the body", LEASE).await.unwrap() {
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
        answers.complete("k", &first, "too late").await.unwrap();

        let metadata = || Metadata::parse(r#"{"n":1}"#).unwrap();
        let change = || Change::SetMetadata { expected: Metadata::default(), metadata: metadata() };
        let guard = || Guard { dedup_key: Some(DedupKey::Request("k".to_owned())), ..Guard::default() };
        let made = backend.store.apply(&stream, change(), guard()).await.unwrap();
        let again = backend.store.apply(&stream, change(), guard()).await.unwrap();
        assert_eq!((made.effect, again.effect), (Effect::Changed, Effect::Duplicate));
        answers.abandon("k", &second).await.unwrap();
        let third = begun(answers.begin("k", "the body", LEASE).await.unwrap());
        assert_eq!(third.previous, Some(PreviousAttempt { since, changed_stream: Some(stream.id) }));
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

#[tokio::test]
async fn quota_is_exact_for_each_subject() {
    for Backend { quota, .. } in backends() {
        for count in [1, 3, 7, 1_000] {
            let limit = RateLimit { count, period: Duration::from_secs(100_000) };
            let subject = format!("read:{count}");
            for left in (0..count).rev() {
                let standing = quota.take(&subject, limit).await.unwrap();
                assert!(standing.allowed && standing.remaining == left, "{count}: {standing:?}");
            }
            let refused = quota.take(&subject, limit).await.unwrap();
            assert!(!refused.allowed && refused.remaining == 0, "{refused:?}");
            assert!(refused.retry_after > Duration::ZERO && refused.retry_after <= limit.period / count);
            assert!(refused.reset >= refused.retry_after && refused.reset <= limit.period);
            let other = format!("join:{count}");
            assert!(
                quota.take(&other, limit).await.unwrap().allowed,
                "another subject has a quota of its own"
            );
        }
    }
}
