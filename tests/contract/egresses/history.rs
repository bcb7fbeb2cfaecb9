//! Recordings in the history: each in its last known state, also that of after the end of its stream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use livestream_orchestrator::{
    domain::{
        Cursor, EgressChange, EgressFile, EgressOutputs, EgressSource, EgressSpec, EgressState, EgressStatus,
        Event, Identity, JobId, MediaPath, Partition, StartedEgress, StreamRef, Timestamp, Topic,
    },
    history::{ArchiveOutcome, Batch, Gap, Log, RowLimit},
    store::{ResetReason, VisitPage},
};
use serde_json::{Value, json};

use super::lifecycle::{address, current, file, report, start, state, webhook};
use crate::{
    backend::{Backend, RETENTION, identity, on_every_backend},
    history_databases::{Database, on_both_databases, rows},
};

on_every_backend!(recordings_that_change_after_the_end_of_their_stream_are_logged);

on_both_databases!(
    recording_is_stored_in_its_newest_state,
    result_after_the_end_of_the_stream_is_stored_in_any_order,
    recordings_of_a_page_end_after_its_bytes,
    recorded_person_is_erased,
    recordings_of_an_expired_stream_are_removed,
    result_after_the_removal_of_its_stream_is_removed,
    result_before_the_first_event_of_its_stream_stays,
);

const FIRST: Partition = Partition::FIRST;
const LOCATION: &str = "https://store.example.com/a.mp4";

fn saved(seconds: i64) -> EgressState {
    let file = EgressFile {
        path: MediaPath::reported("a.mp4".to_owned()),
        size: 5_000_000_000,
        duration: Duration::from_millis(61_500),
        location: Some(LOCATION.to_owned()),
    };
    EgressState { files: vec![file], ..state(EgressStatus::Complete, seconds) }
}

async fn tell(backend: &Backend, stream: &StreamRef, id: &str, outputs: &EgressOutputs, state: EgressState) {
    backend.change(stream, webhook(report(id, outputs.clone(), state))).await;
}

async fn log(backend: &Backend) -> Vec<Arc<Event>> {
    backend.newest(Topic::All, 1_000).await
}

async fn late(backend: &Backend) -> VisitPage {
    backend.followed[0].visits_after(None, 1_000).await.unwrap().unwrap()
}

async fn archive(database: &Database, batch: Batch) {
    assert_eq!(database.store.archive(&batch).await.unwrap(), ArchiveOutcome::Stored);
}

async fn archive_events(database: &Database, from: Option<Cursor>, events: &[Arc<Event>]) {
    archive(database, Batch::of_events(FIRST, from, events).unwrap()).await;
}

async fn archive_late(database: &Database, page: VisitPage) {
    let batch = Batch::of_visits(FIRST, None, page.visits, page.end, None);
    archive(database, batch.with_recordings(page.recordings).unwrap()).await;
}

async fn recordings(database: &Database, stream: &StreamRef) -> Vec<Value> {
    let page = database.store.recordings(stream.id, rows(100)).await.unwrap();
    page.rows.iter().map(|json| serde_json::from_str(json).unwrap()).collect()
}

async fn recordings_that_change_after_the_end_of_their_stream_are_logged(backend: Backend) {
    let stream = backend.active("late").await;
    let outputs = start(&backend, &stream, "EG_1", &[]).await.outputs;
    let sent = start(&backend, &stream, "EG_2", &[address("one")]).await.outputs;
    tell(&backend, &stream, "EG_1", &outputs, state(EgressStatus::Active, 1)).await;
    backend.stop(&stream).await;
    let logged = async || {
        let pages = backend.followed.iter().map(|partition| partition.visits_after(None, 100));
        let pages = futures_util::future::join_all(pages).await;
        let pages = pages.into_iter().filter_map(Result::unwrap);
        pages.flat_map(|page| page.recordings).collect::<Vec<_>>()
    };
    assert_eq!(logged().await, []);
    tell(&backend, &stream, "EG_1", &outputs, saved(9)).await;
    tell(&backend, &stream, "EG_1", &outputs, saved(9)).await;
    tell(&backend, &stream, "EG_2", &sent, state(EgressStatus::Complete, 9)).await;
    let recording = current(&backend, &stream, "EG_1").await;
    assert_eq!(recording.files[0].location.as_deref(), Some(LOCATION));
    assert_eq!(logged().await, [(stream.id, recording)]);
}

