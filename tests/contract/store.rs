//! What every store must hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use livestream_orchestrator::{
    domain::{
        Attributes, Change, Cursor, Event, EventKind, Identity, Metadata, Participant, ParticipantKind,
        ParticipantSid, ParticipantState, Rejection, Role, RoomName, RoomSid, Session, StopReason, Stream,
        StreamId, StreamRef, StreamStatus, Timestamp, Topic, Track, TrackSource, Tracks, change::Effect,
        stream::NewStream,
    },
    store::{
        Applied, CreateOutcome, DedupKey, EventFeed, FeedMessage, Guard, IdempotencyStore, KindFilter, Lease,
        LogRead, Lost, ParticipantFilter, RateLimitStore, Retention, ScheduledJob, SnapshotContent, Store,
        StoreError, StreamFilter,
        memory::MemoryStore,
        redis::{Address, RedisStore},
    },
    telemetry::Metrics,
};

use crate::support::{servers::shared_redis, unique, within};

/// A store with its feed.
#[derive(Clone)]
pub struct Backend {
    pub store: Arc<dyn Store>,
    pub feed: Arc<dyn EventFeed>,
    pub answers: Arc<dyn IdempotencyStore>,
    pub quota: Arc<dyn RateLimitStore>,
}

pub const RETENTION: Retention = Retention {
    live: Duration::from_secs(3600),
    stopped: Duration::from_secs(300),
    tokens: Duration::from_secs(600),
};

impl Backend {
    pub fn memory(retention: Retention) -> Self {
        let store = Arc::new(MemoryStore::on_system_clock(retention));
        Self::of(store)
    }

    fn of<S: Store + EventFeed + IdempotencyStore + RateLimitStore + 'static>(store: Arc<S>) -> Self {
        Self { store: store.clone(), feed: store.clone(), answers: store.clone(), quota: store }
    }

    pub fn redis(prefix: &str, retention: Retention) -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let address = Address { url: shared_redis().into(), ca: None, identity: None };
        let store = Arc::new(RedisStore::new(&address, prefix, retention, metrics).unwrap());
        Self::of(store)
    }

    pub async fn create(&self, room: &str) -> Stream {
        match self.store.create(new_stream(room)).await.unwrap() {
            CreateOutcome::Created(stream) => stream,
            other => panic!("the room name is taken: {other:?}"),
        }
    }

    /// A stream in status active with the room sid `RM_1`.
    pub async fn active(&self, room: &str) -> StreamRef {
        let stream = self.create(room).await.reference();
        self.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
        stream
    }

    pub async fn apply(&self, stream: &StreamRef, change: Change) -> Result<Applied, StoreError> {
        self.store.apply(stream, change, Guard::default()).await
    }

    pub async fn change(&self, stream: &StreamRef, change: Change) -> Applied {
        self.apply(stream, change).await.unwrap()
    }

    pub async fn stop(&self, stream: &StreamRef) -> Stream {
        self.change(stream, Change::BeginStop { reason: StopReason::Requested, room_sid: None }).await;
        loop {
            let applied = self.change(stream, Change::Close).await;
            if applied.effect != Effect::Partial {
                return applied.stream;
            }
        }
    }

    /// Everything after a cursor, and the size of each page that it took.
    pub async fn pages(&self, topic: Topic, after: Cursor, limit: usize) -> (Vec<Arc<Event>>, Vec<usize>) {
        let (mut all, mut sizes, mut last) = (Vec::new(), Vec::new(), after);
        loop {
            let LogRead::Events { events, complete } =
                self.feed.read_after(topic, last, limit).await.unwrap()
            else {
                panic!("{last} was given out")
            };
            assert!(events.len() <= limit && (complete || !events.is_empty()));
            last = events.last().map_or(last, |event| event.cursor);
            sizes.push(events.len());
            all.extend(events);
            if complete {
                return (all, sizes);
            }
        }
    }

    pub async fn log(&self, id: StreamId) -> Vec<Arc<Event>> {
        self.feed.newest(Topic::Stream(id), 1_000).await.unwrap()
    }
}

pub fn new_stream(room: &str) -> NewStream {
    NewStream {
        id: StreamId::generate(),
        room_name: RoomName::parse(room).unwrap(),
        metadata: Metadata::default(),
        max_participants: None,
        idle_after: Some(Duration::from_secs(600)),
    }
}

pub fn identity(text: &str) -> Identity {
    Identity::parse(text).unwrap()
}

pub fn session(who: &str, sid: &str, joined_at: i64) -> Session {
    Session {
        room_sid: "RM_1".into(),
        sid: sid.into(),
        identity: identity(who),
        name: None,
        role: None,
        metadata: None,
        attributes: Attributes::default(),
        kind: ParticipantKind::Standard,
        hidden: false,
        joined_at: Some(Timestamp::from_millis(joined_at)),
        tracks: Tracks::default(),
    }
}

pub fn token(who: &str, joining_ttl: Duration) -> Change {
    let (identity, attributes) = (identity(who), None);
    Change::IssueToken { identity, name: None, role: Role::Host, metadata: None, attributes, joining_ttl }
}

/// The end of a stream's operation lock.
async fn held_until(backend: &Backend, stream: &StreamRef) -> Timestamp {
    backend.store.get(stream.id).await.unwrap().unwrap().lock_expires_at.unwrap()
}

pub fn left(who: &str, sid: Option<&str>) -> Change {
    Change::Disconnect { identity: identity(who), sid: sid.map(Into::into), at: None }
}

fn kinds(log: &[Arc<Event>]) -> Vec<EventKind> {
    log.iter().map(|event| event.draft.kind).collect()
}

/// Numbered from 1 without a gap, each naming the one before, the stream's version the event's number.
fn assert_unbroken(log: &[Arc<Event>]) {
    let mut previous = Cursor::ORIGIN;
    for (position, event) in log.iter().enumerate() {
        assert_eq!(event.seq(), position as u64 + 1);
        assert_eq!(event.previous, previous);
        assert!(event.cursor > previous);
        previous = event.cursor;
    }
}

