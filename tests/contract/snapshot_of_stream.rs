//! The snapshot of one stream for a reset has all participants and is as of one cursor, in every store, whatever
//! changes while it is read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use livestream_orchestrator::{
    domain::{
        Audience, AudienceMode, Change, Cursor, Event, Metadata, Participant, Role, Session, StreamId,
        StreamRef, Topic, stream::NewStream,
    },
    store::{
        CreateOutcome, EventFeed, FeedConnection, LivePage, LogRead, ParticipantFilter, ParticipantsPage,
        Snapshot, SnapshotContent, Source, StoreError, snapshot_of_stream,
    },
};

use super::backend::{Backend, identity, left, new_stream, on_every_backend, session};

on_every_backend!(
    snapshot_of_stream_has_all_participants_of_a_truncated_document,
    snapshot_of_stream_ends_after_1000_participants,
    snapshot_of_counted_stream_has_all_participants_on_stage,
    snapshot_of_stream_that_becomes_counted_meanwhile_has_the_stage,
    snapshot_of_stream_read_during_changes_equals_state_at_its_cursor,
    snapshot_of_stream_with_pages_from_lost_history_begins_again,
    snapshot_of_stream_that_never_matches_its_log_is_unavailable,
    snapshot_of_stream_that_does_not_exist_is_empty,
);

/// Participants before the changes. Together they are larger than a document, and the log holds all events.
const KNOWN: usize = 90;
const LARGE: usize = 18_000;
const TTL: Duration = Duration::from_secs(600);

