//! The history on Postgres and on SQLite: what is stored, exactly once, and by whom.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use livestream_orchestrator::{
    domain::{
        Change, Cursor, DisplayName, Event, Identity, Metadata, ParticipantKind, Partition, Role, Session,
        StreamId, StreamStatus, Timestamp, Topic, Visit,
    },
    history::{ArchiveOutcome, Batch, DatabaseAddress, Gap, HistoryError, Log, Rows, open},
    store::ResetReason,
};

use super::{
    backend::{Backend, RETENTION, left, session},
    history_databases::{Database, on_both_databases, rows},
};

on_both_databases!(
    events_are_stored_as_clients_received_them,
    batch_that_does_not_follow_the_position_changes_nothing,
    batches_at_the_same_time_are_stored_once,
    repeated_and_older_events_change_nothing,
    stream_has_the_newest_state_the_greatest_peak_and_the_known_metadata,
    gap_moves_the_position_and_is_kept,
    identity_of_any_characters_is_stored,
    visit_is_stored_once_with_its_last_end,
    visits_have_a_position_and_gaps_of_their_own,
    migrations_run_again_change_nothing,
);

const FIRST: Partition = Partition::FIRST;

fn set_metadata(text: &str) -> Change {
    Change::SetMetadata { expected: Metadata::default(), metadata: Metadata::parse(text).unwrap() }
}

