//! Logs, published events and snapshots, in every store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use livestream_orchestrator::{
    domain::{Change, Cursor, Event, Metadata, StreamId, Topic, event::MAX_REPEATED_METADATA_BYTES},
    store::{FeedConnection, FeedMessage, LogRead, ResetReason, SnapshotContent, Source, snapshot},
};

use super::backend::{Backend, left, on_every_backend, session};
use crate::support::within;

on_every_backend!(
    log_continues_after_every_cursor,
    log_is_read_in_pages_and_from_newest,
    events_applied_in_order_give_the_recorded_stream,
    published_events_equal_logged_events,
    snapshot_state_matches_its_cursor,
);

async fn log_continues_after_every_cursor(backend: Backend) {
    let (one, two) = (backend.active("one").await, backend.active("two").await);
    for n in 0..10 {
        let stream = if n % 3 == 0 { &one } else { &two };
        backend.change(stream, Change::Connect(session(&format!("p{n}"), &format!("PA_{n}"), 1))).await;
    }
    let all = backend.feed.newest(Topic::All, 1_000).await.unwrap().unwrap();
    assert_eq!(all.len(), 14);
    let positions = std::iter::once(Cursor::ORIGIN).chain(all.iter().map(|event| event.cursor));
    for after in positions {
        for topic in [Topic::All, Topic::Stream(one.id), Topic::Stream(two.id)] {
            let LogRead::Events { events, .. } = backend.feed.read_after(topic, after, 1_000).await.unwrap()
            else {
                panic!("{after} is a valid cursor")
            };
            let of_topic =
                |event: &&Arc<Event>| topic == Topic::All || topic == Topic::Stream(event.stream_id());
            let expected: Vec<_> =
                all.iter().filter(|event| event.cursor > after).filter(of_topic).cloned().collect();
            assert_eq!(events, expected, "{topic:?} after {after}");
        }
    }
    let newest = all.last().unwrap().cursor;
    for (cursor, expected) in [
        (newest.next(newest.millis() + 1), ResetReason::Future),
        (Cursor::new(1, 0), ResetReason::Unknown),
        (newest.next(newest.millis()), ResetReason::Future),
    ] {
        for topic in [Topic::All, Topic::Stream(one.id)] {
            let read = backend.feed.read_after(topic, cursor, 10).await.unwrap();
            assert!(
                matches!(read, LogRead::Reset(reason) if reason == expected),
                "{topic:?} after {cursor}: {read:?}"
            );
        }
    }
    let tails =
        backend.feed.tails(&[Topic::All, Topic::Stream(one.id), Topic::Stream(StreamId::generate())]).await;
    // Events of two partitions in one millisecond are in the order of their numbers.
    let own = all.iter().rev().find(|event| event.stream_id() == one.id).unwrap().cursor;
    assert_eq!(tails.unwrap(), [newest, own, Cursor::ORIGIN]);
}

async fn log_is_read_in_pages_and_from_newest(backend: Backend) {
    let stream = backend.active("pages").await;
    for n in 0..38 {
        backend.change(&stream, Change::Connect(session(&format!("p{n}"), &format!("PA_{n}"), 1))).await;
    }
    let log = backend.log(stream.id).await;
    assert_eq!(log.len(), 40);
    for topic in [Topic::Stream(stream.id), Topic::All] {
        for limit in [1, 7, 39, 40, 41, 1_000] {
            assert_eq!(backend.pages(topic, Cursor::ORIGIN, limit).await.0, log, "by {limit}");
        }
        for count in [0, 1, 31, 32, 33, 40, 100] {
            let before = backend.feed.before_newest(topic, count).await.unwrap().unwrap();
            let wanted = &log[log.len() - count.min(40)..];
            assert_eq!(backend.pages(topic, before, 1_000).await.0, wanted, "the newest {count}");
        }
    }
    let unknown = Topic::Stream(StreamId::generate());
    assert_eq!(backend.feed.before_newest(unknown, 5).await.unwrap(), None);
}

