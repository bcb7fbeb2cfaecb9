//! Unusual values in the history, on Postgres and on SQLite: none of them stops an archiver.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use livestream_orchestrator::{
    domain::{
        Change, Cursor, DisplayName, Event, Identity, Metadata, ParticipantKind, ParticipantSid, Partition,
        Role, Session, StreamId, Timestamp, Topic, Visit,
    },
    history::{ArchiveOutcome, Batch, DatabaseAddress, Gap, Log, StreamSelection},
    store::ResetReason,
};

use super::{
    archiver::Running,
    backend::{Backend, RETENTION, identity, left, session, token},
    history_databases::{Database, on_both_databases, rows},
};
use crate::support::eventually;

on_both_databases!(
    values_of_any_size_are_stored,
    person_with_an_identity_of_any_size_is_erased,
    visits_with_ids_of_any_size_have_pages,
);

const FIRST: Partition = Partition::FIRST;
/// Size of texts that no index of Postgres takes, in bytes.
const LARGE: usize = 50_000;

/// A text that cannot be compressed.
fn random_text(bytes: usize) -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(bytes).collect()
}

async fn archive(database: &Database, events: &[Arc<Event>]) -> Option<Cursor> {
    let batch = Batch::of_events(FIRST, None, events).unwrap();
    assert_eq!(database.store.archive(&batch).await.unwrap(), ArchiveOutcome::Stored);
    events.last().map(|event| event.cursor)
}

fn visit(stream_id: StreamId, identity: Identity, sid: ParticipantSid) -> Visit {
    Visit {
        stream_id,
        identity,
        sid,
        name: DisplayName::reported(random_text(LARGE) + "\0"),
        role: Role::Viewer,
        kind: ParticipantKind::Standard,
        joined_at: Timestamp::from_millis(1_000),
        left_at: Timestamp::from_millis(2_000),
    }
}

async fn archive_visits(database: &Database, visits: Vec<Visit>) {
    let batch = Batch::of_visits(FIRST, None, visits, Cursor::new(1, 0), None);
    assert_eq!(database.store.archive(&batch).await.unwrap(), ArchiveOutcome::Stored);
}

async fn stored(database: &Database, id: StreamId) -> Vec<String> {
    let events = database.store.events(id, Cursor::ORIGIN, rows(1_000)).await.unwrap().rows;
    events.into_iter().map(|event| event.json).collect()
}

fn jsons(events: &[Arc<Event>]) -> Vec<String> {
    events.iter().map(|event| serde_json::to_string(&**event).unwrap()).collect()
}

