//! The log of ended visits on every store, and its way into the history.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use livestream_orchestrator::{
    domain::{
        Attributes, AudienceMode, Change, DisplayName, Identity, ParticipantKind, ParticipantMetadata,
        Partition, Partitioning, Removal, Role, Session, StreamRef, Timestamp, Visit, stream::NewStream,
    },
    history::{HistoryStore, Log, open},
    store::{CreateOutcome, LogBounds, ResetReason, Retention},
};

use super::{
    archiver::{Running, address},
    backend::{
        Backend, RETENTION, identity, left, new_stream, on_every_backend, session, token,
        with_and_without_partitions,
    },
    history_databases::rows,
};
use crate::support::{
    eventually,
    servers::{Postgres, Redis, shared_postgres_database},
    unique,
};

/// Counts are told with other events only.
const SILENT: Retention = Retention { count_interval: Duration::from_secs(3_600), ..RETENTION };

async fn counted(backend: &Backend, room: &str) -> StreamRef {
    let new = NewStream { audience: AudienceMode::Counted.begin(0), ..new_stream(room) };
    let CreateOutcome::Created(stream) = backend.store.create(backend.placed(new)).await.unwrap() else {
        panic!("taken")
    };
    let stream = stream.reference();
    backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
    stream
}

fn viewer(who: &str, sid: &str, joined_at: i64) -> Session {
    Session { role: Some(Role::Viewer), ..session(who, sid, joined_at) }
}

/// All visits in the logs of a store, in the order of each partition's log.
async fn logged(backend: &Backend) -> Vec<Visit> {
    let pages = join_all(backend.followed.iter().map(|partition| partition.visits_after(None, 10_000)));
    pages.await.into_iter().filter_map(Result::unwrap).flat_map(|page| page.visits).collect()
}

fn sids(visits: &[Visit]) -> Vec<&str> {
    visits.iter().map(|visit| visit.sid.as_str()).collect()
}

on_every_backend!(every_end_of_a_listed_session_is_one_visit);

async fn every_end_of_a_listed_session_is_one_visit(backend: Backend) {
    let stream = backend.active("room").await;
    let connect = async |session| backend.change(&stream, Change::Connect(session)).await;
    connect(viewer("left", "PA_1", 1_000)).await;
    let (identity_of_left, at) = (identity("left"), Some(Timestamp::from_millis(5_000)));
    let sid = Some("PA_1".into());
    backend.change(&stream, Change::Disconnect { identity: identity_of_left, sid, at, reason: None }).await;
    connect(session("replaced", "PA_2", 1_000)).await;
    connect(session("replaced", "PA_3", 2_000)).await;
    connect(session("removed", "PA_4", 1_000)).await;
    let removal = Removal { identity: identity("removed"), sid: Some("PA_4".into()), by: None };
    backend.change(&stream, Change::Remove(removal)).await;
    connect(Session { kind: ParticipantKind::Agent, ..session("agent", "PA_5", 1_000) }).await;
    connect(Session { kind: ParticipantKind::Egress, ..session("recorder", "PA_6", 1_000) }).await;
    connect(Session { hidden: true, ..session("hidden", "PA_7", 1_000) }).await;
    backend.change(&stream, token("joining", Duration::from_secs(60))).await;
    assert_eq!(sids(&logged(&backend).await), ["PA_1", "PA_2", "PA_4"]);
    backend.stop(&stream).await;
    let visits = logged(&backend).await;
    assert_eq!(sids(&visits), ["PA_1", "PA_2", "PA_4", "PA_5", "PA_3"]);
    let first = &visits[0];
    assert_eq!((first.stream_id, first.identity.as_str(), first.role), (stream.id, "left", Role::Viewer));
    assert_eq!((first.joined_at.as_millis(), first.left_at.as_millis()), (1_000, 5_000));
    assert_eq!((visits[3].kind, visits[4].kind), (ParticipantKind::Agent, ParticipantKind::Standard));
}