/// The events of a stream in which `identities` have joined and left, and which was stopped.
async fn log_of(room: &str, identities: &[&str]) -> (StreamId, Vec<Arc<Event>>) {
    let backend = Backend::memory(RETENTION);
    let stream = backend.active(room).await;
    for (index, identity) in identities.iter().enumerate() {
        let joined = session("x", &format!("PA_{index}"), 1);
        let identity = Identity::reported(*identity).unwrap();
        backend.change(&stream, Change::Connect(Session { identity, ..joined })).await;
    }
    backend.change(&stream, set_metadata(r#"{"title":"a\u0000b"}"#)).await;
    backend.stop(&stream).await;
    (stream.id, backend.newest(Topic::All, 1_000).await)
}

async fn archive(database: &Database, from: Option<Cursor>, events: &[Arc<Event>]) -> ArchiveOutcome {
    database.store.archive(&Batch::of_events(FIRST, from, events).unwrap()).await.unwrap()
}

fn jsons(events: &[Arc<Event>]) -> Vec<String> {
    events.iter().map(|event| serde_json::to_string(&**event).unwrap()).collect()
}

async fn stored_jsons(database: &Database, id: StreamId) -> Vec<String> {
    let stored = database.store.events(id, Cursor::ORIGIN, rows(1_000)).await.unwrap().rows;
    stored.into_iter().map(|event| event.json).collect()
}

async fn events_are_stored_as_clients_received_them(database: Database) {
    let (id, events) = log_of("room", &["ann", "bob"]).await;
    assert_eq!(database.store.position(FIRST, Log::Events).await.unwrap(), None);
    assert_eq!(database.store.stream(id).await.unwrap(), None);
    let (early, late) = events.split_at(3);
    assert_eq!(archive(&database, None, early).await, ArchiveOutcome::Stored);
    let position = database.store.position(FIRST, Log::Events).await.unwrap();
    assert_eq!(position, early.last().map(|event| event.cursor));
    assert_eq!(archive(&database, position, late).await, ArchiveOutcome::Stored);
    assert_eq!(stored_jsons(&database, id).await, jsons(&events));
    let page = database.store.events(id, events[1].cursor, rows(2)).await.unwrap().rows;
    assert_eq!(
        page.iter().map(|event| event.cursor).collect::<Vec<_>>(),
        [events[2].cursor, events[3].cursor]
    );
    assert_eq!(page[1].counts, events[3].draft.stream.counts);
    assert_eq!(
        database.store.events(StreamId::generate(), Cursor::ORIGIN, rows(9)).await.unwrap(),
        Rows::empty()
    );
}

async fn batch_that_does_not_follow_the_position_changes_nothing(database: Database) {
    let (id, events) = log_of("room", &["ann"]).await;
    let (first, rest) = events.split_at(2);
    assert_eq!(archive(&database, Some(first[0].cursor), rest).await, ArchiveOutcome::Superseded);
    assert_eq!(archive(&database, None, first).await, ArchiveOutcome::Stored);
    for stale in [None, Some(first[0].cursor), Some(Cursor::ORIGIN)] {
        assert_eq!(archive(&database, stale, rest).await, ArchiveOutcome::Superseded);
    }
    assert_eq!(stored_jsons(&database, id).await, jsons(first));
    assert_eq!(database.store.stream(id).await.unwrap().unwrap().newest, first[1].cursor);
    assert_eq!(database.store.position(FIRST, Log::Events).await.unwrap(), Some(first[1].cursor));
}

/// Each of several archivers that follow one position stores its batch or learns that another one was first.
async fn batches_at_the_same_time_are_stored_once(database: Database) {
    let (id, events) = log_of("room", &["ann", "bob"]).await;
    for round in 0..events.len() {
        let from = round.checked_sub(1).map(|index| events[index].cursor);
        let batch = Batch::of_events(FIRST, from, &events[round..=round]).unwrap();
        let attempts = (0..4).map(|_| database.store.archive(&batch));
        let outcomes = futures_util::future::try_join_all(attempts).await.unwrap();
        let stored = outcomes.iter().filter(|outcome| **outcome == ArchiveOutcome::Stored).count();
        assert_eq!(stored, 1, "{outcomes:?}");
    }
    assert_eq!(stored_jsons(&database, id).await, jsons(&events));
}

async fn repeated_and_older_events_change_nothing(database: Database) {
    let (id, events) = log_of("room", &["ann"]).await;
    let end = events.last().map(|event| event.cursor);
    archive(&database, None, &events).await;
    let before = database.store.stream(id).await.unwrap();
    // The log was read again from an earlier position.
    let gap = Gap { after: end.unwrap(), until: end.unwrap(), reason: ResetReason::Unknown };
    let back = Batch::of_gap(FIRST, end, gap, Cursor::ORIGIN);
    assert_eq!(database.store.archive(&back).await.unwrap(), ArchiveOutcome::Stored);
    assert_eq!(archive(&database, Some(Cursor::ORIGIN), &events[..3]).await, ArchiveOutcome::Stored);
    assert_eq!(stored_jsons(&database, id).await, jsons(&events));
    assert_eq!(database.store.stream(id).await.unwrap(), before);
}

async fn stream_has_the_newest_state_the_greatest_peak_and_the_known_metadata(database: Database) {
    let backend = Backend::memory(RETENTION);
    let stream = backend.active("room").await;
    let title = format!(r#"{{"title":"{}"}}"#, "x".repeat(2_000));
    backend.change(&stream, set_metadata(&title)).await;
    for sid in ["PA_1", "PA_2"] {
        let viewer = Session { role: Some(Role::Viewer), ..session(sid, sid, 1) };
        backend.change(&stream, Change::Connect(viewer)).await;
    }
    backend.change(&stream, left("PA_1", Some("PA_1"))).await;
    let events = backend.newest(Topic::All, 100).await;
    let (early, late) = events.split_at(events.len() - 1);
    archive(&database, None, early).await;
    archive(&database, early.last().map(|event| event.cursor), late).await;
    let record = database.store.stream(stream.id).await.unwrap().unwrap();
    let newest = &events.last().unwrap().draft.stream;
    assert_eq!((record.status, record.audience), (StreamStatus::Active, newest.audience));
    assert_eq!((record.peak_viewers, newest.counts.viewers), (2, 1));
    assert_eq!(record.metadata, Some(Metadata::parse(&title).unwrap()));
    assert_eq!((record.created_at, record.started_at), (newest.created_at, newest.started_at));
    assert_eq!((record.stopped_at, record.stop_reason), (None, None));
    backend.stop(&stream).await;
    let more = backend.pages(Topic::All, late[0].cursor, 100).await.0;
    archive(&database, Some(late[0].cursor), &more).await;
    let record = database.store.stream(stream.id).await.unwrap().unwrap();
    assert_eq!((record.status, record.stop_reason.as_deref()), (StreamStatus::Stopped, Some("requested")));
    assert_eq!(record.stopped_at, more.last().unwrap().draft.stream.stopped_at);
    assert_eq!((record.room_name.as_str(), record.peak_viewers), ("room", 2));
}

async fn gap_moves_the_position_and_is_kept(database: Database) {
    let (_, events) = log_of("room", &[]).await;
    archive(&database, None, &events[..1]).await;
    let gap = Gap { after: events[0].cursor, until: events[1].cursor, reason: ResetReason::Expired };
    let batch = Batch::of_gap(FIRST, Some(gap.after), gap, events[1].cursor);
    assert_eq!(database.store.archive(&batch).await.unwrap(), ArchiveOutcome::Stored);
    assert_eq!(database.store.archive(&batch).await.unwrap(), ArchiveOutcome::Superseded);
    assert_eq!(database.store.gaps(FIRST, Log::Events).await.unwrap(), [gap]);
    assert_eq!(database.store.position(FIRST, Log::Events).await.unwrap(), Some(events[1].cursor));
}

async fn identity_of_any_characters_is_stored(database: Database) {
    let names = ["\0", "'; DROP TABLE events; --", "\u{202e}\u{10ffff}", "a\tb"];
    let (id, events) = log_of("room '; \u{1f3a5}", &names).await;
    assert_eq!(archive(&database, None, &events).await, ArchiveOutcome::Stored);
    assert_eq!(stored_jsons(&database, id).await, jsons(&events));
    let record = database.store.stream(id).await.unwrap().unwrap();
    assert_eq!(record.metadata, events.last().unwrap().draft.stream.metadata);
}

fn visit(stream_id: StreamId, who: &str, sid: &str, (joined, left): (i64, i64)) -> Visit {
    Visit {
        stream_id,
        identity: Identity::reported(who).unwrap(),
        sid: sid.into(),
        name: DisplayName::reported(format!("{who}\0")),
        role: Role::Viewer,
        kind: ParticipantKind::Sip,
        joined_at: Timestamp::from_millis(joined),
        left_at: Timestamp::from_millis(left),
    }
}

async fn archive_visits(
    database: &Database,
    from: Option<u64>,
    to: u64,
    visits: Vec<Visit>,
) -> ArchiveOutcome {
    let at = |ms| Cursor::new(ms, 0);
    let batch = Batch::of_visits(FIRST, from.map(at), visits, at(to), None);
    database.store.archive(&batch).await.unwrap()
}

async fn visit_is_stored_once_with_its_last_end(database: Database) {
    let id = StreamId::generate();
    let [ann, bob, cid] =
        [("ann\0", "PA_1"), ("bob", "PA_2"), ("cid", "PA_3")].map(|(who, sid)| visit(id, who, sid, (5, 9)));
    let host = Visit { role: Role::Host, left_at: Timestamp::from_millis(20), ..bob.clone() };
    let first = vec![bob.clone(), ann.clone()];
    assert_eq!(archive_visits(&database, None, 1, first.clone()).await, ArchiveOutcome::Stored);
    assert_eq!(archive_visits(&database, None, 1, first.clone()).await, ArchiveOutcome::Superseded);
    // The session of bob had not ended, and does so again within one batch and in another one.
    let later = Visit { left_at: Timestamp::from_millis(12), ..bob.clone() };
    let again = vec![later, cid.clone(), host.clone()];
    assert_eq!(archive_visits(&database, Some(1), 2, again).await, ArchiveOutcome::Stored);
    assert_eq!(archive_visits(&database, Some(2), 3, first).await, ArchiveOutcome::Stored);
    let name = |visit: Visit| Visit {
        name: DisplayName::reported(visit.name.unwrap().as_str().replace('\0', "\u{fffd}")),
        ..visit
    };
    let expected: Vec<_> = [ann, host, cid].map(name).into();
    assert_eq!(database.store.visits(id, None, rows(10)).await.unwrap().rows, expected);
    let after = Some((expected[0].joined_at, expected[0].sid.clone()));
    assert_eq!(database.store.visits(id, after, rows(1)).await.unwrap().rows, expected[1..2]);
    assert_eq!(database.store.visits(StreamId::generate(), None, rows(10)).await.unwrap(), Rows::empty());
}

async fn visits_have_a_position_and_gaps_of_their_own(database: Database) {
    let (_, events) = log_of("room", &[]).await;
    archive(&database, None, &events).await;
    let at = |ms| Cursor::new(ms, 0);
    let gap = Gap { after: Cursor::ORIGIN, until: at(4), reason: ResetReason::Expired };
    let batch =
        Batch::of_visits(FIRST, None, [visit(StreamId::generate(), "ann", "PA_1", (1, 2))], at(7), Some(gap));
    assert_eq!(database.store.archive(&batch).await.unwrap(), ArchiveOutcome::Stored);
    assert_eq!(database.store.position(FIRST, Log::Visits).await.unwrap(), Some(at(7)));
    assert_eq!(
        database.store.position(FIRST, Log::Events).await.unwrap(),
        events.last().map(|event| event.cursor)
    );
    assert_eq!(database.store.gaps(FIRST, Log::Visits).await.unwrap(), [gap]);
    assert_eq!(database.store.gaps(FIRST, Log::Events).await.unwrap(), []);
}

async fn migrations_run_again_change_nothing(database: Database) {
    let (id, events) = log_of("room", &[]).await;
    archive(&database, None, &events).await;
    database.store.migrate().await.unwrap();
    let stored = open(&database.address).events(id, Cursor::ORIGIN, rows(1_000)).await.unwrap().rows;
    assert_eq!(stored.len(), events.len());
}

/// Instances that start at once wait for each other.
#[tokio::test]
async fn migrations_at_the_same_time_run_once() {
    let database = Database::postgres().await;
    let stores: Vec<_> = (0..4).map(|_| open(&database.address)).collect();
    let migrations = stores.iter().map(|store| store.migrate());
    futures_util::future::try_join_all(migrations).await.unwrap();
}

#[tokio::test]
async fn newer_and_foreign_schemas_are_refused() {
    let database = Database::postgres().await.migrated().await;
    let DatabaseAddress::Postgres(options) = &database.address else { unreachable!() };
    let pool = sqlx::PgPool::connect_with((**options).clone()).await.unwrap();
    let applied = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (99, 'later', true, '', 0)";
    sqlx::query(applied).execute(&pool).await.unwrap();
    let refused = database.store.migrate().await.unwrap_err();
    assert!(matches!(refused, HistoryError::SchemaNewer { found: 99, .. }), "{refused}");
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 99").execute(&pool).await.unwrap();
    sqlx::query("UPDATE _sqlx_migrations SET checksum = 'other'").execute(&pool).await.unwrap();
    assert_eq!(database.store.migrate().await, Err(HistoryError::SchemaDiffers(1)));
}

/// A database that does not answer is an error within a bounded time, without its password.
#[tokio::test]
async fn absent_database_is_unavailable() {
    let port = crate::support::servers::free_port();
    let url = format!("postgres://ann:hunter2@127.0.0.1:{port}/history");
    let store = open(&DatabaseAddress::parse(&url.into()).unwrap());
    for error in [store.migrate().await.unwrap_err(), store.position(FIRST, Log::Events).await.unwrap_err()] {
        assert!(matches!(error, HistoryError::Unavailable(_)) && !error.to_string().contains("hunter2"));
    }
}
