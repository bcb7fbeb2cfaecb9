//! Removals from the history on Postgres and on SQLite: expired streams, and persons.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeSet, sync::Arc};

use livestream_orchestrator::{
    access::Caller,
    domain::{
        Change, Cursor, DisplayName, Event, Identity, IngressKind, IngressReport, IngressState, Partition,
        Partitioning, Session, StreamId, Timestamp, Topic, Visit,
    },
    history::{Batch, History, Log, open},
    telemetry::Metrics,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    backend::{Backend, RETENTION, identity, session},
    history_databases::{Database, on_both_databases, rows},
};

on_both_databases!(
    expired_stream_is_removed_with_its_rows,
    person_is_erased_from_every_stream,
    person_that_only_an_ingress_names_is_erased,
    interrupted_erasure_continues_with_the_same_replacement,
    person_is_erased_from_what_is_not_stored_at_the_request,
);

const FIRST: Partition = Partition::FIRST;

/// What is left of a person of any characters must not match the identity of another one.
const PERSON: &str = "ann_%!\"\\\u{1}";

/// Streams in each of which these identities have a visit, and their events.
async fn streams(rooms: &[(&str, &[&str])]) -> (Backend, Vec<StreamId>, Vec<Arc<Event>>) {
    let (backend, mut ids) = (Backend::memory(RETENTION), Vec::new());
    for (room, identities) in rooms {
        let stream = backend.active(room).await;
        for who in *identities {
            let sid = format!("PA_{room}_{}", who.len());
            let name = DisplayName::parse("Ann Smith").ok();
            let identity = Identity::reported(*who).unwrap();
            let joined = Session { identity: identity.clone(), name, ..session("x", &sid, 1_000) };
            backend.change(&stream, Change::Connect(joined)).await;
            let block = Change::Block {
                identity: identity.clone(),
                reason: None,
                expires_in: None,
                by: Some(identity),
            };
            backend.change(&stream, block).await;
            let (at, sid) = (Some(Timestamp::from_millis(9_000)), Some(sid.as_str().into()));
            let identity = Identity::reported(*who).unwrap();
            backend.change(&stream, Change::Disconnect { identity, sid, at, reason: None }).await;
        }
        backend.stop(&stream).await;
        ids.push(stream.id);
    }
    let events = backend.newest(Topic::All, 1_000).await;
    (backend, ids, events)
}

/// Stores everything that the logs of a store have.
async fn archive(database: &Database, backend: &Backend, events: &[Arc<Event>]) {
    database.store.archive(&Batch::of_events(FIRST, None, events).unwrap()).await.unwrap();
    let page = backend.followed[0].visits_after(None, 1_000).await.unwrap().unwrap();
    database.store.archive(&Batch::of_visits(FIRST, None, page.visits, page.end, None)).await.unwrap();
}

async fn visits(database: &Database, id: StreamId) -> Vec<Visit> {
    database.store.visits(id, None, rows(100)).await.unwrap().rows
}

async fn events(database: &Database, id: StreamId) -> Vec<String> {
    let events = database.store.events(id, Cursor::ORIGIN, rows(1_000)).await.unwrap().rows;
    events.into_iter().map(|event| event.json).collect()
}

async fn expired_stream_is_removed_with_its_rows(database: Database) {
    let (backend, ids, logged) = streams(&[("old", &["ann"]), ("new", &["ann"])]).await;
    archive(&database, &backend, &logged).await;
    let stopped_at = |id: StreamId| {
        let last = logged.iter().rev().find(|event| event.stream_id() == id);
        last.unwrap().draft.stream.stopped_at.unwrap()
    };
    let (old, new) = (stopped_at(ids[0]), stopped_at(ids[1]));
    assert!(!database.store.prune(old).await.unwrap(), "a stream that ended at this time stays");
    let after = Timestamp::from_millis(old.as_millis() + 1).min(new);
    // Both may have ended in one millisecond.
    let expired = if after > old { &ids[..1] } else { &ids[..0] };
    while database.store.prune(after).await.unwrap() {}
    for id in &ids {
        let is_expired = expired.contains(id);
        assert_eq!(database.store.stream(*id).await.unwrap().is_none(), is_expired);
        assert_eq!(events(&database, *id).await.is_empty(), is_expired);
        assert_eq!(visits(&database, *id).await.is_empty(), is_expired);
    }
    let position = database.store.position(FIRST, Log::Events).await.unwrap();
    assert_eq!(position, logged.last().map(|event| event.cursor));
    while database.store.prune(Timestamp::from_millis(i64::MAX)).await.unwrap() {}
    assert_eq!(database.store.stream(ids[1]).await.unwrap(), None);
}

fn is_placeholder(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("erased-"))
}

