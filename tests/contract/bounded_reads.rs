//! The Redis store on large data: what one call reads and writes is bounded, whatever the stream holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{
        Change, Cursor, Identity, Metadata, ParticipantKind, ParticipantMetadata, ParticipantState, Session,
        StopReason, StreamRef, Topic, block::MAX_BLOCKS, change::Effect, stream::NewStream,
    },
    store::{KindFilter, LogRead, PAGE_BYTES, ParticipantFilter, Retention, StreamFilter},
};
use redis::{AsyncCommands, aio::MultiplexedConnection};
use serde_json::json;

use crate::{
    backend::{Backend, RETENTION, new_stream, session},
    support::{eventually, servers::Redis, unique},
};

/// Entries that one command reads, see `participant_pages.lua`.
const ENTRY_BATCH: u64 = 8;
/// Size of large metadata.
const LARGE: usize = 59_000;

/// A store on a Redis of its own, whose statistics are those of the store.
struct Fixture {
    redis: Redis,
    connection: MultiplexedConnection,
    prefix: String,
    backend: Backend,
}

/// What Redis did during a call.
#[derive(Debug)]
struct Cost {
    entry_batches: u64,
    sent_bytes: u64,
}

impl Fixture {
    async fn start() -> Self {
        Self::with(RETENTION).await
    }

