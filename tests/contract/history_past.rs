//! What followers read of the history when the logs have lost it, on Postgres and on SQLite.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use livestream_orchestrator::{
    domain::{Change, Cursor, Event, Metadata, Partition, Partitioning, StreamId, Timestamp, Topic},
    followers::{PastError, PastEvents, PastRead},
    history::{Batch, Gap, History, open},
    store::ResetReason,
    telemetry::Metrics,
};
use tokio_util::sync::CancellationToken;

use super::{
    backend::{Backend, RETENTION},
    history_databases::{Database, on_both_databases},
};

on_both_databases!(
    past_events_are_those_of_one_partition_or_stream_up_to_what_is_stored,
    past_events_before_a_gap_are_read_and_those_in_it_are_missing,
    past_events_of_which_a_part_may_be_removed_are_missing,
);

const NOW: Timestamp = Timestamp::from_millis(4_000_000_000_000);

async fn history(database: &Database, retention: Option<Duration>) -> History {
    let history = History::new(open(&database.address), retention, Arc::new(Metrics::new().unwrap()));
    assert!(history.prepare(&CancellationToken::new()).await.unwrap());
    history
}

/// The events of two streams, which change in turn.
async fn log() -> Vec<Arc<Event>> {
    let backend = Backend::memory(RETENTION);
    let streams = [backend.active("a").await, backend.active("b").await];
    for n in 0..3 {
        let metadata = |n| Metadata::parse(&format!(r#"{{"n":{n}}}"#)).unwrap();
        let expected = if n == 0 { Metadata::default() } else { metadata(n - 1) };
        for stream in &streams {
            let change = Change::SetMetadata { expected: expected.clone(), metadata: metadata(n) };
            backend.change(stream, change).await;
        }
    }
    backend.newest(Topic::All, 100).await
}

async fn archive(database: &Database, partition: Partition, from: Option<Cursor>, events: &[Arc<Event>]) {
    database.store.archive(&Batch::of_events(partition, from, events).unwrap()).await.unwrap();
}

/// The cursors that a read yields.
fn cursors(read: Result<PastRead, PastError>) -> Vec<Cursor> {
    match read.unwrap() {
        PastRead::Events(events) => events.iter().map(|event| event.cursor).collect(),
        other => panic!("{other:?}"),
    }
}

async fn past_events_are_those_of_one_partition_or_stream_up_to_what_is_stored(database: Database) {
    let (history, log, other_log) = (history(&database, None).await, log().await, log().await);
    let [first, second] =
        Partitioning::new(2).unwrap().all().collect::<Vec<_>>().try_into().expect("two partitions");
    let read = |partition, stream: Option<StreamId>, after: Cursor, limit| {
        history.past_events(partition, stream, after, limit, NOW)
    };
    assert_eq!(read(first, None, Cursor::ORIGIN, 9).await.unwrap(), PastRead::Behind);
    archive(&database, first, None, &log).await;
    archive(&database, second, None, &other_log).await;
    let all: Vec<_> = log.iter().map(|event| event.cursor).collect();
    assert_eq!(cursors(read(first, None, Cursor::ORIGIN, 100).await), all);
    assert_eq!(cursors(read(first, None, all[1], 3).await), all[2..5]);
    let id = log[1].stream_id();
    let own: Vec<_> = log.iter().filter(|event| event.stream_id() == id).map(|event| event.cursor).collect();
    assert_eq!(cursors(read(first, Some(id), own[0], 2).await), own[1..3]);
    let PastRead::Events(events) = read(first, Some(id), own[0], 9).await.unwrap() else { panic!() };
    let json = |event: &Arc<Event>| serde_json::to_string(&**event).unwrap();
    let event = log.iter().find(|event| event.cursor == own[1]).unwrap();
    assert_eq!((&events[0].json, events[0].kind, events[0].stream_id), (&json(event), event.draft.kind, id));
    assert_eq!((events[0].previous, events[1].previous), (own[0], own[1]));
    let end = *all.last().unwrap();
    assert_eq!(read(first, None, end, 9).await.unwrap(), PastRead::Behind);
    let unknown = Some(StreamId::generate());
    assert_eq!(read(first, unknown, all[0], 9).await.unwrap(), PastRead::UpTo(end));
}

async fn past_events_before_a_gap_are_read_and_those_in_it_are_missing(database: Database) {
    let (history, log) = (history(&database, None).await, log().await);
    let first = Partition::FIRST;
    let (early, late) = log.split_at(4);
    archive(&database, first, None, early).await;
    let (after, until) = (early[3].cursor, late[0].cursor);
    let gap = Gap { after, until, reason: ResetReason::Expired };
    database.store.archive(&Batch::of_gap(first, Some(after), gap, until)).await.unwrap();
    archive(&database, first, Some(until), &late[1..]).await;
    let read = |after: Cursor| history.past_events(first, None, after, 100, NOW);
    assert_eq!(cursors(read(early[0].cursor).await), [early[1].cursor, early[2].cursor, early[3].cursor]);
    assert_eq!(read(after).await.unwrap(), PastRead::Missing);
    assert_eq!(cursors(read(until).await).len(), late.len() - 1);
}

async fn past_events_of_which_a_part_may_be_removed_are_missing(database: Database) {
    let retention = Duration::from_secs(90 * 24 * 3_600);
    let (history, log) = (history(&database, Some(retention)).await, log().await);
    archive(&database, Partition::FIRST, None, &log).await;
    let after = log[0].cursor;
    let created = Timestamp::from_millis(i64::try_from(after.millis()).unwrap());
    let read = |now| history.past_events(Partition::FIRST, None, after, 100, now);
    assert_eq!(read(created.plus(retention)).await.unwrap(), PastRead::Missing);
    let earlier = created.plus(retention).minus(Duration::from_secs(2 * 3_600));
    assert_eq!(cursors(read(earlier).await).len(), log.len() - 1);
}
