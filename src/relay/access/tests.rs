use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::{
    domain::{Change, InitialAudience, Metadata, RoomName, StreamRef, stream::NewStream},
    store::{EventFeed, Guard, LogBounds, Retention, Store, StreamStore, memory::MemoryStore},
};

const RETENTION: Retention = Retention {
    live: Duration::from_secs(3600),
    stopped: Duration::from_secs(300),
    tokens: Duration::from_secs(600),
    log: LogBounds::DEFAULT,
    count_interval: Duration::from_secs(1),
    keeps_visits: false,
};

/// A stream, and the registry of an instance that follows it.
struct Fixture {
    store: Arc<MemoryStore>,
    stream: StreamRef,
    registry: AccessRegistry,
}

impl Fixture {
    async fn start() -> Self {
        let store = Arc::new(MemoryStore::on_system_clock(RETENTION));
        let stream = active(&store, "room").await;
        Self { store, stream, registry: AccessRegistry::default() }
    }

    /// Access of a feed of the stream.
    fn access_of(&self, who: &str) -> Access {
        let store: Arc<dyn Store> = self.store.clone();
        Access::of(&ReadGrant::stream(self.stream.id).of_participant(identity(who), store), &self.registry)
    }

    async fn change(&self, change: Change) {
        self.store.apply(&self.stream, change, Guard::default()).await.unwrap();
    }

    async fn block(&self, who: &str) {
        let change = Change::Block { identity: identity(who), reason: None, expires_in: None, by: None };
        self.change(change).await;
    }

    async fn unblock(&self, who: &str) {
        self.change(Change::Unblock { identity: identity(who), by: None }).await;
    }

    /// Reports the newest event to the registry, as the hub does after it has delivered the event.
    async fn report_newest(&self) {
        let newest = self.store.newest(Topic::Stream(self.stream.id), 1).await.unwrap().unwrap();
        self.registry.on_event(&newest[0]);
    }
}

async fn active(store: &MemoryStore, room: &str) -> StreamRef {
    let new = NewStream {
        id: StreamId::generate(),
        room_name: RoomName::parse(room).unwrap(),
        metadata: Metadata::default(),
        max_participants: None,
        idle_after: None,
        audience: InitialAudience::LISTED,
        backstage: false,
    };
    let stream = StreamRef { id: new.id, room_name: new.room_name.clone() };
    store.create(new).await.unwrap();
    let activate = Change::Activate { room_sid: "RM_1".into() };
    store.apply(&stream, activate, Guard::default()).await.unwrap();
    stream
}

fn identity(text: &str) -> Identity {
    Identity::parse(text).unwrap()
}

fn is_signalled(access: &Access) -> bool {
    access.signal().now_or_never().is_some()
}

#[tokio::test]
async fn event_of_block_ends_the_feeds_of_its_participant_only() {
    let fixture = Fixture::start().await;
    let (mut first, mut second, mut other) =
        (fixture.access_of("ann"), fixture.access_of("ann"), fixture.access_of("bob"));
    assert_eq!(first.check().await, None);
    fixture.block("ann").await;
    assert_eq!(first.check().await, None, "no event asks for a check");
    fixture.report_newest().await;
    assert_eq!([&first, &second, &other].map(is_signalled), [true, true, false]);
    let ended = (first.check().await, second.check().await, other.check().await);
    assert_eq!(ended, (Some(Ended::Blocked), Some(Ended::Blocked), None));
}

#[tokio::test]
async fn block_that_has_ended_ends_no_feed() {
    let fixture = Fixture::start().await;
    let mut access = fixture.access_of("ann");
    fixture.block("ann").await;
    fixture.report_newest().await;
    fixture.unblock("ann").await;
    assert_eq!(access.check().await, None);
    assert!(!is_signalled(&access), "the check has consumed the signal");
    fixture.report_newest().await;
    assert!(!is_signalled(&access), "the event of an unblocking asks for no check");
}

#[tokio::test]
async fn reset_of_stream_lets_all_its_participants_check_their_access() {
    let fixture = Fixture::start().await;
    let (mut blocked, mut other) = (fixture.access_of("ann"), fixture.access_of("bob"));
    // The event of the block is lost.
    fixture.block("ann").await;
    let other_stream = active(&fixture.store, "other").await;
    for topic in [Topic::All, Topic::Stream(other_stream.id)] {
        fixture.registry.on_reset(topic);
        assert_eq!([&blocked, &other].map(is_signalled), [false, false], "{topic:?}");
    }
    fixture.registry.on_reset(Topic::Stream(fixture.stream.id));
    assert_eq!([&blocked, &other].map(is_signalled), [true, true]);
    assert_eq!((blocked.check().await, other.check().await), (Some(Ended::Blocked), None));
}

#[tokio::test]
async fn suspected_access_is_checked_once_without_an_event() {
    let fixture = Fixture::start().await;
    fixture.block("ann").await;
    // The participant was blocked after the check of its grant and before the start of the watch.
    let (mut blocked, mut other) = (fixture.access_of("ann"), fixture.access_of("bob"));
    assert_eq!(blocked.check().await, None);
    blocked.suspect();
    other.suspect();
    assert_eq!((blocked.check().await, other.check().await), (Some(Ended::Blocked), None));
    fixture.block("bob").await;
    assert_eq!(other.check().await, None, "the suspicion has ended");
    let mut unlimited = Access::unlimited();
    unlimited.suspect();
    assert_eq!(unlimited.check().await, None);
}

#[tokio::test]
async fn registry_forgets_participants_without_feeds() {
    let fixture = Fixture::start().await;
    let (first, second) = (fixture.access_of("ann"), fixture.access_of("ann"));
    drop(first);
    fixture.block("ann").await;
    fixture.report_newest().await;
    assert!(is_signalled(&second), "the second feed is still registered");
    drop(second);
    assert!(fixture.registry.lock().is_empty());
}
