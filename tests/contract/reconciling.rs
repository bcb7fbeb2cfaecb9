//! What a reconciliation does, and what it must not do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use livestream_orchestrator::{
    domain::{MetadataPatch, Role, RoomName, StopReason, Stream, StreamStatus, TrackSource},
    orchestrator::{CreateRequest, Error, JoinRequest, Orchestrator, Outcome, Patch},
    store::{Guard, StreamStore, memory::MemoryStore},
};

use super::{
    store::identity,
    world::{POLICY, World},
};

const GRACE: Duration = Duration::from_secs(15);

struct Scene {
    world: Arc<World>,
    store: Arc<MemoryStore>,
    orchestrator: Orchestrator,
}

impl Scene {
    fn set() -> Self {
        let world = World::new();
        let store = world.store();
        Self { orchestrator: world.orchestrator(store.clone()), store, world }
    }

    async fn create(&self, room: &str) -> Stream {
        let request =
            CreateRequest { room_name: Some(RoomName::parse(room).unwrap()), ..CreateRequest::default() };
        self.orchestrator.create(request).await.unwrap().stream
    }

    async fn hear(&self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for webhook in self.world.webhooks() {
            outcomes.push(self.orchestrator.hear(webhook).await.unwrap());
        }
        outcomes
    }

    async fn now(&self, stream: &Stream) -> Stream {
        self.store.get(stream.id).await.unwrap().unwrap()
    }

    /// Reconciles, and says how much was repaired.
    async fn reconcile(&self) -> u64 {
        self.orchestrator.reconcile(Duration::ZERO).await.unwrap().expect("nobody else does").repairs()
    }
}

#[tokio::test]
async fn while_livekit_does_not_answer_nothing_changes() {
    let scene = Scene::set();
    let stream = scene.create("room").await;
    scene.world.connect("room", "ann");
    scene.hear().await;
    let before = scene.now(&stream).await;
    scene.world.forget("room");
    scene.world.answer(false);
    for _ in 0..5 {
        scene.world.advance(GRACE);
        let failed = scene.orchestrator.reconcile(Duration::ZERO).await;
        assert!(matches!(failed, Err(Error::Rooms(_))), "{failed:?}");
    }
    assert_eq!(scene.now(&stream).await, before);
    scene.world.answer(true);
    // A room with a participant must be missing in two lists.
    assert_eq!(scene.reconcile().await, 0);
    scene.world.advance(GRACE);
    assert_eq!(scene.reconcile().await, 1);
    let after = scene.now(&stream).await;
    assert_eq!((after.status, after.reason.as_deref()), (StreamStatus::Stopped, Some("room_gone")));
}

#[tokio::test]
async fn an_empty_list_is_believed_when_it_is_seen_twice() {
    let scene = Scene::set();
    let streams = [scene.create("one").await, scene.create("two").await, scene.create("three").await];
    scene.world.advance(GRACE);
    for room in ["one", "two", "three"] {
        scene.world.forget(room);
    }
    let held_back = async || {
        let report = scene.orchestrator.reconcile(Duration::ZERO).await.unwrap().unwrap();
        report.held_back && report.repairs() == 0
    };
    assert!(held_back().await);
    // Another look at once, as by an instance that starts, is not a second time.
    assert!(held_back().await);
    scene.world.advance(Duration::from_secs(30));
    assert!(!held_back().await);
    for stream in &streams {
        assert_eq!(scene.now(stream).await.status, StreamStatus::Stopped);
    }
}

#[tokio::test]
async fn a_list_that_was_empty_once_ends_nothing() {
    let scene = Scene::set();
    let streams = [scene.create("one").await, scene.create("two").await];
    scene.world.advance(GRACE);
    let rooms = ["one", "two"].map(|room| scene.world.take(room));
    assert!(scene.orchestrator.reconcile(Duration::ZERO).await.unwrap().unwrap().held_back);
    for (name, room) in rooms {
        scene.world.put_back(&name, room);
    }
    scene.world.advance(Duration::from_secs(30));
    assert_eq!(scene.reconcile().await, 0);
    // It is not remembered against LiveKit.
    for room in ["one", "two"] {
        scene.world.forget(room);
    }
    scene.world.advance(Duration::from_secs(30));
    assert!(scene.orchestrator.reconcile(Duration::ZERO).await.unwrap().unwrap().held_back);
    for stream in &streams {
        assert_eq!(scene.now(stream).await.status, StreamStatus::Active);
    }
}