fn join(who: &str, role: Role, bytes: usize, joining_ttl: Duration) -> Change {
    let metadata = Metadata::parse(&format!(r#"{{"filling":"{}"}}"#, "x".repeat(bytes))).unwrap();
    let (identity, metadata) = (identity(who), Some(metadata));
    Change::IssueToken { identity, name: None, role: Some(role), metadata, attributes: None, joining_ttl }
}

/// Creates a stream with participants of this size, of which a third are hosts.
async fn stream_with(backend: &Backend, count: usize, bytes: usize) -> StreamRef {
    let stream = backend.active("room").await;
    fill(backend, &stream, count, bytes).await;
    stream
}

async fn fill(backend: &Backend, stream: &StreamRef, count: usize, bytes: usize) {
    for n in 0..count {
        let role = if n % 3 == 0 { Role::Host } else { Role::Viewer };
        backend.change(stream, join(&format!("p-{n:04}"), role, bytes, TTL)).await;
    }
}

async fn created(backend: &Backend, mode: AudienceMode, listed_max: u32) -> StreamRef {
    let new = backend.placed(NewStream { audience: mode.begin(listed_max), ..new_stream("room") });
    let CreateOutcome::Created(stream) = backend.store.create(new).await.unwrap() else { panic!("taken") };
    let stream = stream.reference();
    backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
    stream
}

/// What the feed does besides reading.
#[derive(Clone)]
enum Disturbance {
    /// Makes random changes before each read.
    Changes,
    /// Makes this change before each read; it has an effect once.
    One(Box<Change>),
    /// The first pages have a cursor that the log does not hold.
    LostHistory { pages: usize },
}

/// A feed whose reads are disturbed.
struct DisturbedFeed {
    backend: Backend,
    stream: StreamRef,
    disturbance: Disturbance,
    random: Mutex<fastrand::Rng>,
    pages: Mutex<usize>,
}

impl DisturbedFeed {
    fn new(backend: &Backend, stream: &StreamRef, disturbance: Disturbance) -> Self {
        let (random, pages) = (Mutex::new(fastrand::Rng::with_seed(11)), Mutex::default());
        Self { backend: backend.clone(), stream: stream.clone(), disturbance, random, pages }
    }

    fn random(&self, end: usize) -> usize {
        self.random.lock().unwrap().usize(0..end)
    }

    /// Makes changes of every kind that moves, adds or removes entries.
    async fn change(&self) {
        if let Disturbance::One(change) = &self.disturbance {
            self.backend.change(&self.stream, (**change).clone()).await;
        }
        if !matches!(self.disturbance, Disturbance::Changes) {
            return;
        }
        for _ in 0..self.random(6) {
            let who = format!("p-{:04}", self.random(KNOWN));
            let size = self.random(2) * LARGE;
            let change = match self.random(6) {
                0 => left(&who, None),
                1 => Change::Connect(session(&who, &format!("PA_{}", self.random(1_000)), 1)),
                2 => join(&format!("new-{}", self.random(1_000)), Role::Host, size, TTL),
                3 => join(&format!("new-{}", self.random(1_000)), Role::Viewer, size, Duration::ZERO),
                4 => join(&who, Role::Host, size, TTL),
                _ => Change::ExpireJoining,
            };
            self.backend.change(&self.stream, change).await;
        }
    }
}

#[async_trait]
impl EventFeed for DisturbedFeed {
    async fn connect(&self, source: Source) -> Result<Box<dyn FeedConnection>, StoreError> {
        self.backend.feed.connect(source).await
    }

    async fn tails(&self, topics: &[Topic]) -> Result<Vec<Cursor>, StoreError> {
        self.backend.feed.tails(topics).await
    }

    async fn read_after(&self, topic: Topic, after: Cursor, limit: usize) -> Result<LogRead, StoreError> {
        self.change().await;
        self.backend.feed.read_after(topic, after, limit.min(3)).await
    }

    async fn newest(&self, topic: Topic, limit: usize) -> Result<Option<Vec<Arc<Event>>>, StoreError> {
        self.backend.feed.newest(topic, limit).await
    }

    async fn before_newest(&self, topic: Topic, count: usize) -> Result<Option<Cursor>, StoreError> {
        self.backend.feed.before_newest(topic, count).await
    }

    async fn probe(&self, source: Source, address: &str) -> Result<(), StoreError> {
        self.backend.feed.probe(source, address).await
    }

    async fn live_streams(&self, after: Option<&str>) -> Result<LivePage, StoreError> {
        self.backend.feed.live_streams(after).await
    }

    async fn stream_snapshot(&self, id: StreamId) -> Result<Snapshot, StoreError> {
        self.backend.feed.stream_snapshot(id).await
    }

    async fn participants_page(
        &self,
        id: StreamId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ParticipantsPage, StoreError> {
        self.change().await;
        let mut page = self.backend.feed.participants_page(id, after, limit.min(7)).await?;
        let mut pages = self.pages.lock().unwrap();
        *pages += 1;
        if matches!(self.disturbance, Disturbance::LostHistory { pages: lost } if *pages <= lost) {
            page.cursor = page.cursor.next(page.cursor.millis());
        }
        Ok(page)
    }
}

/// Returns the cursor, the participants, and whether the stream has more.
fn content(snapshot: &Snapshot) -> (Cursor, &[Participant], bool) {
    let SnapshotContent::Stream(Some(view)) = &snapshot.content else { panic!("a snapshot of a stream") };
    assert_eq!(view.cursor, snapshot.cursor);
    (snapshot.cursor, &view.participants, view.participants_truncated)
}

/// Reads all listed participants in pages.
async fn listed(backend: &Backend, id: StreamId) -> Vec<Participant> {
    let (mut all, mut next) = (Vec::new(), None::<String>);
    loop {
        let filter = ParticipantFilter::default();
        let page = backend.store.participants(id, filter, 1_000, next.as_deref()).await.unwrap();
        all.extend(page.items);
        next = page.next;
        if next.is_none() {
            return all;
        }
    }
}

async fn snapshot_of_stream_has_all_participants_of_a_truncated_document(backend: Backend) {
    let stream = stream_with(&backend, 60, 50_000).await;
    let document = backend.feed.stream_snapshot(stream.id).await.unwrap();
    let (_, first, is_truncated) = content(&document);
    assert!(is_truncated && first.len() < 30);
    let snapshot = snapshot_of_stream::read(&*backend.feed, stream.id).await.unwrap();
    assert_eq!(content(&snapshot), (document.cursor, &listed(&backend, stream.id).await[..], false));
}

async fn snapshot_of_stream_ends_after_1000_participants(backend: Backend) {
    let stream = stream_with(&backend, 1_005, 1_200).await;
    let snapshot = snapshot_of_stream::read(&*backend.feed, stream.id).await.unwrap();
    let (_, participants, is_truncated) = content(&snapshot);
    assert!(is_truncated && participants == &listed(&backend, stream.id).await[..1_000]);
}

async fn hosts(backend: &Backend, id: StreamId) -> Vec<Participant> {
    let mut hosts = listed(backend, id).await;
    hosts.retain(|participant| participant.role == Role::Host);
    hosts
}

async fn snapshot_of_counted_stream_has_all_participants_on_stage(backend: Backend) {
    let stream = created(&backend, AudienceMode::Counted, 0).await;
    fill(&backend, &stream, 90, 50_000).await;
    let document = backend.feed.stream_snapshot(stream.id).await.unwrap();
    assert!(content(&document).2);
    let snapshot = snapshot_of_stream::read(&*backend.feed, stream.id).await.unwrap();
    assert_eq!(content(&snapshot), (document.cursor, &hosts(&backend, stream.id).await[..], false));
}

async fn snapshot_of_stream_that_becomes_counted_meanwhile_has_the_stage(backend: Backend) {
    let stream = created(&backend, AudienceMode::Auto, 1).await;
    fill(&backend, &stream, 40, 50_000).await;
    for (who, sid) in [("p-0001", "PA_1"), ("p-0002", "PA_2")] {
        let viewer = Session { role: Some(Role::Viewer), ..session(who, sid, 1) };
        let feed = DisturbedFeed::new(&backend, &stream, Disturbance::One(Box::new(Change::Connect(viewer))));
        let snapshot = snapshot_of_stream::read(&feed, stream.id).await.unwrap();
        let current = backend.store.get(stream.id).await.unwrap().unwrap();
        let expected = match current.audience {
            Audience::Listed => listed(&backend, stream.id).await,
            Audience::Counted => hosts(&backend, stream.id).await,
        };
        let expected_audience = if sid == "PA_1" { Audience::Listed } else { Audience::Counted };
        assert_eq!(current.audience, expected_audience);
        assert_eq!(content(&snapshot).1, expected);
        assert!(!content(&snapshot).2);
    }
}

async fn snapshot_of_stream_read_during_changes_equals_state_at_its_cursor(backend: Backend) {
    let stream = stream_with(&backend, KNOWN, LARGE).await;
    let feed = DisturbedFeed::new(&backend, &stream, Disturbance::Changes);
    let mut snapshots = Vec::new();
    for _ in 0..4 {
        snapshots.push(snapshot_of_stream::read(&feed, stream.id).await.unwrap());
    }
    let (log, _) = backend.pages(Topic::Stream(stream.id), Cursor::ORIGIN, 1_000).await;
    for snapshot in &snapshots {
        let (cursor, participants, is_truncated) = content(snapshot);
        let until = log.partition_point(|event| event.cursor <= cursor);
        assert_eq!(log[until - 1].cursor, cursor, "the cursor of an event");
        assert_eq!(participants, fold(&log[..until]), "as of {cursor}");
        assert!(!is_truncated);
        let SnapshotContent::Stream(Some(view)) = &snapshot.content else { unreachable!() };
        assert_eq!(view.stream.version, log[until - 1].seq());
    }
    let is_read_again = |pair: &[Snapshot]| pair[0].cursor < pair[1].cursor;
    assert!(snapshots.windows(2).all(is_read_again), "changes were made between the snapshots");
}

/// Returns the participants after some events, in list order.
fn fold(events: &[Arc<Event>]) -> Vec<Participant> {
    let mut participants = BTreeMap::new();
    for event in events {
        let Some(participant) = &event.draft.participant else { continue };
        participants.insert(participant.identity.clone(), participant.clone());
        if event.draft.removed {
            participants.remove(&participant.identity);
        }
    }
    let mut listed: Vec<_> = participants.into_values().collect();
    listed.sort_by_key(Participant::list_key);
    listed
}

async fn snapshot_of_stream_with_pages_from_lost_history_begins_again(backend: Backend) {
    let stream = stream_with(&backend, 40, 50_000).await;
    let feed = DisturbedFeed::new(&backend, &stream, Disturbance::LostHistory { pages: 2 });
    let snapshot = snapshot_of_stream::read(&feed, stream.id).await.unwrap();
    assert_eq!(content(&snapshot).1, listed(&backend, stream.id).await);
}

async fn snapshot_of_stream_that_never_matches_its_log_is_unavailable(backend: Backend) {
    let stream = stream_with(&backend, 40, 50_000).await;
    let feed = DisturbedFeed::new(&backend, &stream, Disturbance::LostHistory { pages: usize::MAX });
    let result = snapshot_of_stream::read(&feed, stream.id).await;
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
}

async fn snapshot_of_stream_that_does_not_exist_is_empty(backend: Backend) {
    let snapshot = snapshot_of_stream::read(&*backend.feed, StreamId::generate()).await.unwrap();
    assert!(matches!(snapshot.content, SnapshotContent::Stream(None)));
}