/// Runs every test below on both backends.
macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod on_memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Backend::memory(super::RETENTION)).await;
            })*
        }
        mod on_redis {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Backend::redis(&super::unique("store"), super::RETENTION)).await;
            })*
        }
    };
}

suite!(
    a_life_is_told_event_by_event,
    a_room_name_is_held_until_the_end,
    stop_of_failed_stream_changes_nothing,
    of_concurrent_creations_one_wins,
    concurrent_joins_are_all_there_and_counted_once,
    a_guarded_write_is_never_lost_silently,
    metadata_changes_only_what_was_read,
    a_late_word_of_an_older_session_changes_nothing,
    who_has_left_does_not_come_back_with_the_same_session,
    a_new_session_of_the_same_identity_replaces_the_old,
    another_room_of_the_same_name_is_not_ours,
    the_same_event_counts_once,
    a_full_stream_takes_nobody_else,
    closing_lets_everybody_go_in_batches,
    an_unused_token_expires,
    an_empty_stream_is_due,
    one_at_a_time_creates_or_stops,
    nobody_is_there_before_the_room_is,
    operation_lock_is_renewed_and_released_by_its_holder_alone,
    page_cursor_of_a_viewer_has_no_hidden_identity,
    lists_page_through_everything_once,
    participants_page_through_everybody_once,
    the_log_continues_from_every_position,
    livekits_list_corrects_what_is_older_than_it,
    tracks_are_kept_while_they_are_published,
    one_at_a_time_has_the_lease,
    a_lease_that_is_not_renewed_lapses,
    what_is_suspected_is_believed_when_it_is_seen_again,
    the_name_of_a_room_that_is_over_can_be_held,
    a_log_is_read_in_pages_and_from_its_newest,
    what_is_published_is_what_is_logged,
    a_snapshot_is_exactly_as_of_its_cursor,
    totals_are_those_of_the_whole_service,
    nothing_is_said_of_what_is_not_there,
);

async fn a_life_is_told_event_by_event(backend: Backend) {
    let stream = backend.active("life").await;
    backend.change(&stream, token("ann", Duration::from_secs(60))).await;
    backend.change(&stream, Change::Connect(session("ann", "PA_1", 1))).await;
    backend.change(&stream, left("ann", Some("PA_1"))).await;
    let stopped = backend.stop(&stream).await;
    let log = backend.log(stream.id).await;
    assert_unbroken(&log);
    assert_eq!(
        kinds(&log),
        [
            EventKind::StreamCreated,
            EventKind::StreamUpdated,
            EventKind::ParticipantUpdated,
            EventKind::ParticipantJoined,
            EventKind::ParticipantLeft,
            EventKind::StreamUpdated,
            EventKind::StreamStopped,
        ]
    );
    let last = log.last().unwrap();
    assert_eq!((last.draft.reason.as_deref(), &last.draft.stream), (Some("requested"), &stopped));
    assert_eq!(stopped.stopped_at, Some(stopped.updated_at));
    assert_eq!((stopped.participant_count, stopped.peak_participant_count), (0, 1));
    for change in [Change::Activate { room_sid: "RM_1".into() }, Change::Fail { reason: "x".to_owned() }] {
        let refused = backend.apply(&stream, change).await;
        assert!(matches!(refused, Err(StoreError::Rejected(Rejection::InvalidTransition { .. }))));
    }
    assert_eq!(backend.stop(&stream).await, stopped, "stopping again changes nothing");
}

async fn a_room_name_is_held_until_the_end(backend: Backend) {
    let first = backend.active("held").await;
    let again = backend.store.create(new_stream("held")).await.unwrap();
    assert!(matches!(again, CreateOutcome::Existing(stream) if stream.id == first.id));
    backend.stop(&first).await;
    assert_eq!(
        backend.store.id_of_room(&first.room_name).await.unwrap(),
        Some(first.id),
        "still found by its name"
    );
    let second = backend.create("held").await;
    assert_eq!(backend.store.id_of_room(&first.room_name).await.unwrap(), Some(second.id));
    backend.change(&second.reference(), Change::Fail { reason: "x".to_owned() }).await;
    let third = backend.create("held").await;
    assert_ne!(third.id, second.id, "an error frees the name");
}

async fn stop_of_failed_stream_changes_nothing(backend: Backend) {
    let stream = backend.create("failed").await.reference();
    let failed = backend.change(&stream, Change::Fail { reason: "x".to_owned() }).await.stream;
    for room_sid in [None, Some(RoomSid::from("RM_1"))] {
        for reason in [StopReason::Requested, StopReason::RoomFinished, StopReason::Idle] {
            let begin = Change::BeginStop { reason, room_sid: room_sid.clone() };
            let stop = backend.change(&stream, begin).await;
            assert_eq!((stop.effect, &stop.stream), (Effect::Unchanged, &failed), "{reason:?}");
        }
    }
    assert_eq!(backend.log(stream.id).await.len(), 2, "no event after the failure");
}

async fn of_concurrent_creations_one_wins(backend: Backend) {
    let creations = join_all((0..20).map(|_| backend.store.create(new_stream("race")))).await;
    let new = creations.iter().filter(|created| matches!(created, Ok(CreateOutcome::Created(_)))).count();
    let ids: HashSet<_> = creations
        .into_iter()
        .map(|created| match created.unwrap() {
            CreateOutcome::Created(stream) | CreateOutcome::Existing(stream) => stream.id,
            CreateOutcome::RoomNameLocked => panic!("nobody holds it"),
        })
        .collect();
    assert_eq!((new, ids.len()), (1, 1));
}