#[tokio::test]
async fn default_limit_of_livekit_is_learned_once() {
    let scene = Scene::set();
    scene.world.limit_rooms(50);
    for (room, opened) in [("one", 2), ("two", 3), ("three", 4)] {
        assert_eq!(scene.create(room).await.status, StreamStatus::Active);
        assert_eq!(scene.world.opened(), opened, "{room}: only the first room is made twice");
    }
}

#[tokio::test]
async fn occupied_room_missing_once_keeps_its_stream_active() {
    let scene = Scene::set();
    let (stream, other) = (scene.create("room").await, scene.create("other").await);
    scene.world.connect("room", "ann");
    scene.hear().await;
    scene.world.advance(GRACE);
    let missing = scene.world.take("room");
    for wait in [0, 9] {
        scene.world.advance(Duration::from_secs(wait));
        let report = scene.orchestrator.reconcile(Duration::ZERO).await.unwrap().unwrap();
        assert!(report.is_unfinished() && report.repairs() == 0, "{report:?}");
    }
    scene.world.put_back("room", missing.1.clone());
    assert_eq!(scene.reconcile().await, 0);
    // The list in between had the room: the count begins again.
    scene.world.take("room");
    scene.world.advance(GRACE);
    assert_eq!(scene.reconcile().await, 0);
    assert_eq!(scene.now(&stream).await.status, StreamStatus::Active);
    scene.world.advance(GRACE);
    assert_eq!(scene.reconcile().await, 1);
    assert_eq!(scene.now(&stream).await.reason.as_deref(), Some("room_gone"));
    assert_eq!(scene.now(&other).await.status, StreamStatus::Active);
}

#[tokio::test]
async fn young_difference_is_looked_at_again_before_the_interval() {
    let scene = Scene::set();
    let stream = scene.create("room").await;
    scene.world.connect("room", "ann");
    scene.hear().await;
    scene.world.disconnect("room", "ann");
    // Its webhook is lost, and what is recorded is younger than LiveKit's lists may be.
    scene.world.webhooks();
    let hour = Duration::from_secs(3_600);
    assert!(scene.orchestrator.reconcile(hour).await.unwrap().unwrap().is_unfinished());
    assert_eq!(scene.now(&stream).await.participant_count, 1);
    assert!(scene.orchestrator.reconcile(hour).await.unwrap().is_none(), "not before it can be decided");
    scene.world.advance(POLICY.listing_grace + Duration::from_millis(1));
    let report = scene.orchestrator.reconcile(hour).await.unwrap().expect("as soon as it can be decided");
    assert!(!report.is_unfinished() && report.repairs() == 1, "{report:?}");
    assert_eq!(scene.now(&stream).await.participant_count, 0);
    scene.world.advance(hour - Duration::from_secs(60));
    assert!(scene.orchestrator.reconcile(hour).await.unwrap().is_none(), "then at the interval");
}

#[tokio::test]
async fn one_room_that_is_gone_ends_its_stream_alone() {
    let scene = Scene::set();
    let (gone, stays) = (scene.create("gone").await, scene.create("stays").await);
    scene.world.advance(GRACE);
    scene.world.forget("gone");
    assert_eq!(scene.reconcile().await, 1);
    assert_eq!(scene.now(&gone).await.status, StreamStatus::Stopped);
    assert_eq!(scene.now(&stays).await.status, StreamStatus::Active);
}

#[tokio::test]
async fn a_stream_that_has_just_begun_is_left_alone() {
    let scene = Scene::set();
    let stream = scene.create("room").await;
    scene.world.forget("room");
    assert_eq!(scene.reconcile().await, 0, "LiveKit's list may not have it yet");
    assert_eq!(scene.now(&stream).await.status, StreamStatus::Active);
}