async fn person_is_erased_from_every_stream(database: Database) {
    let (backend, ids, logged) =
        streams(&[("one", &[PERSON, "bob"]), ("two", &[PERSON]), ("three", &["bob"])]).await;
    archive(&database, &backend, &logged).await;
    let untouched = (events(&database, ids[2]).await, visits(&database, ids[2]).await);
    let person = Identity::reported(PERSON).unwrap();
    while database.store.erase(&person).await.unwrap() {}
    assert!(!database.store.erase(&person).await.unwrap());
    let mut placeholders = BTreeSet::new();
    for id in &ids[..2] {
        let before = logged.iter().filter(|event| event.stream_id() == *id);
        for (json, event) in events(&database, *id).await.iter().zip(before) {
            let (mut found, mut expected): (Value, Value) =
                (serde_json::from_str(json).unwrap(), serde_json::to_value(&**event).unwrap());
            assert!(!json.contains("ann_"), "{json}");
            for field in ["by", "identity"] {
                if expected["data"][field] == PERSON {
                    assert!(is_placeholder(&found["data"][field]), "{found}");
                    found["data"][field] = PERSON.into();
                }
            }
            if expected["data"]["participant"]["identity"] == PERSON {
                let participant = &mut found["data"]["participant"];
                assert!(
                    is_placeholder(&participant["identity"]) && participant["id"] == participant["identity"]
                );
                placeholders.insert(participant["identity"].to_string());
                assert_eq!(participant["name"], json!(null));
                for field in ["id", "identity", "name"] {
                    participant[field] = expected["data"]["participant"][field].take();
                    expected["data"]["participant"][field] = participant[field].clone();
                }
            }
            assert_eq!(found, expected);
        }
        let visits = visits(&database, *id).await;
        let erased = visits.iter().find(|visit| visit.identity.as_str().starts_with("erased-")).unwrap();
        assert_eq!(erased.name, None);
        assert!(visits.iter().all(|visit| visit.identity != person));
        placeholders.insert(format!("\"{}\"", erased.identity));
    }
    assert_eq!(placeholders.len(), 2, "one for each stream: {placeholders:?}");
    let others = visits(&database, ids[0]).await;
    assert!(others.iter().any(|visit| visit.identity == identity("bob") && visit.name.is_some()));
    assert_eq!((events(&database, ids[2]).await, visits(&database, ids[2]).await), untouched);
}

async fn person_that_only_an_ingress_names_is_erased(database: Database) {
    let backend = Backend::memory(RETENTION);
    let stream = backend.active("studio").await;
    let report = IngressReport {
        id: "IN_1".into(),
        mark: None,
        kind: IngressKind::Rtmp,
        identity: Identity::reported(PERSON).unwrap(),
        name: DisplayName::parse("Ann Smith").ok(),
        url: None,
        state: IngressState::default(),
    };
    backend
        .change(&stream, Change::ReportIngress { report, before: Some(Timestamp::from_millis(i64::MAX)) })
        .await;
    let logged = backend.newest(Topic::All, 1_000).await;
    database.store.archive(&Batch::of_events(FIRST, None, &logged).unwrap()).await.unwrap();
    let person = Identity::reported(PERSON).unwrap();
    assert!(events(&database, stream.id).await.iter().any(|json| json.contains("Ann Smith")));
    assert!(database.store.erase(&person).await.unwrap());
    let left = events(&database, stream.id).await;
    let named = |json: &String| json.contains("ann_") || json.contains("Ann Smith");
    assert!(!left.iter().any(named), "{left:?}");
    assert!(left.iter().any(|json| json.contains("IN_1") && json.contains("erased-")), "{left:?}");
}

async fn interrupted_erasure_continues_with_the_same_replacement(database: Database) {
    let (backend, ids, logged) = streams(&[("room", &["ann"])]).await;
    archive(&database, &backend, &logged).await;
    let person = identity("ann");
    // The caller leaves before the end, at several points.
    for polls in 1..40 {
        let mut erasure = Box::pin(database.store.erase(&person));
        for _ in 0..polls {
            if futures_util::poll!(&mut erasure).is_ready() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
    while database.store.erase(&person).await.unwrap() {}
    let mut placeholders: BTreeSet<_> = events(&database, ids[0])
        .await
        .iter()
        .filter_map(|json| {
            serde_json::from_str::<Value>(json).unwrap()["data"]["participant"]["identity"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    placeholders.extend(visits(&database, ids[0]).await.into_iter().map(|visit| visit.identity.to_string()));
    assert_eq!(placeholders.len(), 1, "{placeholders:?}");
}

async fn person_is_erased_from_what_is_not_stored_at_the_request(database: Database) {
    crate::support::install_crypto_provider();
    let (backend, ids, logged) = streams(&[("room", &["ann"])]).await;
    let history = History::new(open(&database.address), None, Arc::new(Metrics::new().unwrap()));
    let stop = CancellationToken::new();
    assert!(history.prepare(&stop).await.unwrap());
    let person = identity("ann");
    let run = history.run(Partitioning::SINGLE, backend.followed.clone(), stop.clone());
    let erase = async {
        history.erase(&Caller::unrestricted(), &person).await.unwrap();
        let position = database.store.position(FIRST, Log::Events).await.unwrap();
        assert_eq!(position, logged.last().map(|event| event.cursor));
        let stored = (events(&database, ids[0]).await, visits(&database, ids[0]).await);
        assert_eq!((stored.0.len(), stored.1.len()), (logged.len(), 1));
        assert!(stored.0.iter().all(|json| !json.contains("\"ann\"")), "{stored:?}");
        assert_ne!(stored.1[0].identity, person);
        stop.cancel();
    };
    tokio::join!(run, erase);
}