async fn recording_is_stored_in_its_newest_state(database: Database) {
    let backend = Backend::memory(RETENTION);
    let stream = backend.active("room").await;
    let outputs = start(&backend, &stream, "EG_1", &[]).await.outputs;
    let sent = start(&backend, &stream, "EG_2", &[address("one")]).await.outputs;
    start(&backend, &stream, "EG_3", &[]).await;
    tell(&backend, &stream, "EG_1", &outputs, state(EgressStatus::Active, 1)).await;
    tell(&backend, &stream, "EG_2", &sent, state(EgressStatus::Active, 1)).await;
    let first = log(&backend).await;
    archive_events(&database, None, &first).await;
    tell(&backend, &stream, "EG_1", &outputs, saved(9)).await;
    let all = log(&backend).await;
    archive_events(&database, first.last().map(|event| event.cursor), &all[first.len()..]).await;
    let told =
        all.iter().rev().map(|event| serde_json::to_value(&**event).unwrap()["data"]["recording"].clone());
    let told: Vec<_> = told.filter(|recording| !recording.is_null()).collect();
    let newest = |id: &str| told.iter().find(|one| one["recordingId"] == id).unwrap().clone();
    let expected = [newest("EG_1"), newest("EG_3")];
    assert_eq!(recordings(&database, &stream).await, expected);
    assert_eq!(expected[0]["files"], json!([{"path": "a.mp4", "size": 5_000_000_000_u64, "duration": 61.5}]));
    // The log is read again from its beginning.
    let end = all.last().unwrap().cursor;
    let gap = Gap { after: end, until: end, reason: ResetReason::Unknown };
    archive(&database, Batch::of_gap(FIRST, Some(end), gap, Cursor::ORIGIN)).await;
    archive_events(&database, Some(Cursor::ORIGIN), &first).await;
    assert_eq!(recordings(&database, &stream).await, expected);
}

async fn result_after_the_end_of_the_stream_is_stored_in_any_order(database: Database) {
    let backend = Backend::memory(RETENTION);
    let stream = backend.active("room").await;
    let outputs = start(&backend, &stream, "EG_1", &[]).await.outputs;
    tell(&backend, &stream, "EG_1", &outputs, state(EgressStatus::Ending, 5)).await;
    backend.stop(&stream).await;
    let events = log(&backend).await;
    let statuses = async || {
        let statuses = recordings(&database, &stream).await.into_iter().map(|one| one["status"].clone());
        statuses.collect::<Vec<_>>()
    };
    let (before, rest) = events.split_at(events.len() / 2);
    archive_events(&database, None, before).await;
    tell(&backend, &stream, "EG_1", &outputs, saved(9)).await;
    archive_late(&database, late(&backend).await).await;
    assert_eq!(statuses().await, ["complete"]);
    archive_events(&database, before.last().map(|event| event.cursor), rest).await;
    assert_eq!(statuses().await, ["complete"]);
    assert_eq!(database.store.position(FIRST, Log::Visits).await.unwrap(), Some(late(&backend).await.end));
}

async fn recordings_of_a_page_end_after_its_bytes(database: Database) {
    let backend = Backend::memory(RETENTION);
    let stream = backend.active("room").await;
    for id in ["EG_1", "EG_2", "EG_3"] {
        start(&backend, &stream, id, &[]).await;
    }
    archive_events(&database, None, &log(&backend).await).await;
    for (limit, count) in [(rows(2), 2), (rows(3), 3)] {
        let page = database.store.recordings(stream.id, limit).await.unwrap();
        assert_eq!((page.rows.len(), page.has_more), (count, count < 3));
    }
    let bytes = recordings(&database, &stream).await[0].to_string().len() + 1;
    let page = database.store.recordings(stream.id, RowLimit { rows: 9, bytes });
    assert_eq!(page.await.unwrap().rows.len(), 2);
}