#[tokio::test]
async fn rooms_of_others_are_left_alone() {
    let scene = Scene::set();
    scene.create("ours").await;
    scene.world.connect("theirs", "ann");
    assert!(scene.hear().await.iter().all(|outcome| *outcome == Outcome::Ignored));
    scene.world.advance(GRACE);
    scene.reconcile().await;
    assert_eq!(scene.world.rooms(), ["ours", "theirs"]);
    assert_eq!(scene.world.truth("theirs").unwrap().present.len(), 1);
}

#[tokio::test]
async fn a_room_that_comes_back_after_the_stop_is_deleted() {
    for webhooks_arrive in [true, false] {
        let scene = Scene::set();
        let stream = scene.create("room").await;
        scene.world.connect("room", "ann");
        scene.hear().await;
        scene.orchestrator.stop(&stream, StopReason::Requested, Guard::default()).await.unwrap();
        scene.hear().await;
        // With a token from before the stop.
        scene.world.connect("room", "ann");
        let told = scene.world.webhooks();
        if webhooks_arrive {
            for webhook in told {
                scene.orchestrator.hear(webhook).await.unwrap();
            }
        } else {
            assert_eq!(scene.reconcile().await, 1);
        }
        assert!(scene.world.rooms().is_empty());
        let after = scene.now(&stream).await;
        assert_eq!((after.status, after.participant_count), (StreamStatus::Stopped, 0));
        // A new stream of that name is nobody's remnant.
        let next = scene.create("room").await;
        scene.world.connect("room", "ann");
        scene.hear().await;
        scene.world.advance(GRACE);
        assert_eq!(scene.reconcile().await, 0);
        assert_eq!(scene.now(&next).await.participant_count, 1);
    }
}

#[tokio::test]
async fn when_no_token_can_be_good_any_more_a_room_is_somebody_elses() {
    let scene = Scene::set();
    let stream = scene.create("room").await;
    scene.orchestrator.stop(&stream, StopReason::Requested, Guard::default()).await.unwrap();
    scene.world.webhooks();
    scene.world.advance(Duration::from_secs(700));
    scene.world.connect("room", "ann");
    scene.hear().await;
    scene.reconcile().await;
    assert_eq!(scene.world.rooms(), ["room"]);
}