    async fn with(retention: Retention) -> Self {
        let (redis, prefix) = (Redis::start(), unique("bounds"));
        let client = redis::Client::open(redis.url()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        let backend = Backend::redis_at(&redis.url(), &prefix, retention);
        Self { redis, connection, prefix, backend }
    }

    fn key(&self, stream: &StreamRef, part: &str) -> String {
        format!("{{{}}}:stream:{}{part}", self.prefix, stream.id)
    }

    async fn number(&self, field: &str) -> u64 {
        let text = self.redis.info(field).await.unwrap_or_default();
        text.trim_start_matches("calls=").split(',').next().unwrap().parse().unwrap_or_default()
    }

    async fn cost<T>(&self, call: impl Future<Output = T>) -> (T, Cost) {
        let read = async || (self.number("cmdstat_hmget").await, self.number("total_net_output_bytes").await);
        let before = read().await;
        let result = call.await;
        let after = read().await;
        (result, Cost { entry_batches: after.0 - before.0, sent_bytes: after.1 - before.1 })
    }

    /// Writes entries as the scripts do, but without events.
    async fn write_participants(
        &mut self,
        stream: &StreamRef,
        count: usize,
        state: impl Fn(usize) -> ParticipantState,
        metadata: &str,
    ) {
        for first in (0..count).step_by(1_000) {
            let mut commands = redis::pipe();
            for n in first..count.min(first + 1_000) {
                let (identity, state) = (format!("p-{n:06}"), state(n));
                let entry = json!({"identity": identity, "role": "viewer", "state": state, "joinedAt": n,
                    "metadata": metadata});
                commands.hset(self.key(stream, ":participants"), &identity, entry.to_string()).ignore();
                let list_key = format!("1:{:016}:{identity}", 9_000_000_000_000_000 - n);
                commands.zadd(self.key(stream, &format!(":order:{state}")), list_key, 0).ignore();
            }
            let () = commands.query_async(&mut self.connection).await.unwrap();
        }
    }
}

#[tokio::test]
async fn pages_of_large_blocks_end_by_bytes() {
    let fixture = Fixture::start().await;
    let stream = fixture.backend.active("blocks").await;
    // Each control character takes six bytes in JSON.
    let long = "\u{1}".repeat(250);
    for n in 0..MAX_BLOCKS {
        let [who, by] = [format!("{n:03}{long}"), long.clone()].map(|one| Identity::reported(one).unwrap());
        let change = Change::Block { identity: who, reason: None, expires_in: None, by: Some(by) };
        fixture.backend.change(&stream, change).await;
    }
    let (mut after, mut count, mut pages) = (None, 0, 0);
    loop {
        let read = fixture.backend.store.blocks(stream.id, MAX_BLOCKS, after.as_deref());
        let (Ok(page), cost) = fixture.cost(read).await else { panic!("the blocks are not read") };
        assert!(cost.sent_bytes < PAGE_BYTES as u64 * 5 / 4, "{cost:?}");
        (count, pages, after) = (count + page.items.len(), pages + 1, page.next);
        if after.is_none() {
            break;
        }
    }
    assert_eq!((count, pages), (MAX_BLOCKS, 2));
}

fn filled(bytes: usize) -> String {
    json!({"filling": "x".repeat(bytes)}).to_string()
}

#[tokio::test]
async fn page_of_100_000_participants_reads_at_most_1_000() {
    let mut fixture = Fixture::start().await;
    let stream = fixture.backend.active("crowd").await;
    let rare = |n: usize| {
        if n.is_multiple_of(25_000) { ParticipantState::Joining } else { ParticipantState::Active }
    };
    fixture.write_participants(&stream, 100_000, rare, "{}").await;
    let filter = |state, kind| ParticipantFilter { state, kind, shows_hidden: true };
    let agents = Some(KindFilter::Kind(ParticipantKind::Agent));
    for (filter, found, has_next) in [
        (filter(None, None), 1_000, true),
        (filter(Some(ParticipantState::Joining), None), 4, false),
        (filter(Some(ParticipantState::Disconnected), None), 0, false),
        (filter(None, agents), 0, true),
        (filter(None, Some(KindFilter::Hidden)), 0, false),
    ] {
        let page = fixture.backend.store.participants(stream.id, filter, 1_000, None);
        let (page, cost) = fixture.cost(page).await;
        let page = page.unwrap();
        assert_eq!((page.items.len(), page.next.is_some()), (found, has_next), "{filter:?}");
        assert!(cost.entry_batches <= 1_000 / ENTRY_BATCH + 1, "{filter:?}: {cost:?}");
    }
    let (view, cost) = fixture.cost(fixture.backend.store.view(stream.id)).await;
    let view = view.unwrap().unwrap();
    assert_eq!((view.participants.len(), view.participants_truncated), (1_000, true));
    assert!(cost.entry_batches <= 1_000 / ENTRY_BATCH + 1, "{cost:?}");
}

#[tokio::test]
async fn page_of_large_participants_ends_by_bytes() {
    let mut fixture = Fixture::start().await;
    let stream = fixture.backend.active("large").await;
    let state = |n: usize| {
        if n.is_multiple_of(2) { ParticipantState::Active } else { ParticipantState::Disconnected }
    };
    fixture.write_participants(&stream, 100, state, &filled(LARGE)).await;
    let fitting = PAGE_BYTES / LARGE;
    let read = fitting as u64 / ENTRY_BATCH + 1;
    let bytes = (PAGE_BYTES + PAGE_BYTES / 8) as u64;
    for (state, count) in [(None, 100), (Some(ParticipantState::Active), 50)] {
        let filter = ParticipantFilter { state, ..ParticipantFilter::default() };
        let (mut listed, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = fixture.backend.store.participants(stream.id, filter, 1_000, after.as_deref());
            let (page, cost) = fixture.cost(page).await;
            let page = page.unwrap();
            assert!(cost.entry_batches <= read && cost.sent_bytes <= bytes, "{cost:?}");
            assert!((1..=fitting).contains(&page.items.len()));
            listed.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed.len(), count);
        assert!(listed.windows(2).all(|pair| pair[0].list_key() < pair[1].list_key()));
    }
    let (view, cost) = fixture.cost(fixture.backend.store.view(stream.id)).await;
    let view = view.unwrap().unwrap();
    assert!(view.participants_truncated && (1..=fitting).contains(&view.participants.len()));
    assert!(cost.entry_batches <= read && cost.sent_bytes <= bytes, "{cost:?}");
    assert!(serde_json::to_vec(&*view).unwrap().len() <= PAGE_BYTES);
}

#[tokio::test]
async fn page_of_large_streams_ends_by_bytes() {
    let fixture = Fixture::start().await;
    for n in 0..50 {
        let metadata = Metadata::parse(&filled(LARGE)).unwrap();
        fixture
            .backend
            .store
            .create(NewStream { metadata, ..new_stream(&format!("room-{n}")) })
            .await
            .unwrap();
    }
    let (mut listed, mut after) = (0, None::<String>);
    loop {
        let page = fixture.backend.store.list(StreamFilter::All, 1_000, after.as_deref());
        let (page, cost) = fixture.cost(page).await;
        let page = page.unwrap();
        assert!(cost.sent_bytes <= (PAGE_BYTES + PAGE_BYTES / 8) as u64, "{cost:?}");
        assert!((1..=PAGE_BYTES / LARGE).contains(&page.items.len()));
        listed += page.items.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, 50);
}

#[tokio::test]
async fn end_of_stream_with_large_participants_continues_in_several_calls() {
    let fixture = Fixture::start().await;
    let stream = fixture.backend.active("large").await;
    for n in 0..20 {
        let metadata = Some(ParticipantMetadata::reported(&filled(LARGE)));
        let arrival = Session { metadata, ..session(&format!("p-{n}"), &format!("PA_{n}"), 1) };
        fixture.backend.change(&stream, Change::Connect(arrival)).await;
    }
    let stop = Change::BeginStop { reason: StopReason::Requested, room_sid: None };
    let mut version = fixture.backend.change(&stream, stop).await.stream.version;
    loop {
        let closed = fixture.backend.change(&stream, Change::Close).await;
        assert!(closed.stream.version - version <= 6, "one call ends few large visits");
        version = closed.stream.version;
        if closed.effect != Effect::Partial {
            break;
        }
    }
    assert_eq!(fixture.backend.store.get(stream.id).await.unwrap().unwrap().participant_count(), 0);
}

#[tokio::test]
async fn position_before_newest_large_events_is_found_in_several_calls() {
    let fixture = Fixture::start().await;
    let stream = fixture.backend.active("large").await;
    let mut expected = Metadata::default();
    for n in 0..40 {
        let metadata = Metadata::parse(&json!({"n": n, "filling": "x".repeat(LARGE)}).to_string()).unwrap();
        fixture.backend.change(&stream, Change::SetMetadata { expected, metadata: metadata.clone() }).await;
        expected = metadata;
    }
    let topic = Topic::Stream(stream.id);
    assert!(fixture.backend.feed.newest(topic, 40).await.unwrap().is_none(), "more than a page");
    let before = fixture.backend.feed.before_newest(topic, 40).await.unwrap().unwrap();
    let (events, _) = fixture.backend.pages(topic, before, 1_000).await;
    assert_eq!(events.len(), 40);
    let all = fixture.backend.feed.before_newest(topic, 1_000).await.unwrap();
    assert_eq!(all, Some(Cursor::ORIGIN));
}

#[tokio::test]
async fn cursor_that_needs_a_reset_reads_no_events() {
    let fixture = Fixture::start().await;
    let stream = fixture.backend.active("large").await;
    let other = fixture.backend.active("other").await;
    let topic = Topic::Stream(stream.id);
    let of_other = fixture.backend.feed.tails(&[Topic::Stream(other.id)]).await.unwrap()[0];
    let mut expected = Metadata::default();
    for n in 0..10 {
        let metadata = Metadata::parse(&json!({"n": n, "filling": "x".repeat(LARGE)}).to_string()).unwrap();
        fixture.backend.change(&stream, Change::SetMetadata { expected, metadata: metadata.clone() }).await;
        expected = metadata;
    }
    let never_issued = Cursor::new(of_other.millis(), 0);
    for topic in [topic, Topic::All] {
        for after in [Cursor::new(1, 0), never_issued] {
            let (read, cost) = fixture.cost(fixture.backend.feed.read_after(topic, after, 1_000)).await;
            assert!(matches!(read.unwrap(), LogRead::Reset(_)), "{topic:?} {after}");
            assert!(cost.sent_bytes < LARGE as u64, "{topic:?} {after}: {cost:?}");
        }
        let read = fixture.backend.feed.read_after(topic, of_other, 1_000).await.unwrap();
        let LogRead::Events { events, .. } = read else { panic!("{topic:?}: {read:?}") };
        assert_eq!(events.len(), 10, "a cursor of another stream continues");
    }
}

/// Redis itself frees an expired key in the thread that executes commands; a sweeper unlinks the keys before.
#[tokio::test]
async fn keys_of_ended_stream_are_freed_by_another_thread() {
    let mut fixture = Fixture::with(Retention { stopped: Duration::from_millis(200), ..RETENTION }).await;
    let stream = fixture.backend.active("crowd").await;
    fixture.write_participants(&stream, 20_000, |_| ParticipantState::Disconnected, "{}").await;
    fixture.backend.stop(&stream).await;
    let participants = fixture.key(&stream, ":participants");
    eventually("the end of the stream's keys", || async {
        fixture.backend.scheduled_jobs(10).await;
        let exists: bool = fixture.connection.clone().exists(&participants).await.unwrap();
        (!exists).then_some(())
    })
    .await;
    eventually("the other thread", || async {
        (fixture.number("lazyfreed_objects").await >= 2).then_some(())
    })
    .await;
}