async fn events_applied_in_order_give_the_recorded_stream(backend: Backend) {
    let stream = backend.active("fold").await;
    let metadata =
        |bytes: usize| Metadata::parse(&format!(r#"{{"a":"{}"}}"#, r#"é\""#.repeat(bytes / 4))).unwrap();
    let mut known = Metadata::default();
    for (n, bytes) in [100, 4_000, 60, 2_000].into_iter().enumerate() {
        let change = Change::SetMetadata { expected: known, metadata: metadata(bytes) };
        backend.change(&stream, change).await;
        backend.change(&stream, Change::Connect(session("ann", &format!("PA_{n}"), 1))).await;
        backend.change(&stream, left("ann", None)).await;
        known = metadata(bytes);
    }
    let stopped = backend.stop(&stream).await;
    let log = backend.log(stream.id).await;
    let mut folded = log[0].draft.stream.clone().with_metadata(Metadata::default());
    for event in &log[1..] {
        event.apply_to(&mut folded);
        assert_eq!(folded.version, event.seq());
    }
    assert_eq!(folded, stopped);
    let omitted = log.iter().filter(|event| event.draft.stream.metadata.is_none()).count();
    assert_eq!(omitted, 6, "two visits and the two events of the stop");
    assert!(stopped.metadata.as_text().len() > MAX_REPEATED_METADATA_BYTES);
}

async fn published_events_equal_logged_events(backend: Backend) {
    let (followed, other) = (backend.active("followed").await, backend.active("other").await);
    let (own, all) = (Topic::Stream(followed.id), Topic::All);
    let mut connections =
        [own, all].map(|topic| Followed { backend: backend.clone(), topic, connection: None });
    for one in &mut connections {
        one.subscribe().await;
    }
    for n in 0..5 {
        for stream in [&followed, &other] {
            backend.change(stream, Change::Connect(session(&format!("p{n}"), &format!("PA_{n}"), 1))).await;
        }
    }
    let before = backend.log(followed.id).await[1].cursor;
    assert_eq!(connections[0].events(5, before).await, backend.log(followed.id).await[2..]);
    let newest = backend.feed.newest(all, 11).await.unwrap().unwrap();
    assert_eq!(connections[1].events(10, newest[0].cursor).await, newest[1..]);
    for one in &mut connections {
        one.unsubscribe().await;
    }
    backend.change(&followed, left("p0", None)).await;
    for one in &mut connections {
        one.expect_only_a_probe().await;
    }
}

/// A connection to the source of a topic.
struct Followed {
    backend: Backend,
    topic: Topic,
    connection: Option<Box<dyn FeedConnection>>,
}

impl Followed {
    fn source(&self) -> Source {
        self.backend.feed.source_of(self.topic)
    }

    fn connection(&mut self) -> &mut Box<dyn FeedConnection> {
        self.connection.as_mut().unwrap()
    }

    async fn subscribe(&mut self) {
        let mut connection = self.backend.feed.connect(self.source()).await.unwrap();
        connection.subscribe(&[self.topic]).await.unwrap();
        self.connection = Some(connection);
    }

    /// Receives events, each of which names the one before.
    async fn events(&mut self, count: usize, before: Cursor) -> Vec<Arc<Event>> {
        let (mut events, mut last, expected) = (Vec::new(), before, self.topic);
        for _ in 0..count {
            match within("a published event", self.connection().next()).await {
                Some(FeedMessage::Event { topic, event, previous }) => {
                    assert_eq!((topic, previous), (expected, last));
                    last = event.cursor;
                    events.push(event);
                }
                other => panic!("{other:?}"),
            }
        }
        events
    }

    async fn unsubscribe(&mut self) {
        let topic = self.topic;
        self.connection().unsubscribe(&[topic]).await.unwrap();
    }

    async fn expect_only_a_probe(&mut self) {
        let (source, address) = (self.source(), self.connection().probe_address().to_owned());
        self.backend.feed.probe(source, &address).await.unwrap();
        let next = within("the probe", self.connection().next()).await;
        assert!(matches!(next, Some(FeedMessage::Probe)), "{next:?}");
    }
}

async fn snapshot_state_matches_its_cursor(backend: Backend) {
    let stream = backend.active("snapshot").await;
    let writer = {
        let (backend, stream) = (backend.clone(), stream.clone());
        tokio::spawn(async move {
            for n in 0..60 {
                backend
                    .change(&stream, Change::Connect(session(&format!("p{n}"), &format!("PA_{n}"), 1)))
                    .await;
                tokio::task::yield_now().await;
            }
        })
    };
    let mut seen = Vec::new();
    while !writer.is_finished() {
        for topic in [Topic::Stream(stream.id), Topic::All] {
            seen.push(snapshot::of(&*backend.feed, topic).await.unwrap());
        }
        // The memory store never yields, so the writer needs this to run.
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    let log = backend.log(stream.id).await;
    for snapshot in seen {
        let (found, listed) = match snapshot.content {
            SnapshotContent::Stream(Some(view)) => (view.stream.clone(), Some(view.participants.len())),
            SnapshotContent::All(mut streams) => (streams.remove(0), None),
            SnapshotContent::Stream(None) => panic!("the stream exists"),
        };
        let as_of = log.iter().find(|event| event.cursor == snapshot.cursor).unwrap();
        assert_eq!(found, as_of.draft.stream.clone().with_metadata(Metadata::default()));
        assert!(listed.is_none_or(|listed| listed == found.participant_count() as usize));
    }
}
