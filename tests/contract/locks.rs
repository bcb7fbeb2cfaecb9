//! The operation lock: renewed while its holder lives, however long LiveKit takes, and taken over after its death.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use livestream_orchestrator::{
    domain::{
        Identity, Metadata, RoomName, RoomSid, StopReason, Stream, StreamStatus, Timestamp,
        stream::OPERATION_LOCK,
    },
    orchestrator::{CreateRequest, Orchestrator},
    rooms::{JoinToken, Occupants, Room, RoomSpec, Rooms, RoomsError, TokenRequest},
    store::{Guard, StreamFilter, StreamStore, memory::MemoryStore},
    telemetry::Metrics,
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    store::RETENTION,
    world::{POLICY, World},
};

/// How long LiveKit takes for each call; a call is given up after 5 s.
const SLOW: Duration = Duration::from_millis(4_900);

/// A LiveKit that takes its time.
struct Slow(Arc<World>);

#[async_trait]
impl Rooms for Slow {
    async fn create(&self, spec: &RoomSpec) -> Result<Room, RoomsError> {
        sleep(SLOW).await;
        self.0.create(spec).await
    }
    async fn delete(&self, room: &RoomName) -> Result<(), RoomsError> {
        sleep(SLOW).await;
        self.0.delete(room).await
    }
    async fn remove(&self, room: &RoomName, identity: &Identity) -> Result<(), RoomsError> {
        self.0.remove(room, identity).await
    }
    async fn set_metadata(&self, room: &RoomName, metadata: &Metadata) -> Result<(), RoomsError> {
        self.0.set_metadata(room, metadata).await
    }
    async fn list(&self, names: &[RoomName]) -> Result<Vec<Room>, RoomsError> {
        self.0.list(names).await
    }
    async fn occupants_of(&self, room: &RoomName, room_sid: &RoomSid) -> Result<Occupants, RoomsError> {
        let listed = self.0.occupants_of(room, room_sid).await;
        sleep(SLOW).await;
        listed
    }
    async fn ping(&self) -> Result<(), RoomsError> {
        Ok(())
    }
    fn token(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError> {
        self.0.token(request)
    }
    fn simulated(&self) -> bool {
        true
    }
}

/// Two instances on one store, whose clock is the test's: the first works slowly, the second sweeps every second.
struct Scene {
    world: Arc<World>,
    store: Arc<MemoryStore>,
    slow: Arc<Orchestrator>,
    sweeper: tokio::task::JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

impl Scene {
    fn set() -> Self {
        let begun = Instant::now();
        let now = move || {
            let passed = i64::try_from(begun.elapsed().as_millis()).unwrap();
            Timestamp::from_millis(1_795_000_000_000 + passed)
        };
        let (world, store) = (World::new(), Arc::new(MemoryStore::new(RETENTION, Arc::new(now))));
        let metrics = || Arc::new(Metrics::new().unwrap());
        let slow = Orchestrator::new(store.clone(), Arc::new(Slow(world.clone())), POLICY, metrics());
        let other = Orchestrator::new(store.clone(), world.clone(), POLICY, metrics());
        let sweeper = tokio::spawn(async move {
            loop {
                other.sweep().await.unwrap();
                sleep(Duration::from_secs(1)).await;
            }
        });
        Self { world, store, slow: Arc::new(slow), sweeper }
    }

    async fn only_stream(&self) -> Option<Stream> {
        let all = self.store.list(StreamFilter::All, 10, None).await.unwrap().items;
        all.first().map(|stream| (***stream).clone())
    }

    async fn until(&self, status: StreamStatus) {
        loop {
            if self.only_stream().await.is_some_and(|stream| stream.status == status) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn request() -> CreateRequest {
    let room_name = Some(RoomName::parse("room").unwrap());
    CreateRequest { room_name, max_participants: Some(2), ..CreateRequest::default() }
}

#[tokio::test(start_paused = true)]
async fn operation_longer_than_the_lock_is_not_taken_over_while_its_holder_lives() {
    let scene = Scene::set();
    // An empty room with other settings has to be replaced: five calls, each as slow as can be.
    scene.world.connect("room", "x");
    scene.world.disconnect("room", "x");
    let begun = Instant::now();
    let stream = scene.slow.create(request()).await.unwrap().stream;
    assert!(begun.elapsed() > OPERATION_LOCK * 2);
    assert_eq!(stream.status, StreamStatus::Active);
    let stopped = scene.slow.stop(&stream, StopReason::Requested, Guard::default()).await.unwrap();
    assert_eq!(stopped.status, StreamStatus::Stopped);
}

#[tokio::test(start_paused = true)]
async fn creation_is_undone_within_12_seconds_of_a_death() {
    let scene = Scene::set();
    let slow = scene.slow.clone();
    let working = tokio::spawn(async move { slow.create(request()).await });
    scene.until(StreamStatus::Creating).await;
    // It has renewed its lock more than once.
    sleep(Duration::from_secs(7)).await;
    working.abort();
    timeout(Duration::from_secs(12), scene.until(StreamStatus::Error)).await.unwrap();
    assert!(scene.world.rooms().is_empty(), "no room without a stream");
}

#[tokio::test(start_paused = true)]
async fn stop_is_finished_within_12_seconds_of_a_death() {
    let scene = Scene::set();
    let stream = scene.slow.create(request()).await.unwrap().stream;
    let slow = scene.slow.clone();
    let working =
        tokio::spawn(async move { slow.stop(&stream, StopReason::Requested, Guard::default()).await });
    scene.until(StreamStatus::Stopping).await;
    working.abort();
    timeout(Duration::from_secs(12), scene.until(StreamStatus::Stopped)).await.unwrap();
    assert!(scene.world.rooms().is_empty());
}

#[tokio::test(start_paused = true)]
async fn participant_that_leaves_during_a_takeover_is_not_shown() {
    let scene = Scene::set();
    scene.world.connect("room", "ann");
    scene.world.webhooks();
    let slow = scene.slow.clone();
    let request = CreateRequest {
        room_name: Some(RoomName::parse("room").unwrap()),
        empty_timeout: Some(Duration::from_secs(300)),
        ..CreateRequest::default()
    };
    let creating = tokio::spawn(async move { slow.create(request).await });
    // CreateRoom has answered, the list has ann, and its answer is on the way.
    sleep(SLOW + SLOW / 2).await;
    scene.world.disconnect("room", "ann");
    for webhook in scene.world.webhooks() {
        scene.slow.hear(webhook).await.unwrap();
    }
    let stream = creating.await.unwrap().unwrap().stream;
    assert_eq!((stream.status, stream.participant_count), (StreamStatus::Active, 0));
}
