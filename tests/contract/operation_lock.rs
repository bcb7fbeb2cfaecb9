//! The operation lock: renewed while its holder runs, independent of the duration of LiveKit's calls, and taken over
//! after a crash.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use livestream_orchestrator::{
    access::Caller,
    domain::{
        Identity, Metadata, ParticipantSid, RoomName, RoomSid, Stream, StreamStatus, Timestamp, Track,
        stream::OPERATION_LOCK,
    },
    orchestrator::CreateRequest,
    rooms::{
        JoinToken, Occupants, Room, RoomSpec, Rooms, RoomsError, SessionUpdate, TokenRequest, TrackSelection,
    },
    store::{Guard, StreamFilter, StreamStore, memory::MemoryStore},
    telemetry::Metrics,
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    backend::RETENTION,
    fake_livekit::{FakeLiveKit, POLICY},
};
use crate::service::Service;

/// Duration of each slow call, just below the timeout of 5 s.
const CALL_DURATION: Duration = Duration::from_millis(4_900);

/// A fake LiveKit with slow calls.
struct SlowLiveKit(Arc<FakeLiveKit>);

#[async_trait]
impl Rooms for SlowLiveKit {
    async fn create(&self, spec: &RoomSpec) -> Result<Room, RoomsError> {
        sleep(CALL_DURATION).await;
        self.0.create(spec).await
    }
    async fn delete(&self, room: &RoomName) -> Result<(), RoomsError> {
        sleep(CALL_DURATION).await;
        self.0.delete(room).await
    }
    async fn remove_participant(&self, room: &RoomName, identity: &Identity) -> Result<(), RoomsError> {
        self.0.remove_participant(room, identity).await
    }
    async fn update_participant(
        &self,
        room: &RoomName,
        identity: &Identity,
        update: &SessionUpdate,
    ) -> Result<(), RoomsError> {
        self.0.update_participant(room, identity, update).await
    }
    async fn mute(
        &self,
        room: &RoomName,
        identity: &Identity,
        selection: &TrackSelection,
    ) -> Result<Vec<(ParticipantSid, Track)>, RoomsError> {
        self.0.mute(room, identity, selection).await
    }
    async fn set_metadata(&self, room: &RoomName, metadata: &Metadata) -> Result<(), RoomsError> {
        self.0.set_metadata(room, metadata).await
    }
    async fn list(&self, names: &[RoomName]) -> Result<Vec<Room>, RoomsError> {
        self.0.list(names).await
    }
    async fn occupants_of(&self, room: &RoomName, room_sid: &RoomSid) -> Result<Occupants, RoomsError> {
        let listed = self.0.occupants_of(room, room_sid).await;
        sleep(CALL_DURATION).await;
        listed
    }
    async fn ping(&self) -> Result<(), RoomsError> {
        Ok(())
    }
    fn token(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError> {
        self.0.token(request)
    }
    fn token_again(&self, request: &TokenRequest) -> Result<JoinToken, RoomsError> {
        self.0.token_again(request)
    }
    fn simulated(&self) -> bool {
        true
    }
}

/// Two instances on one store with the test's clock. The first has a slow LiveKit, the second sweeps every second.
struct Fixture {
    livekit: Arc<FakeLiveKit>,
    store: Arc<MemoryStore>,
    slow: Arc<Service>,
    sweeper: tokio::task::JoinHandle<()>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

impl Fixture {
    fn new() -> Self {
        let started = Instant::now();
        let now = move || {
            let elapsed = i64::try_from(started.elapsed().as_millis()).unwrap();
            Timestamp::from_millis(1_795_000_000_000 + elapsed)
        };
        let (livekit, store) = (FakeLiveKit::new(), Arc::new(MemoryStore::new(RETENTION, Arc::new(now))));
        let metrics = || Arc::new(Metrics::new().unwrap());
        let slow_rooms = Arc::new(SlowLiveKit(livekit.clone()));
        let slow = Service::new(store.clone(), slow_rooms, livekit.clone(), POLICY, metrics());
        let other = Service::new(store.clone(), livekit.clone(), livekit.clone(), POLICY, metrics());
        let sweeper = tokio::spawn(async move {
            loop {
                other.sweep().await.unwrap();
                sleep(Duration::from_secs(1)).await;
            }
        });
        Self { livekit, store, slow: Arc::new(slow), sweeper }
    }

    async fn only_stream(&self) -> Option<Stream> {
        let all = self.store.list(StreamFilter::All, 10, None).await.unwrap().items;
        all.first().map(|stream| (***stream).clone())
    }

    async fn await_status(&self, status: StreamStatus) {
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
async fn operation_longer_than_lock_is_not_taken_over_while_holder_runs() {
    let fixture = Fixture::new();
    // The replacement of an empty room with other settings takes five calls.
    fixture.livekit.connect("room", "x");
    fixture.livekit.disconnect("room", "x");
    let started = Instant::now();
    let stream = fixture.slow.create(&Caller::unrestricted(), request()).await.unwrap().stream;
    assert!(started.elapsed() > OPERATION_LOCK * 2);
    assert_eq!(stream.status, StreamStatus::Active);
    let stopped = fixture.slow.stop(&Caller::unrestricted(), &stream, Guard::default()).await.unwrap();
    assert_eq!(stopped.status, StreamStatus::Stopped);
}

#[tokio::test(start_paused = true)]
async fn creation_is_undone_within_12_seconds_of_a_crash() {
    let fixture = Fixture::new();
    let slow = fixture.slow.clone();
    let operation = tokio::spawn(async move { slow.create(&Caller::unrestricted(), request()).await });
    fixture.await_status(StreamStatus::Creating).await;
    // The instance has renewed its lock more than once by then.
    sleep(Duration::from_secs(7)).await;
    operation.abort();
    timeout(Duration::from_secs(12), fixture.await_status(StreamStatus::Error)).await.unwrap();
    assert!(fixture.livekit.rooms().is_empty(), "the room of the failed stream is deleted");
}

#[tokio::test(start_paused = true)]
async fn stop_is_finished_within_12_seconds_of_a_crash() {
    let fixture = Fixture::new();
    let stream = fixture.slow.create(&Caller::unrestricted(), request()).await.unwrap().stream;
    let slow = fixture.slow.clone();
    let operation =
        tokio::spawn(async move { slow.stop(&Caller::unrestricted(), &stream, Guard::default()).await });
    fixture.await_status(StreamStatus::Stopping).await;
    operation.abort();
    timeout(Duration::from_secs(12), fixture.await_status(StreamStatus::Stopped)).await.unwrap();
    assert!(fixture.livekit.rooms().is_empty());
}

#[tokio::test(start_paused = true)]
async fn participant_that_leaves_during_room_takeover_is_not_active() {
    let fixture = Fixture::new();
    fixture.livekit.connect("room", "ann");
    fixture.livekit.take_webhooks();
    let slow = fixture.slow.clone();
    let request = CreateRequest {
        room_name: Some(RoomName::parse("room").unwrap()),
        empty_timeout: Some(Duration::from_secs(300)),
        ..CreateRequest::default()
    };
    let creating = tokio::spawn(async move { slow.create(&Caller::unrestricted(), request).await });
    // CreateRoom has answered. The listing contains ann, and its answer is delayed.
    sleep(CALL_DURATION + CALL_DURATION / 2).await;
    fixture.livekit.disconnect("room", "ann");
    for webhook in fixture.livekit.take_webhooks() {
        fixture.slow.process(webhook).await.unwrap();
    }
    let stream = creating.await.unwrap().unwrap().stream;
    assert_eq!((stream.status, stream.participant_count()), (StreamStatus::Active, 0));
}