#[tokio::test]
async fn visits_of_counted_viewers_without_events_are_logged() {
    for backend in with_and_without_partitions("visits", SILENT) {
        let stream = counted(&backend, "room").await;
        let names: Vec<_> = (0..20).map(|n| format!("viewer-{n}")).collect();
        for name in &names {
            backend.change(&stream, Change::Connect(viewer(name, &format!("PA_{name}"), 1_000))).await;
        }
        let events = backend.log(stream.id).await.len();
        join_all(
            names[..15].iter().map(|name| backend.change(&stream, left(name, Some(&format!("PA_{name}"))))),
        )
        .await;
        assert_eq!(logged(&backend).await.len(), 15);
        assert!(backend.log(stream.id).await.len() <= events + 1, "departures of viewers are no events");
        backend.stop(&stream).await;
        let visits = logged(&backend).await;
        let visitors: BTreeSet<_> = visits.iter().map(|visit| visit.identity.to_string()).collect();
        assert_eq!((visits.len(), visitors), (20, names.into_iter().collect()));
    }
}

#[tokio::test]
async fn texts_of_a_counted_viewer_that_look_like_json_are_kept() {
    const TEXT: &str = r#"a"b\c","sid":"x","metadata":"{}"#;
    for backend in with_and_without_partitions("texts", SILENT) {
        let stream = counted(&backend, "room").await;
        for (number, has_token) in [(1, true), (2, false)] {
            let (who, sid) = (Identity::reported(format!("{number}{TEXT}")).unwrap(), format!("PA_{number}"));
            if has_token {
                let (identity, role) = (who.clone(), Some(Role::Viewer));
                let (name, metadata, attributes, joining_ttl) = (None, None, None, Duration::from_secs(60));
                let issue = Change::IssueToken { identity, name, role, metadata, attributes, joining_ttl };
                backend.change(&stream, issue).await;
            }
            let session = Session {
                identity: who.clone(),
                name: DisplayName::reported(TEXT),
                metadata: Some(ParticipantMetadata::reported(TEXT)),
                attributes: Attributes::reported([(TEXT.to_owned(), TEXT.to_owned())]),
                ..viewer("viewer", &sid, 1_000)
            };
            backend.change(&stream, Change::Connect(session.clone())).await;
            let (sid, at) = (Some(session.sid.clone()), Some(Timestamp::from_millis(5_000)));
            let identity = who.clone();
            backend.change(&stream, Change::Disconnect { identity, sid, at, reason: None }).await;
            let recorded = backend.store.participant(stream.id, who.as_str()).await.unwrap().unwrap();
            assert_eq!((&recorded.name, &recorded.attributes), (&session.name, &session.attributes));
            assert_eq!((Some(recorded.metadata), recorded.sid), (session.metadata, Some(session.sid)));
            assert_eq!(recorded.role_recorded, has_token);
            let visit = logged(&backend).await.pop().unwrap();
            assert_eq!((visit.identity, visit.name, visit.role), (who, session.name, Role::Viewer));
            assert_eq!((visit.joined_at.as_millis(), visit.left_at.as_millis()), (1_000, 5_000));
        }
    }
}

#[tokio::test]
async fn nothing_is_logged_without_a_history() {
    for backend in with_and_without_partitions("visits", Retention { keeps_visits: false, ..RETENTION }) {
        let stream = backend.active("room").await;
        backend.change(&stream, Change::Connect(session("ann", "PA_1", 1_000))).await;
        backend.stop(&stream).await;
        assert_eq!(logged(&backend).await, []);
    }
}

#[tokio::test]
async fn log_continues_after_what_was_removed_and_reports_what_was_trimmed() {
    let bounds = LogBounds { max_events: 2, max_bytes: 6_400, ..LogBounds::DEFAULT };
    for backend in
        with_and_without_partitions("visits", Retention { log: bounds, ..RETENTION }).into_iter().take(2)
    {
        let stream = backend.active("room").await;
        let end = async |n: usize| {
            let (name, sid) = (format!("viewer-{n}"), format!("PA_{n}"));
            backend.change(&stream, Change::Connect(session(&name, &sid, 1_000))).await;
            backend.change(&stream, left(&name, Some(&sid))).await;
        };
        let log = &backend.followed[0];
        assert_eq!(log.visits_after(None, 10).await.unwrap(), None);
        for n in 0..3 {
            end(n).await;
        }
        let page = log.visits_after(None, 2).await.unwrap().unwrap();
        assert_eq!((sids(&page.visits), page.lost), (vec!["PA_0", "PA_1"], None));
        log.remove_visits_before(page.end).await.unwrap();
        let rest = log.visits_after(Some(page.end), 10).await.unwrap().unwrap();
        assert_eq!((sids(&rest.visits), rest.lost), (vec!["PA_2"], None));
        log.remove_visits_before(rest.end).await.unwrap();
        assert_eq!(log.visits_after(Some(rest.end), 10).await.unwrap(), None);
        for n in 3..60 {
            end(n).await;
        }
        let kept = log.visits_after(Some(rest.end), 100).await.unwrap().unwrap();
        let (before, reason) = kept.lost.expect("visits were trimmed");
        assert_eq!(reason, ResetReason::Expired);
        assert!(before > rest.end && before < kept.end && (15..25).contains(&kept.visits.len()), "{kept:?}");
        assert_eq!(kept.visits.last().unwrap().sid.as_str(), "PA_59");
    }
}