/// A stream whose names and metadata are as large and as strange as they may be, and its events.
async fn unusual(who: &Identity) -> (Backend, StreamId, Vec<Arc<Event>>) {
    let backend = Backend::memory(RETENTION);
    // 256 bytes, the most that a room name may have.
    let stream = backend.active(&(random_text(252) + "\u{1f3a5}")).await;
    let name = DisplayName::reported(random_text(LARGE) + "\0\u{202e}");
    let joined = Session { identity: who.clone(), name, ..session("x", "PA_1", 1_000) };
    backend.change(&stream, Change::Connect(joined)).await;
    let metadata = format!(r#"{{"\u0000":"{}\u0000\ud83d\ude00","a":[1.50,-0]}}"#, random_text(LARGE));
    let metadata = Metadata::parse(&metadata).unwrap();
    backend.change(&stream, Change::SetMetadata { expected: Metadata::default(), metadata }).await;
    let sid = Some("PA_1".into());
    let leave = Change::Disconnect { identity: who.clone(), sid, at: None, reason: None };
    backend.change(&stream, leave).await;
    backend.stop(&stream).await;
    let events = backend.newest(Topic::All, 1_000).await;
    (backend, stream.id, events)
}

async fn values_of_any_size_are_stored(database: Database) {
    let who = Identity::reported(random_text(LARGE) + "\0").unwrap();
    let (_, id, events) = unusual(&who).await;
    archive(&database, &events).await;
    assert_eq!(stored(&database, id).await, jsons(&events));
    let record = database.store.stream(id).await.unwrap().unwrap();
    let told = &events.iter().rev().find_map(|event| event.draft.stream.metadata.clone());
    assert_eq!(&record.metadata, told);
    let room_name = Some(events[0].draft.stream.room_name.clone());
    let selection = StreamSelection { room_name, ..StreamSelection::default() };
    let found = database.store.streams(&selection, None, rows(10)).await.unwrap().rows;
    assert_eq!(found.iter().map(|stream| stream.id).collect::<Vec<_>>(), [id]);
}

async fn person_with_an_identity_of_any_size_is_erased(database: Database) {
    let [who, other] = [0, 0].map(|_| Identity::reported(random_text(LARGE)).unwrap());
    let (_, id, events) = unusual(&who).await;
    archive(&database, &events).await;
    let visits = vec![visit(id, who.clone(), "PA_1".into()), visit(id, other.clone(), "PA_2".into())];
    archive_visits(&database, visits).await;
    assert!(database.store.erase(&who).await.unwrap());
    assert!(!database.store.erase(&who).await.unwrap());
    let events = stored(&database, id).await;
    assert!(!events.iter().any(|json| json.contains(who.as_str())));
    let visits = database.store.visits(id, None, rows(10)).await.unwrap().rows;
    assert!(visits[0].identity.as_str().starts_with("erased-"), "{:?}", visits[0].identity);
    assert_eq!(visits[1].identity, other);
    assert!(database.store.erase(&other).await.unwrap());
}

async fn visits_with_ids_of_any_size_have_pages(database: Database) {
    let id = StreamId::generate();
    let long = random_text(LARGE);
    let sids = [long.clone(), long + "x", "\0".repeat(200), "\0".repeat(3), "PA_1".to_owned()];
    let visits = sids.iter().map(|sid| visit(id, identity("ann"), sid.as_str().into())).collect();
    archive_visits(&database, visits).await;
    let (mut read, mut after) = (0, None);
    loop {
        let page = database.store.visits(id, after, rows(1)).await.unwrap();
        read += page.rows.len();
        after = page.rows.last().map(|last| (last.joined_at, last.sid.clone()));
        if !page.has_more {
            break;
        }
    }
    assert_eq!(read, sids.len());
}

/// A row that Postgres refuses for good becomes a gap, and everything around it is stored.
#[tokio::test]
async fn row_that_is_refused_is_a_gap_and_stops_nothing_else() {
    let database = Database::postgres().await.migrated().await;
    let DatabaseAddress::Postgres(options) = &database.address else { unreachable!() };
    let pool = sqlx::PgPool::connect_with((**options).clone()).await.unwrap();
    for constraint in [
        "ALTER TABLE events ADD CHECK (event NOT LIKE '%\"poison\"%')",
        "ALTER TABLE visits ADD CHECK (sid <> 'PA_poison')",
    ] {
        sqlx::query(constraint).execute(&pool).await.unwrap();
    }
    let backend = Backend::memory(RETENTION);
    let stream = backend.active("room").await;
    let hour = Duration::from_secs(3_600);
    for n in 0..20 {
        let who = if n == 13 { "poison".to_owned() } else { format!("viewer-{n}") };
        backend.change(&stream, token(&who, hour)).await;
        let sid = if n == 7 { "PA_poison".to_owned() } else { format!("PA_{n:02}") };
        backend.change(&stream, Change::Connect(session("ann", &sid, 1_000))).await;
        backend.change(&stream, left("ann", Some(&sid))).await;
    }
    let events = backend.log(stream.id).await;
    let page = backend.followed[0].visits_after(None, 100).await.unwrap().unwrap();
    let running = Running::start(&backend, &database.address);
    let (refused, expected): (Vec<_>, Vec<_>) =
        jsons(&events).into_iter().partition(|json| json.contains("\"poison\""));
    eventually("the events", || async { (stored(&database, stream.id).await == expected).then_some(()) })
        .await;
    let gaps = database.store.gaps(FIRST, Log::Events).await.unwrap();
    assert_eq!((gaps.len(), refused.len()), (1, 1));
    let place = events.iter().position(|event| event.cursor == gaps[0].until).unwrap();
    let reason = ResetReason::Unreadable;
    let gap = Gap { after: events[place - 1].cursor, until: events[place].cursor, reason };
    assert!(gaps == [gap] && jsons(&events)[place] == refused[0]);
    eventually("the visits", || async {
        let visits = database.store.visits(stream.id, None, rows(100)).await.ok()?.rows;
        (visits.len() == page.visits.len() - 1).then_some(())
    })
    .await;
    let gaps = database.store.gaps(FIRST, Log::Visits).await.unwrap();
    assert_eq!(gaps.iter().map(|gap| gap.reason).collect::<Vec<_>>(), [reason]);
    running.stop().await;
}