#[tokio::test]
async fn metadata_that_livekit_did_not_hear_of_reaches_it_later() {
    let scene = Scene::set();
    let stream = scene.create("room").await;
    scene.world.answer(false);
    let patch =
        Patch { metadata: Some(MetadataPatch::parse(r#"{"title":"later"}"#).unwrap()), ..Patch::default() };
    scene.orchestrator.patch(stream, patch).await.unwrap();
    scene.world.answer(true);
    assert_eq!(scene.world.truth("room").unwrap().metadata, "{}");
    assert_eq!(scene.reconcile().await, 1);
    assert_eq!(scene.world.truth("room").unwrap().metadata, r#"{"title":"later"}"#);
    assert_eq!(scene.reconcile().await, 0);
}

/// What the passing of time does, on a clock that does not take its time.
#[tokio::test]
async fn time_ends_what_nobody_uses() {
    let scene = Scene::set();
    let idle = CreateRequest {
        room_name: Some(RoomName::parse("idle").unwrap()),
        empty_timeout: Some(Duration::from_secs(300)),
        ..CreateRequest::default()
    };
    let stream = scene.orchestrator.create(idle).await.unwrap().stream;
    let join = JoinRequest {
        identity: identity("ann"),
        name: None,
        role: Role::Host,
        metadata: None,
        attributes: None,
        dedup_key: None,
    };
    scene.orchestrator.join(&stream.reference(), join).await.unwrap();
    let known = async || scene.store.participant(stream.id, "ann").await.unwrap();
    scene.world.advance(Duration::from_secs(59));
    scene.orchestrator.sweep().await.unwrap();
    assert!(known().await.is_some());
    scene.world.advance(Duration::from_secs(2));
    scene.orchestrator.sweep().await.unwrap();
    assert!(known().await.is_none(), "a token that nobody used in a minute");
    scene.world.advance(Duration::from_secs(238));
    scene.orchestrator.sweep().await.unwrap();
    assert_eq!(scene.now(&stream).await.status, StreamStatus::Active);
    scene.world.advance(Duration::from_secs(2));
    scene.orchestrator.sweep().await.unwrap();
    let stopped = scene.now(&stream).await;
    assert_eq!((stopped.status, stopped.reason.as_deref()), (StreamStatus::Stopped, Some("idle")));
    assert!(scene.world.rooms().is_empty());
    scene.world.advance(Duration::from_secs(299));
    assert!(scene.store.get(stream.id).await.unwrap().is_some(), "it can still be read");
    scene.world.advance(Duration::from_secs(2));
    assert!(scene.store.get(stream.id).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_published_is_repaired_too() {
    let scene = Scene::set();
    let stream = scene.create("room").await;
    scene.world.connect("room", "ann");
    scene.hear().await;
    scene.world.publish("room", "ann", TrackSource::Camera);
    scene.world.webhooks();
    scene.world.advance(GRACE);
    assert_eq!(scene.reconcile().await, 1);
    let ann = scene.store.participant(stream.id, "ann").await.unwrap().unwrap();
    assert_eq!(ann.tracks.as_slice()[0].source, TrackSource::Camera);
    assert_eq!(scene.reconcile().await, 0);
}

#[tokio::test]
async fn the_interval_is_kept_by_all_together() {
    let scene = Scene::set();
    let every = Duration::from_secs(30);
    let other = scene.world.orchestrator(scene.store.clone());
    assert!(scene.orchestrator.reconcile(every).await.unwrap().is_some());
    assert!(other.reconcile(every).await.unwrap().is_none());
    scene.world.advance(every);
    assert!(other.reconcile(every).await.unwrap().is_some());
    assert!(scene.orchestrator.reconcile(every).await.unwrap().is_none());
}

#[tokio::test]
async fn a_room_that_livekit_does_not_answer_for_keeps_no_other_from_being_repaired() {
    let scene = Scene::set();
    let streams = [scene.create("broken").await, scene.create("whole").await];
    for room in ["broken", "whole"] {
        scene.world.connect(room, "ann");
    }
    // Nobody told.
    scene.world.webhooks();
    scene.world.break_room("broken");
    let report = scene.orchestrator.reconcile(Duration::ZERO).await.unwrap().unwrap();
    assert_eq!((report.failed, report.repairs()), (1, 1));
    assert_eq!(scene.now(&streams[0]).await.participant_count, 0);
    assert_eq!(scene.now(&streams[1]).await.participant_count, 1);
}

#[tokio::test]
async fn a_stream_is_not_idle_while_livekit_lists_somebody_of_whom_nobody_told() {
    let scene = Scene::set();
    let idle = CreateRequest {
        room_name: Some(RoomName::parse("idle").unwrap()),
        empty_timeout: Some(Duration::from_secs(60)),
        ..CreateRequest::default()
    };
    let stream = scene.orchestrator.create(idle).await.unwrap().stream;
    scene.world.connect("idle", "ann");
    scene.world.webhooks();
    for answers in [true, false] {
        scene.world.advance(Duration::from_secs(120));
        scene.world.answer(answers);
        scene.orchestrator.sweep().await.unwrap();
        assert_eq!(scene.now(&stream).await.status, StreamStatus::Active);
    }
    scene.world.answer(true);
    assert_eq!(scene.reconcile().await, 1);
    scene.world.disconnect("idle", "ann");
    scene.hear().await;
    scene.world.advance(Duration::from_secs(61));
    scene.orchestrator.sweep().await.unwrap();
    assert_eq!(scene.now(&stream).await.status, StreamStatus::Stopped);
}

/// LiveKit's clock was ahead when somebody came first, and is not when they come again.
#[tokio::test]
async fn a_clock_that_steps_back_keeps_nobody_out() {
    let scene = Scene::set();
    let stream = scene.create("room").await;
    scene.world.step_clock(50_000);
    scene.world.connect("room", "ann");
    scene.hear().await;
    scene.world.step_clock(0);
    scene.world.disconnect("room", "ann");
    scene.world.connect("room", "ann");
    scene.hear().await;
    scene.world.advance(GRACE);
    assert_eq!(scene.reconcile().await, 1);
    assert_eq!(scene.now(&stream).await.participant_count, 1);
}
