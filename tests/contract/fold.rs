//! Folding, as a client does it: a document of a stream and the events after it are the next document.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::{
    domain::{Cursor, Event, StreamRef, StreamView, Topic, stream::NewStream},
    store::{CreateOutcome, Retention, StoreError},
};
use proptest::prelude::*;
use serde_json::Value;

use crate::{
    backend::{Backend, RETENTION, new_stream},
    random_changes::{History, history},
    support::{fold::fold, unique},
};

/// A client's copy of a document.
struct Folded {
    document: Value,
    cursor: Cursor,
}

impl Folded {
    fn of(view: &StreamView) -> Self {
        Self { document: serde_json::to_value(view).unwrap(), cursor: view.cursor }
    }

    fn apply(&mut self, event: &Event) {
        fold(&mut self.document, &serde_json::to_value(event).unwrap());
        self.cursor = event.cursor;
    }
}

async fn created(backend: &Backend, history: &History) -> StreamRef {
    let new = NewStream {
        max_participants: history.max_participants,
        idle_after: history.idle_after,
        audience: history.audience,
        backstage: history.backstage,
        ..new_stream("room")
    };
    match backend.store.create(backend.placed(new)).await.unwrap() {
        CreateOutcome::Created(stream) => stream.reference(),
        other => panic!("{other:?}"),
    }
}

async fn run_history(backend: &Backend, history: History) {
    let stream = created(backend, &history).await;
    let view = async || backend.store.view(stream.id).await.unwrap().unwrap();
    let mut folded = Folded::of(&*view().await);
    for (change, ..) in history.steps {
        match backend.apply(&stream, change.clone()).await {
            Ok(_) | Err(StoreError::Rejected(_)) => {}
            Err(error) => panic!("{error}"),
        }
        let (events, _) = backend.pages(Topic::Stream(stream.id), folded.cursor, 100).await;
        events.iter().for_each(|event| folded.apply(event));
        let next = Folded::of(&*view().await);
        assert_eq!(folded.document, next.document, "{change:?}");
        assert_eq!(folded.cursor, next.cursor);
    }
}

fn run(history: History, backend: impl FnOnce(Retention) -> Backend) {
    let retention = Retention { count_interval: history.count_interval, ..RETENTION };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { run_history(&backend(retention), history).await });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn document_folded_with_events_is_the_next_document_on_memory(history in history()) {
        run(history, Backend::memory);
    }

    #[test]
    fn document_folded_with_events_is_the_next_document_on_redis(history in history()) {
        run(history, |retention| Backend::redis(&unique("fold"), retention));
    }
}