async fn concurrent_joins_are_all_there_and_counted_once(backend: Backend) {
    let stream = backend.active("joins").await;
    let join = |n: usize| {
        let (backend, stream) = (backend.clone(), stream.clone());
        async move {
            let (who, sid) = (format!("p{n}"), format!("PA_{n}"));
            backend.change(&stream, token(&who, Duration::from_secs(60))).await;
            // Twice, as webhooks come.
            backend.change(&stream, Change::Connect(session(&who, &sid, 1))).await;
            backend.change(&stream, Change::Connect(session(&who, &sid, 1))).await;
        }
    };
    join_all((0..200).map(join)).await;
    let view = backend.store.view(stream.id).await.unwrap().unwrap();
    assert_eq!((view.stream.participant_count, view.stream.peak_participant_count), (200, 200));
    assert_eq!(view.participants.len(), 200);
    assert!(view.participants.iter().all(Participant::is_active));
    let log = backend.log(stream.id).await;
    assert_unbroken(&log);
    assert_eq!(kinds(&log).iter().filter(|kind| **kind == EventKind::ParticipantJoined).count(), 200);
}

async fn a_guarded_write_is_never_lost_silently(backend: Backend) {
    let stream = backend.active("guarded").await;
    let write = |n: usize| {
        let (backend, stream) = (backend.clone(), stream.clone());
        async move {
            let metadata = Metadata::parse(&format!(r#"{{"n":{n}}}"#)).unwrap();
            let change = Change::SetMetadata { expected: Metadata::default(), metadata };
            backend
                .store
                .apply(&stream, change, Guard { version: Some(2), dedup_key: None, lease: None })
                .await
        }
    };
    let results = join_all((0..20).map(write)).await;
    let mismatch = |result: &Result<Applied, StoreError>| {
        matches!(result, Err(StoreError::Rejected(Rejection::VersionMismatch { current: 3 })))
    };
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(results.iter().filter(|result| mismatch(result)).count(), 19);
    assert_eq!(backend.log(stream.id).await.len(), 3);
}

async fn metadata_changes_only_what_was_read(backend: Backend) {
    let stream = backend.active("metadata").await;
    let metadata = |n: u32| {
        Metadata::parse(&format!(r#"{{"n":{n},"empty":[],"big":12345678901234567890123.10}}"#)).unwrap()
    };
    let set = |expected, metadata| Change::SetMetadata { expected, metadata };
    let applied = backend.change(&stream, set(Metadata::default(), metadata(1))).await;
    assert_eq!(applied.stream.metadata, metadata(1));
    let stale = backend.apply(&stream, set(Metadata::default(), metadata(2))).await;
    assert!(matches!(stale, Err(StoreError::Rejected(Rejection::MetadataChanged))));
    assert_eq!(backend.change(&stream, set(metadata(1), metadata(1))).await.effect, Effect::Unchanged);
    assert_eq!(backend.log(stream.id).await.last().unwrap().draft.stream.metadata, metadata(1));
}

async fn a_late_word_of_an_older_session_changes_nothing(backend: Backend) {
    let stream = backend.active("late").await;
    backend.change(&stream, Change::Connect(session("ann", "PA_2", 200))).await;
    for late in
        [Change::Connect(session("ann", "PA_1", 100)), left("ann", Some("PA_1")), left("bob", Some("PA_9"))]
    {
        assert_eq!(backend.change(&stream, late).await.effect, Effect::Unchanged);
    }
    let ann = backend.store.participant(stream.id, "ann").await.unwrap().unwrap();
    assert_eq!(
        (ann.state, ann.sid.as_ref().map(ParticipantSid::as_str)),
        (ParticipantState::Active, Some("PA_2"))
    );
    assert_eq!(ann.joined_at, Timestamp::from_millis(200), "LiveKit's own time");
}

async fn who_has_left_does_not_come_back_with_the_same_session(backend: Backend) {
    let stream = backend.active("tombstone").await;
    assert_eq!(backend.change(&stream, left("ann", Some("PA_1"))).await.effect, Effect::Unchanged);
    let joined = backend.change(&stream, Change::Connect(session("ann", "PA_1", 1))).await;
    assert_eq!((joined.effect, joined.stream.participant_count), (Effect::Unchanged, 0));
    let joined = backend.change(&stream, Change::Connect(session("ann", "PA_2", 2))).await;
    assert_eq!((joined.effect, joined.stream.participant_count), (Effect::Changed, 1));
}

async fn a_new_session_of_the_same_identity_replaces_the_old(backend: Backend) {
    let stream = backend.active("replaced").await;
    backend.change(&stream, Change::Connect(session("ann", "PA_1", 1))).await;
    let second = backend.change(&stream, Change::Connect(session("ann", "PA_2", 2))).await;
    assert_eq!((second.stream.participant_count, second.stream.peak_participant_count), (1, 1));
    assert_eq!(second.participant.unwrap().sid.as_ref().map(ParticipantSid::as_str), Some("PA_2"));
    assert_eq!(backend.change(&stream, left("ann", Some("PA_1"))).await.effect, Effect::Unchanged);
    let told = kinds(&backend.log(stream.id).await)[2..].to_vec();
    assert_eq!(
        told,
        [EventKind::ParticipantJoined, EventKind::ParticipantLeft, EventKind::ParticipantJoined]
    );
}

async fn another_room_of_the_same_name_is_not_ours(backend: Backend) {
    let stream = backend.active("other").await;
    let mut stranger = session("ann", "PA_1", 1);
    stranger.room_sid = "RM_2".into();
    assert_eq!(backend.change(&stream, Change::Connect(stranger)).await.effect, Effect::Unchanged);
    let finished = Change::BeginStop { reason: StopReason::RoomFinished, room_sid: Some("RM_2".into()) };
    let applied = backend.change(&stream, finished).await;
    assert_eq!((applied.effect, applied.stream.status), (Effect::Unchanged, StreamStatus::Active));
}

async fn the_same_event_counts_once(backend: Backend) {
    let stream = backend.active("once").await;
    let guard =
        || Guard { version: None, dedup_key: Some(DedupKey::Webhook("EV_1".to_owned())), lease: None };
    let connect = || Change::Connect(session("ann", "PA_1", 1));
    let first = backend.store.apply(&stream, connect(), guard()).await.unwrap();
    let again = backend.store.apply(&stream, left("ann", None), guard()).await.unwrap();
    assert_eq!((first.effect, again.effect), (Effect::Changed, Effect::Duplicate));
    assert_eq!(again.stream.participant_count, 1);
}

async fn a_full_stream_takes_nobody_else(backend: Backend) {
    let new = NewStream { max_participants: Some(1), ..new_stream("full") };
    let CreateOutcome::Created(stream) = backend.store.create(new).await.unwrap() else { panic!("taken") };
    let stream = stream.reference();
    let early = backend.apply(&stream, token("ann", Duration::from_secs(60))).await;
    assert!(matches!(
        early,
        Err(StoreError::Rejected(Rejection::NotActive { status: StreamStatus::Creating }))
    ));
    backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
    backend.change(&stream, Change::Connect(session("ann", "PA_1", 1))).await;
    let refused = backend.apply(&stream, token("bob", Duration::from_secs(60))).await;
    assert!(matches!(refused, Err(StoreError::Rejected(Rejection::Full { max: 1 }))));
    let known = backend.change(&stream, token("ann", Duration::from_secs(60))).await;
    assert_eq!(known.effect, Effect::Unchanged, "who is in may have another token");
    backend.stop(&stream).await;
    let late = backend.apply(&stream, token("ann", Duration::from_secs(60))).await;
    assert!(matches!(
        late,
        Err(StoreError::Rejected(Rejection::NotActive { status: StreamStatus::Stopped }))
    ));
}

async fn closing_lets_everybody_go_in_batches(backend: Backend) {
    let stream = backend.active("closing").await;
    for n in 0..120 {
        backend.change(&stream, Change::Connect(session(&format!("p{n}"), &format!("PA_{n}"), 1))).await;
    }
    backend.change(&stream, token("late", Duration::from_secs(60))).await;
    backend.change(&stream, Change::BeginStop { reason: StopReason::Requested, room_sid: None }).await;
    assert_eq!(backend.change(&stream, Change::Close).await.effect, Effect::Partial);
    let stopped = backend.stop(&stream).await;
    assert_eq!((stopped.status, stopped.participant_count), (StreamStatus::Stopped, 0));
    let log = backend.log(stream.id).await;
    assert_unbroken(&log);
    let count = |kind| kinds(&log).iter().filter(|told| **told == kind).count();
    assert_eq!((count(EventKind::ParticipantJoined), count(EventKind::ParticipantLeft)), (120, 120));
    assert_eq!(log.last().unwrap().draft.kind, EventKind::StreamStopped);
    let present = backend
        .store
        .participants(stream.id, ParticipantFilter::state(ParticipantState::Disconnected), 1_000, None)
        .await
        .unwrap();
    assert_eq!(present.items.len(), 121, "nobody is shown as present in a stopped stream");
}

async fn an_unused_token_expires(backend: Backend) {
    let stream = backend.active("expiry").await;
    backend.change(&stream, Change::Connect(session("back", "PA_1", 1))).await;
    backend.change(&stream, left("back", Some("PA_1"))).await;
    let before = backend.store.participant(stream.id, "back").await.unwrap().unwrap();
    let before = Participant { sid: None, ..before };
    for who in ["ann", "back"] {
        backend.change(&stream, token(who, Duration::ZERO)).await;
    }
    backend.change(&stream, token("waiting", Duration::from_secs(60))).await;
    assert!(
        backend.store.scheduled_jobs(10).await.unwrap().contains(&ScheduledJob::ExpireJoining(stream.id))
    );
    assert_eq!(backend.change(&stream, Change::ExpireJoining).await.effect, Effect::Changed);
    assert!(
        !backend.store.scheduled_jobs(10).await.unwrap().contains(&ScheduledJob::ExpireJoining(stream.id))
    );
    assert_eq!(backend.store.participant(stream.id, "ann").await.unwrap(), None);
    let back = backend.store.participant(stream.id, "back").await.unwrap().unwrap();
    assert_eq!(Participant { changed_at: before.changed_at, ..back }, before, "back to the visit before");
    let waiting = backend.store.participant(stream.id, "waiting").await.unwrap().unwrap();
    assert_eq!(waiting.state, ParticipantState::Joining);
    let log = backend.log(stream.id).await;
    let told: Vec<_> =
        log.iter().rev().take(2).map(|event| event.draft.participant.clone().unwrap()).collect();
    assert!(told.iter().all(|participant| participant.state == ParticipantState::Disconnected));
    assert_eq!(backend.change(&stream, Change::ExpireJoining).await.effect, Effect::Unchanged);
}

async fn an_empty_stream_is_due(backend: Backend) {
    let new = NewStream { idle_after: Some(Duration::ZERO), ..new_stream("idle") };
    let CreateOutcome::Created(stream) = backend.store.create(new).await.unwrap() else { panic!("taken") };
    let stream = stream.reference();
    backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
    assert_eq!(backend.store.scheduled_jobs(10).await.unwrap(), [ScheduledJob::StopIdle(stream.id)]);
    backend.change(&stream, Change::Connect(session("ann", "PA_1", 1))).await;
    assert_eq!(backend.store.scheduled_jobs(10).await.unwrap(), []);
    let idle = || Change::BeginStop { reason: StopReason::Idle, room_sid: None };
    assert_eq!(backend.change(&stream, idle()).await.effect, Effect::Unchanged, "somebody is in it");
    backend.change(&stream, left("ann", None)).await;
    assert_eq!(backend.store.scheduled_jobs(10).await.unwrap(), [ScheduledJob::StopIdle(stream.id)]);
    assert_eq!(backend.change(&stream, idle()).await.stream.status, StreamStatus::Stopping);
    let forever = NewStream { idle_after: None, ..new_stream("forever") };
    let CreateOutcome::Created(forever) = backend.store.create(forever).await.unwrap() else {
        panic!("taken")
    };
    backend.change(&forever.reference(), Change::Activate { room_sid: "RM_1".into() }).await;
    assert_eq!(backend.store.scheduled_jobs(10).await.unwrap(), []);
}

async fn operation_lock_is_renewed_and_released_by_its_holder_alone(backend: Backend) {
    let stream = backend.create("locked").await.reference();
    let first = held_until(&backend, &stream).await;
    let renewed = backend.change(&stream, Change::RenewLock { until: first }).await;
    assert_eq!(renewed.effect, Effect::Changed);
    // The answer was lost: the holder knows the end from before.
    assert_eq!(backend.change(&stream, Change::RenewLock { until: first }).await.effect, Effect::Changed);
    assert_eq!(backend.change(&stream, Change::ReleaseLock { until: first }).await.effect, Effect::Changed);
    backend.change(&stream, Change::AcquireLock).await;
    let second = held_until(&backend, &stream).await;
    // A holder whose lock ran out long ago has no part in the lock of the next one.
    let stale = second.minus(livestream_orchestrator::domain::stream::OPERATION_LOCK);
    for change in [Change::RenewLock { until: stale }, Change::ReleaseLock { until: stale }] {
        assert_eq!(backend.change(&stream, change).await.effect, Effect::Unchanged);
    }
    assert_eq!(held_until(&backend, &stream).await, second);
}

async fn page_cursor_of_a_viewer_has_no_hidden_identity(backend: Backend) {
    let stream = backend.active("hidden").await;
    for (n, (who, hidden)) in
        [("rec-1", false), ("secret-1", true), ("rec-2", false), ("secret-2", true)].into_iter().enumerate()
    {
        let kind = ParticipantKind::Egress;
        let session = Session { kind, hidden, ..session(who, &format!("PA_{n}"), 10 - n as i64) };
        backend.change(&stream, Change::Connect(session)).await;
    }
    let kind = Some(KindFilter::Kind(ParticipantKind::Egress));
    for (shows_hidden, count) in [(false, 2), (true, 4)] {
        let filter = ParticipantFilter { kind, shows_hidden, state: None };
        let (mut listed, mut after) = (0, None::<String>);
        loop {
            let page = backend.store.participants(stream.id, filter, 1, after.as_deref()).await.unwrap();
            listed += page.items.len();
            after = page.next;
            let Some(next) = &after else { break };
            assert!(shows_hidden || !next.contains("secret"), "{next}");
        }
        assert_eq!(listed, count);
    }
    let hidden = ParticipantFilter { kind: Some(KindFilter::Hidden), ..ParticipantFilter::default() };
    assert!(backend.store.participants(stream.id, hidden, 10, None).await.unwrap().items.is_empty());
}

async fn one_at_a_time_creates_or_stops(backend: Backend) {
    let creating = backend.create("claimed").await.reference();
    assert_eq!(
        backend.change(&creating, Change::AcquireLock).await.effect,
        Effect::Unchanged,
        "its creator is at it"
    );
    assert_eq!(
        backend
            .change(&creating, Change::ReleaseLock { until: held_until(&backend, &creating).await })
            .await
            .effect,
        Effect::Changed
    );
    let claims = join_all((0..10).map(|_| backend.change(&creating, Change::AcquireLock))).await;
    assert_eq!(claims.iter().filter(|claim| claim.effect == Effect::Changed).count(), 1);
    let active = backend.active("active").await;
    assert_eq!(
        backend.change(&active, Change::AcquireLock).await.effect,
        Effect::Unchanged,
        "there is nothing to finish"
    );
    let begin = || Change::BeginStop { reason: StopReason::Requested, room_sid: None };
    let stops = join_all((0..10).map(|_| backend.change(&active, begin()))).await;
    assert_eq!(
        stops.iter().filter(|stop| stop.effect == Effect::Changed).count(),
        1,
        "who stops it has claimed it"
    );
    assert_eq!(backend.change(&active, Change::AcquireLock).await.effect, Effect::Unchanged);
    assert_eq!(backend.log(active.id).await.len(), 3, "claims are nobody's business but ours");
}

async fn nobody_is_there_before_the_room_is(backend: Backend) {
    let stream = backend.create("early").await.reference();
    let mut stale = session("ghost", "PA_1", 1);
    stale.room_sid = "RM_old".into();
    // Not taken for handled: LiveKit is to say it again when the room's sid is known.
    let early = backend.store.apply(&stream, Change::Connect(stale.clone()), Guard::default()).await;
    assert!(matches!(early, Err(StoreError::Rejected(Rejection::NotActive { .. }))), "{early:?}");
    let mut ahead = session("ann", "PA_2", i64::MAX);
    backend.change(&stream, Change::Activate { room_sid: "RM_1".into() }).await;
    assert_eq!(backend.change(&stream, Change::Connect(stale)).await.effect, Effect::Unchanged);
    backend.change(&stream, Change::Connect(ahead.clone())).await;
    backend.change(&stream, left("ann", Some("PA_2"))).await;
    ahead.sid = "PA_3".into();
    let again = backend.change(&stream, Change::Connect(ahead)).await;
    assert_eq!(
        (again.effect, again.stream.participant_count),
        (Effect::Changed, 1),
        "a clock that is ahead locks nobody out"
    );
}

async fn lists_page_through_everything_once(backend: Backend) {
    let mut streams = Vec::new();
    for n in 0..25 {
        streams.push(backend.active(&format!("room{n}")).await);
    }
    backend.stop(&streams[3]).await;
    for (filter, expected) in [
        (StreamFilter::All, 25),
        (StreamFilter::NotStopped, 24),
        (StreamFilter::Status(StreamStatus::Active), 24),
        (StreamFilter::Status(StreamStatus::Stopped), 1),
        (StreamFilter::Status(StreamStatus::Error), 0),
    ] {
        for limit in [1, 7, 25, 1_000] {
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let page = backend.store.list(filter, limit, after.as_deref()).await.unwrap();
                assert!(page.items.len() <= limit);
                listed.extend(page.items);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(listed.len(), expected, "{filter:?} by {limit}");
            assert!(listed.windows(2).all(|pair| pair[0].id > pair[1].id), "newest first");
        }
    }
}

async fn participants_page_through_everybody_once(backend: Backend) {
    let stream = backend.active("people").await;
    for n in 0..30 {
        let mut arrival = session(&format!("p{n}"), &format!("PA_{n}"), i64::from(n / 3));
        arrival.role = Some(if n % 2 == 0 { Role::Host } else { Role::Viewer });
        backend.change(&stream, Change::Connect(arrival)).await;
    }
    for n in 0..5 {
        backend.change(&stream, left(&format!("p{n}"), None)).await;
    }
    let expected: Vec<_> = {
        let mut all = backend.store.view(stream.id).await.unwrap().unwrap().participants.clone();
        all.sort_by_key(Participant::list_key);
        all
    };
    assert_eq!(backend.store.view(stream.id).await.unwrap().unwrap().participants, expected);
    for (state, count) in
        [(None, 30), (Some(ParticipantState::Active), 25), (Some(ParticipantState::Disconnected), 5)]
    {
        for limit in [1, 4, 30] {
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let filter = ParticipantFilter { state, ..ParticipantFilter::default() };
                let page =
                    backend.store.participants(stream.id, filter, limit, after.as_deref()).await.unwrap();
                listed.extend(page.items);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let wanted = expected.iter().filter(|one| state.is_none_or(|state| one.state == state));
            assert_eq!(listed.len(), count);
            assert!(listed.iter().eq(wanted), "{state:?} by {limit}");
        }
    }
}

async fn the_log_continues_from_every_position(backend: Backend) {
    let (one, two) = (backend.active("one").await, backend.active("two").await);
    for n in 0..10 {
        let stream = if n % 3 == 0 { &one } else { &two };
        backend.change(stream, Change::Connect(session(&format!("p{n}"), &format!("PA_{n}"), 1))).await;
    }
    let all = backend.feed.newest(Topic::All, 1_000).await.unwrap();
    assert_eq!(all.len(), 14);
    let positions = std::iter::once(Cursor::ORIGIN).chain(all.iter().map(|event| event.cursor));
    for after in positions {
        for topic in [Topic::All, Topic::Stream(one.id), Topic::Stream(two.id)] {
            let LogRead::Events { events, .. } = backend.feed.read_after(topic, after, 1_000).await.unwrap()
            else {
                panic!("{after} was given out")
            };
            let of_topic =
                |event: &&Arc<Event>| topic == Topic::All || topic == Topic::Stream(event.stream_id());
            let expected: Vec<_> =
                all.iter().filter(|event| event.cursor > after).filter(of_topic).cloned().collect();
            assert_eq!(events, expected, "{topic:?} after {after}");
        }
    }
    let newest = all.last().unwrap().cursor;
    for (cursor, lost) in [
        (newest.next(newest.millis() + 1), Lost::Future),
        (Cursor::new(1, 0), Lost::Unknown),
        (newest.next(newest.millis()), Lost::Future),
    ] {
        for topic in [Topic::All, Topic::Stream(one.id)] {
            let read = backend.feed.read_after(topic, cursor, 10).await.unwrap();
            assert!(
                matches!(read, LogRead::Lost(told) if told == lost),
                "{topic:?} after {cursor}: {read:?}"
            );
        }
    }
    let tails =
        backend.feed.tails(&[Topic::All, Topic::Stream(one.id), Topic::Stream(StreamId::generate())]).await;
    assert_eq!(tails.unwrap(), [newest, newest, Cursor::ORIGIN]);
}

async fn a_log_is_read_in_pages_and_from_its_newest(backend: Backend) {
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
    let nobody = Topic::Stream(StreamId::generate());
    assert_eq!(backend.feed.before_newest(nobody, 5).await.unwrap(), None);
}

async fn what_is_published_is_what_is_logged(backend: Backend) {
    let (heard, other) = (backend.active("heard").await, backend.active("other").await);
    let mut connection = backend.feed.connect().await.unwrap();
    let (own, all) = (Topic::Stream(heard.id), Topic::All);
    connection.subscribe(&[own, all]).await.unwrap();
    for n in 0..5 {
        for stream in [&heard, &other] {
            backend.change(stream, Change::Connect(session(&format!("p{n}"), &format!("PA_{n}"), 1))).await;
        }
    }
    let mut of_topic: [Vec<Arc<Event>>; 2] = Default::default();
    for _ in 0..15 {
        match within("a published event", connection.next()).await {
            Some(FeedMessage::Event(topic, event)) => of_topic[usize::from(topic == all)].push(event),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(of_topic[0], backend.log(heard.id).await[2..]);
    assert_eq!(of_topic[1], backend.feed.newest(all, 10).await.unwrap());
    connection.unsubscribe(&[own, all]).await.unwrap();
    backend.change(&heard, left("p0", None)).await;
    backend.feed.probe(connection.probe_address()).await.unwrap();
    assert!(
        matches!(within("the probe", connection.next()).await, Some(FeedMessage::Probe)),
        "nothing else came"
    );
}

async fn a_snapshot_is_exactly_as_of_its_cursor(backend: Backend) {
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
            seen.push(backend.feed.snapshot(topic).await.unwrap());
        }
        // The memory store never waits, and so never lets the writer run.
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    let log = backend.log(stream.id).await;
    for snapshot in seen {
        let (found, listed) = match snapshot.content {
            SnapshotContent::Stream(Some(view)) => (view.stream.clone(), Some(view.participants.len())),
            SnapshotContent::All(mut streams) => (streams.remove(0), None),
            SnapshotContent::Stream(None) => panic!("the stream is there"),
        };
        let as_of = log.iter().find(|event| event.cursor == snapshot.cursor).unwrap();
        assert_eq!(found, as_of.draft.stream);
        assert!(listed.is_none_or(|listed| listed == found.participant_count as usize));
    }
}

/// Everything that was recorded is old enough to be corrected, or none of it is.
async fn before(backend: &Backend, corrects: bool) -> Timestamp {
    let now = backend.store.now().await.unwrap();
    if corrects { now.plus(Duration::from_secs(60)) } else { now.minus(Duration::from_secs(60)) }
}

async fn livekits_list_corrects_what_is_older_than_it(backend: Backend) {
    let stream = backend.active("listed").await;
    let track = |sid: &str| Track { sid: sid.into(), source: TrackSource::Camera, muted: false };
    let listed = |sid: &str, at, tracks: &[&str]| Session {
        tracks: Tracks::new(tracks.iter().map(|sid| track(sid))),
        ..session("ann", sid, at)
    };
    let observe = async |session: Session, corrects| {
        let before = before(&backend, corrects).await;
        backend.change(&stream, Change::Observe { session, before }).await
    };
    // Somebody of whom no webhook told, however new the list.
    let joined = observe(listed("PA_1", 1_000, &["TR_1"]), false).await;
    assert_eq!(joined.effect, Effect::Changed);
    assert_eq!(joined.participant.unwrap().tracks.as_slice(), [track("TR_1")]);
    // What they publish, but only if the list is newer than what is recorded.
    assert_eq!(observe(listed("PA_1", 1_000, &[]), false).await.effect, Effect::Unchanged);
    assert_eq!(observe(listed("PA_1", 1_000, &[]), true).await.effect, Effect::Changed);
    assert_eq!(observe(listed("PA_1", 1_000, &[]), true).await.effect, Effect::Unchanged);
    // Who is not listed any more has left, under the same condition, and only in that session.
    let lose = async |sid: &str, corrects| {
        let before = before(&backend, corrects).await;
        let change = Change::Lose { identity: identity("ann"), sid: sid.into(), before };
        backend.change(&stream, change).await.effect
    };
    assert_eq!(lose("PA_1", false).await, Effect::Unchanged);
    assert_eq!(lose("PA_0", true).await, Effect::Unchanged);
    assert_eq!(lose("PA_1", true).await, Effect::Changed);
    assert_eq!(lose("PA_1", true).await, Effect::Unchanged);
    // A webhook does not bring them back, and neither does a list that may be older than their leaving.
    assert_eq!(
        backend.change(&stream, Change::Connect(listed("PA_1", 1_000, &[]))).await.effect,
        Effect::Unchanged
    );
    assert_eq!(observe(listed("PA_1", 1_000, &[]), false).await.effect, Effect::Unchanged);
    // But LiveKit that lists them long after is right.
    assert_eq!(observe(listed("PA_1", 1_000, &[]), true).await.effect, Effect::Changed);
    // A session that seems older changes nothing, unless LiveKit lists it long after: clocks are not the truth.
    assert_eq!(observe(listed("PA_0", 500, &[]), false).await.effect, Effect::Unchanged);
    assert_eq!(
        backend.change(&stream, Change::Connect(listed("PA_0", 500, &[]))).await.effect,
        Effect::Unchanged
    );
    assert_eq!(observe(listed("PA_0", 500, &[]), true).await.effect, Effect::Changed);
    // And a newer one takes its place.
    assert_eq!(observe(listed("PA_2", 2_000, &["TR_2"]), false).await.effect, Effect::Changed);
    let kinds = kinds(&backend.log(stream.id).await[2..]);
    use EventKind::{ParticipantJoined as Joined, ParticipantLeft as Left, ParticipantUpdated as Updated};
    assert_eq!(kinds, [Joined, Updated, Left, Joined, Left, Joined, Left, Joined]);
    assert_unbroken(&backend.log(stream.id).await);
}

async fn tracks_are_kept_while_they_are_published(backend: Backend) {
    let stream = backend.active("tracks").await;
    let track = |sid: &str, muted| Track { sid: sid.into(), source: TrackSource::Microphone, muted };
    let publish = async |sid: &str, track: Track| {
        let change = Change::Publish { identity: identity("ann"), sid: sid.into(), track };
        backend.change(&stream, change).await
    };
    let unpublish = async |sid: &str, track: &str| {
        let (sid, track) = (sid.into(), track.into());
        backend.change(&stream, Change::Unpublish { identity: identity("ann"), sid, track }).await
    };
    assert_eq!(publish("PA_1", track("TR_1", false)).await.effect, Effect::Unchanged, "nobody is there");
    backend.change(&stream, Change::Connect(session("ann", "PA_1", 1_000))).await;
    assert_eq!(publish("PA_2", track("TR_1", false)).await.effect, Effect::Unchanged, "another session");
    for (published, effect) in [
        (track("TR_2", false), Effect::Changed),
        (track("TR_2", false), Effect::Unchanged),
        (track("TR_1", true), Effect::Changed),
        (track("TR_2", true), Effect::Changed),
    ] {
        assert_eq!(publish("PA_1", published).await.effect, effect);
    }
    let told = unpublish("PA_1", "TR_1").await;
    assert_eq!(told.participant.unwrap().tracks.as_slice(), [track("TR_2", true)]);
    assert_eq!(publish("PA_1", track("TR_1", true)).await.effect, Effect::Unchanged, "late: it is over");
    assert_eq!(unpublish("PA_1", "TR_9").await.effect, Effect::Unchanged);
    assert_eq!(
        publish("PA_1", track("TR_9", true)).await.effect,
        Effect::Unchanged,
        "out of order: it is over"
    );
    let gone = backend.change(&stream, left("ann", Some("PA_1"))).await.participant.unwrap();
    assert!(gone.tracks.as_slice().is_empty());
}

async fn one_at_a_time_has_the_lease(backend: Backend) {
    let store = &backend.store;
    let (long, never) = (Duration::from_secs(60), Duration::ZERO);
    let takers = join_all((0..10).map(|_| store.take_lease(long, never))).await;
    let mut taken: Vec<_> = takers.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(taken.len(), 1);
    let lease = taken.remove(0);
    assert!(store.renew_lease(&lease, long).await.unwrap());
    let stream = backend.active("fenced").await;
    let by = |lease: &Lease| Guard { lease: Some(lease.clone()), ..Guard::default() };
    let join = |n: usize| Change::Connect(session(&format!("p{n}"), &format!("PA_{n}"), 1));
    store.apply(&stream, join(0), by(&lease)).await.unwrap();
    store.end_lease(&lease, None).await.unwrap();
    // Not again so soon; who has had it has it no more.
    assert_eq!(store.take_lease(long, long).await.unwrap(), None);
    assert!(!store.renew_lease(&lease, long).await.unwrap());
    let late = store.apply(&stream, join(1), by(&lease)).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    let next = store.take_lease(long, never).await.unwrap().unwrap();
    assert_ne!(next, lease);
    store.end_lease(&lease, None).await.unwrap();
    store.apply(&stream, join(2), by(&next)).await.unwrap();
    let late = store.apply(&stream, join(3), by(&lease)).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert_eq!(store.get(stream.id).await.unwrap().unwrap().participant_count, 2);
}

async fn a_lease_that_is_not_renewed_lapses(backend: Backend) {
    let lease = backend.store.take_lease(Duration::from_millis(30), Duration::ZERO).await.unwrap().unwrap();
    let next = crate::support::eventually("the lease", || async {
        backend.store.take_lease(Duration::from_secs(60), Duration::ZERO).await.unwrap()
    })
    .await;
    assert_ne!(lease, next);
    assert!(!backend.store.renew_lease(&lease, Duration::from_secs(60)).await.unwrap());
}

async fn what_is_suspected_is_believed_when_it_is_seen_again(backend: Backend) {
    let (store, wait) = (&backend.store, Duration::from_millis(50));
    assert!(!store.confirm_empty_listing(Duration::from_secs(60)).await.unwrap());
    assert!(!store.confirm_empty_listing(Duration::from_secs(60)).await.unwrap(), "too soon to count");
    store.clear_empty_listing().await.unwrap();
    assert!(!store.confirm_empty_listing(wait).await.unwrap());
    crate::support::eventually("the second time", || async {
        store.confirm_empty_listing(wait).await.unwrap().then_some(())
    })
    .await;
}

async fn the_name_of_a_room_that_is_over_can_be_held(backend: Backend) {
    let (store, ttl) = (&backend.store, Duration::from_secs(60));
    let room = RoomName::parse("over").unwrap();
    assert!(!store.lock_room_name(&room, ttl).await.unwrap(), "nobody ever had it");
    let stream = backend.active("over").await;
    assert!(!store.lock_room_name(&room, ttl).await.unwrap(), "a live stream has it");
    assert!(store.closed_rooms(10, 0).await.unwrap().is_empty());
    backend.stop(&stream).await;
    assert_eq!(store.closed_rooms(10, 0).await.unwrap(), std::slice::from_ref(&room));
    assert!(store.closed_rooms(10, 1).await.unwrap().is_empty());
    assert!(store.lock_room_name(&room, ttl).await.unwrap());
    assert!(!store.lock_room_name(&room, ttl).await.unwrap(), "somebody holds it");
    assert!(matches!(store.create(new_stream("over")).await, Ok(CreateOutcome::RoomNameLocked)));
    store.unlock_room_name(&room).await.unwrap();
    backend.create("over").await;
    assert!(!store.lock_room_name(&room, ttl).await.unwrap(), "a new stream has it");
    assert!(store.closed_rooms(10, 0).await.unwrap().is_empty());
}

async fn totals_are_those_of_the_whole_service(backend: Backend) {
    let (one, two) = (backend.active("one").await, backend.active("two").await);
    backend.create("three").await;
    for (stream, who) in [(&one, "a"), (&one, "b"), (&two, "a")] {
        backend.change(stream, Change::Connect(session(who, &format!("PA_{who}"), 1))).await;
    }
    let totals = backend.store.totals().await.unwrap();
    let of = |status| totals.streams.iter().find(|(of, _)| *of == status).unwrap().1;
    assert_eq!((of(StreamStatus::Creating), of(StreamStatus::Active), totals.participants), (1, 2, 3));
    backend.stop(&one).await;
    let totals = backend.store.totals().await.unwrap();
    let of = |status| totals.streams.iter().find(|(of, _)| *of == status).unwrap().1;
    assert_eq!((of(StreamStatus::Active), of(StreamStatus::Stopped), totals.participants), (1, 1, 1));
}

async fn nothing_is_said_of_what_is_not_there(backend: Backend) {
    let nobody = StreamRef { id: StreamId::generate(), room_name: RoomName::parse("none").unwrap() };
    assert!(matches!(backend.apply(&nobody, Change::Close).await, Err(StoreError::NotFound)));
    assert!(backend.store.get(nobody.id).await.unwrap().is_none());
    assert!(backend.store.view(nobody.id).await.unwrap().is_none());
    assert!(backend.store.id_of_room(&nobody.room_name).await.unwrap().is_none());
    assert!(backend.store.participant(nobody.id, "ann").await.unwrap().is_none());
    let people = backend.store.participants(nobody.id, ParticipantFilter::default(), 10, None).await;
    assert!(matches!(people, Err(StoreError::NotFound)));
    assert!(backend.log(nobody.id).await.is_empty());
    backend.store.ping().await.unwrap();
}
