//! Pages of the history on Postgres and on SQLite: a page reads a bounded number of bytes, whatever its rows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use livestream_orchestrator::{
    domain::{
        Change, Cursor, DisplayName, Event, Identity, Metadata, ParticipantKind, Partition, Role, StreamId,
        Timestamp, Topic, Visit, stream::NewStream,
    },
    history::{Batch, RowLimit, Rows, StreamSelection},
    store::CreateOutcome,
};

use super::{
    backend::{Backend, RETENTION, new_stream},
    history_databases::{Database, on_both_databases},
};

on_both_databases!(
    page_of_events_ends_after_its_bytes,
    page_of_streams_ends_after_its_bytes,
    page_of_visits_ends_after_its_bytes,
);

const FIRST: Partition = Partition::FIRST;
/// Bytes of one large row, at least.
const LARGE: usize = 20_000;
/// Bounds that the bytes of three large rows exceed.
const LIMIT: RowLimit = RowLimit { rows: 1_000, bytes: 2 * LARGE + 1_000 };

fn large_metadata(text: &str) -> Metadata {
    Metadata::parse(&format!(r#"{{"text":"{}"}}"#, text.repeat(LARGE))).unwrap()
}

async fn archive(database: &Database, events: &[Arc<Event>]) {
    database.store.archive(&Batch::of_events(FIRST, None, events).unwrap()).await.unwrap();
}

/// Asserts that a page has the next rows: at most those of its bounds, and whether further rows follow.
fn assert_page<T>(page: &Rows<T>, limit: RowLimit, sizes: &[usize]) {
    let mut before = 0;
    let is_within = |size: &&usize| {
        before += **size;
        before - **size < limit.bytes
    };
    let expected = sizes.iter().take(limit.rows as usize).take_while(is_within).count();
    assert_eq!((page.rows.len(), page.has_more), (expected, expected < sizes.len()), "{sizes:?}");
}

/// Bounds of rows, of bytes, of neither, and of less than one row.
const LIMITS: [RowLimit; 4] = [
    RowLimit { rows: 2, bytes: usize::MAX },
    LIMIT,
    RowLimit { rows: 1_000, bytes: usize::MAX },
    RowLimit { rows: 1_000, bytes: 1 },
];

async fn page_of_events_ends_after_its_bytes(database: Database) {
    let backend = Backend::memory(RETENTION);
    let stream = backend.active("room").await;
    let mut expected = Metadata::default();
    for text in ["a", "b", "c", "d", "é"] {
        let metadata = large_metadata(text);
        let change = Change::SetMetadata { expected, metadata: metadata.clone() };
        backend.change(&stream, change).await;
        expected = metadata;
    }
    let log = backend.newest(Topic::All, 100).await;
    archive(&database, &log).await;
    let sizes: Vec<_> = log.iter().map(|event| serde_json::to_string(&**event).unwrap().len()).collect();
    for limit in LIMITS {
        for read in 0..log.len() {
            let after = read.checked_sub(1).map_or(Cursor::ORIGIN, |last| log[last].cursor);
            let page = database.store.events(stream.id, after, limit).await.unwrap();
            assert_page(&page, limit, &sizes[read..]);
            assert_eq!(page.rows[0].cursor, log[read].cursor);
        }
    }
}

async fn page_of_streams_ends_after_its_bytes(database: Database) {
    let backend = Backend::memory(RETENTION);
    for room in ["a", "b", "c", "d", "e"] {
        let new = NewStream { metadata: large_metadata(room), ..new_stream(room) };
        let created = backend.store.create(backend.placed(new)).await.unwrap();
        assert!(matches!(created, CreateOutcome::Created(_)));
    }
    archive(&database, &backend.newest(Topic::All, 100).await).await;
    let selection = StreamSelection::default();
    let whole = RowLimit { rows: 10, bytes: usize::MAX };
    let all = database.store.streams(&selection, None, whole).await.unwrap().rows;
    let size = large_metadata("a").as_text().len() + "a".len();
    for limit in LIMITS {
        for read in 0..all.len() {
            let before = read.checked_sub(1).map(|last| (all[last].created_at, all[last].id));
            let page = database.store.streams(&selection, before, limit).await.unwrap();
            assert_page(&page, limit, &vec![size; all.len() - read]);
            assert_eq!(page.rows[..], all[read..read + page.rows.len()]);
        }
        let of_room = StreamSelection { room_name: Some(all[2].room_name.clone()), ..selection.clone() };
        let page = database.store.streams(&of_room, None, limit).await.unwrap();
        assert_eq!(page, Rows { rows: vec![all[2].clone()], has_more: false });
    }
}

fn visit(stream_id: StreamId, joined_at: i64) -> Visit {
    Visit {
        stream_id,
        identity: Identity::reported("anné").unwrap(),
        sid: format!("PA_{joined_at}").as_str().into(),
        name: (joined_at != 2).then(|| DisplayName::reported("é".repeat(LARGE / 2)).unwrap()),
        role: Role::Viewer,
        kind: ParticipantKind::Standard,
        joined_at: Timestamp::from_millis(joined_at),
        left_at: Timestamp::from_millis(100),
    }
}

async fn page_of_visits_ends_after_its_bytes(database: Database) {
    let id = StreamId::generate();
    let visits: Vec<_> = (1..6).map(|joined_at| visit(id, joined_at)).collect();
    let batch = Batch::of_visits(FIRST, None, visits.clone(), Cursor::new(1, 0), None);
    database.store.archive(&batch).await.unwrap();
    let size = |visit: &Visit| "annéPA_1".len() + visit.name.as_ref().map_or(0, |_| LARGE);
    let sizes: Vec<_> = visits.iter().map(size).collect();
    for limit in LIMITS {
        for read in 0..visits.len() {
            let last = read.checked_sub(1).map(|last| &visits[last]);
            let after = last.map(|visit| (visit.joined_at, visit.sid.clone()));
            let page = database.store.visits(id, after, limit).await.unwrap();
            assert_page(&page, limit, &sizes[read..]);
            assert_eq!(page.rows[..], visits[read..read + page.rows.len()]);
        }
    }
}