async fn stored(store: &dyn HistoryStore, stream: &StreamRef) -> Vec<String> {
    let visits = store.visits(stream.id, None, rows(10_000)).await.map(|page| page.rows);
    visits.unwrap_or_default().into_iter().map(|visit| visit.sid.to_string()).collect()
}

/// Instances take turns, and Postgres is killed meanwhile: each visit is stored once, and the logs do not keep what is
/// stored.
#[tokio::test]
async fn every_visit_is_stored_once_after_kills_of_the_database() {
    for backend in with_and_without_partitions("visits", SILENT) {
        let mut postgres = Postgres::start();
        let address = address(postgres.create_database().await);
        let store = open(&address);
        let streams = join_all(["one", "two", "three"].map(|room| counted(&backend, room))).await;
        let visit = async |stream: &StreamRef, n: usize| {
            let (name, sid) = (format!("viewer-{n}"), format!("PA_{n:04}"));
            backend.change(stream, Change::Connect(viewer(&name, &sid, 1_000))).await;
            backend.change(stream, left(&name, Some(&sid))).await;
        };
        let mut first = Running::start(&backend, &address);
        for round in 0..4 {
            let numbers =
                || (round * 50..(round + 1) * 50).flat_map(|n| streams.iter().map(move |stream| (stream, n)));
            join_all(numbers().map(|(stream, n)| visit(stream, n))).await;
            if round % 2 == 0 {
                postgres.kill();
                postgres.restart();
            } else {
                first.stop().await;
                first = Running::start(&backend, &address);
            }
        }
        let expected: Vec<_> = (0..200).map(|n| format!("PA_{n:04}")).collect();
        for stream in &streams {
            eventually("the visits", || async { (stored(&*store, stream).await == expected).then_some(()) })
                .await;
        }
        eventually("removal of what is stored", || async {
            (logged(&backend).await.len() <= backend.followed.len()).then_some(())
        })
        .await;
        let partitions = Partitioning::new(u16::try_from(backend.followed.len()).unwrap()).unwrap();
        for partition in partitions.all() {
            assert_eq!(store.gaps(partition, Log::Visits).await.unwrap(), []);
        }
        first.stop().await;
    }
}

#[tokio::test]
async fn redis_without_its_data_is_a_gap_in_the_visits() {
    let mut redis = Redis::start();
    let backend = Backend::redis_at(&redis.url(), &unique("visits"), RETENTION);
    let address = address(shared_postgres_database().await);
    let (store, running) = (open(&address), Running::start(&backend, &address));
    let end_one = async |room: &str, sid: &str| {
        let stream = eventually("a stream", || async {
            match backend.store.create(backend.placed(new_stream(room))).await.ok()? {
                CreateOutcome::Created(stream) => Some(stream.reference()),
                other => panic!("{other:?}"),
            }
        })
        .await;
        backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
        backend.change(&stream, Change::Connect(session("ann", sid, 1_000))).await;
        backend.change(&stream, left("ann", Some(sid))).await;
        eventually("the visit", || async { (stored(&*store, &stream).await == [sid]).then_some(()) }).await;
    };
    end_one("old", "PA_1").await;
    redis.kill();
    redis.restart();
    end_one("new", "PA_2").await;
    let gaps = store.gaps(Partition::FIRST, Log::Visits).await.unwrap();
    assert_eq!(gaps.iter().map(|gap| gap.reason).collect::<Vec<_>>(), [ResetReason::Unknown]);
    running.stop().await;
}
