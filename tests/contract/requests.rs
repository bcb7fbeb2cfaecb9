//! Requests that may be sent again, and quotas: the same on every backend.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{Change, Metadata, change::Effect},
    store::{Attempt, Created, Earlier, Guard, Known, Limit, Once},
};

use super::store::{Backend, RETENTION, new_stream};
use crate::support::{eventually, unique};

const LEASE: Duration = Duration::from_secs(60);

fn backends() -> [Backend; 2] {
    [Backend::memory(RETENTION), Backend::redis(&unique("requests"), RETENTION)]
}

fn begun(known: Known) -> Attempt {
    match known {
        Known::Begun(attempt) => attempt,
        other => panic!("not begun: {other:?}"),
    }
}

#[tokio::test]
async fn one_carries_a_request_out_and_its_answer_is_everybodys() {
    for Backend { answers, .. } in backends() {
        let first = begun(answers.begin("k", "the body", LEASE).await.unwrap());
        assert_eq!(first.earlier, None);
        assert_eq!(answers.begin("k", "the body", LEASE).await.unwrap(), Known::UnderWay);
        assert_eq!(answers.begin("k", "another", LEASE).await.unwrap(), Known::Other);
        let stranger = Attempt { holder: "somebody".to_owned(), ..first.clone() };
        assert!(
            answers.hold("k", &first, LEASE).await.unwrap()
                && !answers.hold("k", &stranger, LEASE).await.unwrap()
        );
        answers.answer("k", &stranger, "not mine to say").await.unwrap();
        answers.give_up("k", &stranger).await.unwrap();
        assert_eq!(answers.begin("k", "the body", LEASE).await.unwrap(), Known::UnderWay);
        answers.answer("k", &first, "the answer").await.unwrap();
        let answered = Known::Answered("the answer".to_owned());
        assert_eq!(answers.begin("k", "the body", LEASE).await.unwrap(), answered);
        assert_eq!(answers.begin("k", "another", LEASE).await.unwrap(), Known::Other);
    }
}

#[tokio::test]
async fn whoever_comes_after_a_death_has_what_the_first_had() {
    for backend in backends() {
        let stream = backend.active("room").await;
        let answers = &backend.answers;
        let first = begun(answers.begin("k", "the body", Duration::from_millis(1)).await.unwrap());
        // Nobody holds it any more.
        let second = eventually("the end of a lease", || async {
            match answers.begin("k", "the body", LEASE).await.unwrap() {
                Known::Begun(attempt) => Some(attempt),
                _ => None,
            }
        })
        .await;
        let Some(Earlier { since, done: None }) = second.earlier else { panic!("{second:?}") };
        assert_eq!(second.seed, first.seed);
        assert_ne!(second.holder, first.holder);
        answers.answer("k", &first, "too late").await.unwrap();

        let metadata = || Metadata::parse(r#"{"n":1}"#).unwrap();
        let change = || Change::SetMetadata { expected: Metadata::default(), metadata: metadata() };
        let guard = || Guard { once: Some(Once::Request("k".to_owned())), ..Guard::default() };
        let made = backend.store.apply(&stream, change(), guard()).await.unwrap();
        let again = backend.store.apply(&stream, change(), guard()).await.unwrap();
        assert_eq!((made.effect, again.effect), (Effect::Changed, Effect::Duplicate));
        answers.give_up("k", &second).await.unwrap();
        let third = begun(answers.begin("k", "the body", LEASE).await.unwrap());
        assert_eq!(third.earlier, Some(Earlier { since, done: Some(stream.id) }));
    }
}

#[tokio::test]
async fn a_stream_is_created_once_under_its_id() {
    for backend in backends() {
        let new = new_stream("room");
        let Created::New(stream) = backend.store.create(new.clone()).await.unwrap() else { panic!("taken") };
        backend.change(&stream.reference(), Change::Activate { room_sid: "RM_1".into() }).await;
        backend.stop(&stream.reference()).await;
        let Created::Existing(again) = backend.store.create(new).await.unwrap() else {
            panic!("created twice")
        };
        assert_eq!(again.id, stream.id, "also when it is over and its room name is free");
    }
}

#[tokio::test]
async fn a_quota_is_exact_and_each_subjects_own() {
    for Backend { quota, .. } in backends() {
        for count in [1, 3, 7, 1_000] {
            let limit = Limit { count, period: Duration::from_secs(100_000) };
            let subject = format!("read:{count}");
            for left in (0..count).rev() {
                let standing = quota.take(&subject, limit).await.unwrap();
                assert!(standing.granted && standing.remaining == left, "{count}: {standing:?}");
            }
            let refused = quota.take(&subject, limit).await.unwrap();
            assert!(!refused.granted && refused.remaining == 0, "{refused:?}");
            assert!(refused.retry_after > Duration::ZERO && refused.retry_after <= limit.period / count);
            assert!(refused.reset >= refused.retry_after && refused.reset <= limit.period);
            let other = format!("join:{count}");
            assert!(quota.take(&other, limit).await.unwrap().granted, "somebody else's is their own");
        }
    }
}
