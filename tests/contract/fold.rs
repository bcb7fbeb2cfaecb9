//! Folding, as a client does it: a document of a stream and the events after it are the next document.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cmp::Reverse;

use livestream_orchestrator::{
    domain::{Cursor, Event, StreamRef, StreamView, Topic, stream::NewStream},
    store::{CreateOutcome, Retention, StoreError},
};
use proptest::prelude::*;
use serde_json::Value;

use crate::{
    backend::{Backend, RETENTION, new_stream},
    random_changes::{History, history},
    support::unique,
};

/// A client's copy of a document, by the rules of docs/CLIENTS.md.
struct Folded {
    document: Value,
    cursor: Cursor,
}

impl Folded {
    fn of(view: &StreamView) -> Self {
        Self { document: serde_json::to_value(view).unwrap(), cursor: view.cursor }
    }

    fn apply(&mut self, event: &Event) {
        let json = serde_json::to_value(event).unwrap();
        let data = &json["data"];
        let fields = data["stream"].as_object().unwrap().clone();
        self.document.as_object_mut().unwrap().extend(fields);
        let is_counted = self.document["audience"] == "counted";
        let participants = self.document["participants"].as_array_mut().unwrap();
        if let Some(entry) = data.get("participant") {
            participants.retain(|known| known["identity"] != entry["identity"]);
            if data["removed"] != true {
                participants.push(entry.clone());
            }
        }
        participants.retain(|known| !is_counted || known["role"] == "host");
        participants.sort_by_cached_key(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap().to_owned();
            (text("role"), Reverse(text("joinedAt")), text("identity"))
        });
        assert_eq!(data["counts"], self.document["participantCounts"]);
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
    match backend.store.create(new).await.unwrap() {
        CreateOutcome::Created(stream) => stream.reference(),
        other => panic!("{other:?}"),
    }
}

async fn fold(backend: &Backend, history: History) {
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
    runtime.block_on(async { fold(&backend(retention), history).await });
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