/// Starts the recording of one participant.
async fn record_person(backend: &Backend, stream: &StreamRef, id: &str, who: &Identity) -> EgressOutputs {
    let (job, outputs) = (JobId::generate(), file(&format!("{id}.mp4")));
    backend.change(stream, EgressChange::Plan { job, outputs: outputs.clone() }.into()).await;
    let source = Some(EgressSource::Participant(who.clone()));
    let spec = EgressSpec { source, ..EgressSpec::default() };
    let report = report(id, outputs.clone(), state(EgressStatus::Starting, 0));
    let started = StartedEgress { job, report, spec, targets: Vec::new(), by: None };
    backend.change(stream, EgressChange::Confirm(started).into()).await;
    outputs
}

async fn recorded_person_is_erased(database: Database) {
    let backend = Backend::memory(RETENTION);
    let stream = backend.active("room").await;
    let [ann, bob] = ["ann_%!\"", "bob"].map(|who| Identity::reported(who).unwrap());
    let outputs = record_person(&backend, &stream, "EG_1", &ann).await;
    record_person(&backend, &stream, "EG_2", &bob).await;
    backend.stop(&stream).await;
    archive_events(&database, None, &log(&backend).await).await;
    tell(&backend, &stream, "EG_1", &outputs, saved(9)).await;
    archive_late(&database, late(&backend).await).await;
    while database.store.erase(&ann).await.unwrap() {}
    let recordings = recordings(&database, &stream).await;
    let who: Vec<_> = recordings.iter().map(|one| one["identity"].as_str().unwrap()).collect();
    assert!(who[0].starts_with("erased-") && who[1] == "bob", "{who:?}");
    assert_eq!(recordings[0]["status"], "complete");
}

async fn recordings_of_an_expired_stream_are_removed(database: Database) {
    let backend = Backend::memory(RETENTION);
    let stream = backend.active("room").await;
    start(&backend, &stream, "EG_1", &[]).await;
    backend.stop(&stream).await;
    archive_events(&database, None, &log(&backend).await).await;
    assert_eq!(recordings(&database, &stream).await.len(), 1);
    while database.store.prune(Timestamp::from_millis(i64::MAX)).await.unwrap() {}
    assert_eq!(recordings(&database, &stream).await.len(), 0);
}

/// Removes everything that expires at a time.
async fn prune(database: &Database, before: Timestamp) {
    while database.store.prune(before).await.unwrap() {}
}

async fn result_after_the_removal_of_its_stream_is_removed(database: Database) {
    let backend = Backend::memory(RETENTION);
    let stream = backend.active("room").await;
    let person = identity("ann");
    let outputs = record_person(&backend, &stream, "EG_1", &person).await;
    tell(&backend, &stream, "EG_1", &outputs, state(EgressStatus::Ending, 5)).await;
    backend.stop(&stream).await;
    archive_events(&database, None, &log(&backend).await).await;
    let end = Timestamp::from_millis(i64::MAX);
    prune(&database, end).await;
    tell(&backend, &stream, "EG_1", &outputs, saved(9)).await;
    archive_late(&database, late(&backend).await).await;
    assert_eq!(recordings(&database, &stream).await.len(), 1);
    prune(&database, end).await;
    assert_eq!(recordings(&database, &stream).await.len(), 0);
    assert!(!database.store.erase(&person).await.unwrap(), "the identity is removed too");
}

/// The two logs are stored in no fixed order.
async fn result_before_the_first_event_of_its_stream_stays(database: Database) {
    let backend = Backend::memory(RETENTION);
    let stream = backend.active("room").await;
    let outputs = start(&backend, &stream, "EG_1", &[]).await.outputs;
    backend.stop(&stream).await;
    tell(&backend, &stream, "EG_1", &outputs, saved(9)).await;
    archive_late(&database, late(&backend).await).await;
    let created_at = log(&backend).await[0].draft.stream.created_at;
    prune(&database, created_at).await;
    assert_eq!(recordings(&database, &stream).await.len(), 1);
}
