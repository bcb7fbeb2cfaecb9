//! The truth as a property: whatever happens in a room, and whatever becomes of the webhooks that tell of it, the state is
//! the truth after one reconciliation, and the log tells how it came to be so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use livestream_orchestrator::{
    domain::{
        EventKind, Participant, ParticipantState, RoomName, StopReason, StreamId, StreamStatus, Topic,
        TrackSource,
    },
    orchestrator::{CreateRequest, Orchestrator},
    rooms::RoomEvent,
    store::{EventFeed, Guard, StreamStore, memory::MemoryStore},
};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, FileFailurePersistence},
};

use super::world::{MOST_LATE, POLICY, World};

const ROOM: &str = "the room";
const PEOPLE: [&str; 4] = ["ann", "bob", "cat", "dan"];

/// One thing that really happens.
#[derive(Clone, Copy, Debug)]
enum Happening {
    /// Also in a second session, which puts the first out.
    Connect(&'static str),
    Disconnect(&'static str),
    /// What livekit-client calls a full reconnect.
    Reconnect(&'static str),
    Publish(&'static str, TrackSource),
    /// LiveKit closes the room.
    Finish,
    /// LiveKit loses the room, and says nothing.
    Forget,
    /// The app stops the stream.
    Stop,
    /// LiveKit's clock steps, or people move to a node whose clock is another.
    ClockStep(i64),
    /// Time passes.
    Wait(Duration),
}

/// What becomes of the webhooks of one happening.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Lost,
    Delivered,
    Doubled,
    /// By so many steps; and among those of one step the order is reversed.
    Delayed(usize),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Happening(Happening, Fate),
    /// A reconciliation that sees lists which are so late.
    Reconcile(Duration),
}

fn step() -> impl Strategy<Value = Step> {
    let who = || select(&PEOPLE[..]);
    let source = select(&TrackSource::ALL[..4]);
    let wait = select(vec![1u64, 300, 2_000, 8_000, 20_000]);
    let happening = prop_oneof![
        8 => who().prop_map(Happening::Connect),
        5 => who().prop_map(Happening::Disconnect),
        3 => who().prop_map(Happening::Reconnect),
        4 => (who(), source).prop_map(|(who, source)| Happening::Publish(who, source)),
        6 => wait.prop_map(|millis| Happening::Wait(Duration::from_millis(millis))),
        2 => select(vec![0i64, -40_000, 30_000]).prop_map(Happening::ClockStep),
        1 => Just(Happening::Finish),
        1 => Just(Happening::Forget),
        1 => Just(Happening::Stop),
    ];
    let fate = prop_oneof![
        2 => Just(Fate::Lost),
        5 => Just(Fate::Delivered),
        1 => Just(Fate::Doubled),
        2 => (1..12usize).prop_map(Fate::Delayed),
    ];
    let late = (0..=u64::try_from(MOST_LATE.as_millis()).unwrap()).prop_map(Duration::from_millis);
    prop_oneof![
        7 => (happening, fate).prop_map(|(happening, fate)| Step::Happening(happening, fate)),
        1 => late.prop_map(Step::Reconcile),
    ]
}

struct Scene {
    world: Arc<World>,
    store: Arc<MemoryStore>,
    orchestrator: Orchestrator,
    stream: StreamId,
}

impl Scene {
    async fn set() -> Self {
        let world = World::new();
        let store = world.store();
        let orchestrator = world.orchestrator(store.clone());
        let request =
            CreateRequest { room_name: Some(RoomName::parse(ROOM).unwrap()), ..CreateRequest::default() };
        let stream = orchestrator.create(request).await.unwrap().stream.id;
        Self { world, store, orchestrator, stream }
    }

    async fn happen(&self, happening: Happening) {
        match happening {
            Happening::Connect(who) => self.world.connect(ROOM, who),
            Happening::Disconnect(who) => self.world.disconnect(ROOM, who),
            Happening::Reconnect(who) => {
                self.world.disconnect(ROOM, who);
                self.world.connect(ROOM, who);
            }
            Happening::Publish(who, source) => self.world.publish(ROOM, who, source),
            Happening::Finish => self.world.finish(ROOM),
            Happening::Forget => self.world.forget(ROOM),
            Happening::Stop => {
                let stream = self.store.get(self.stream).await.unwrap().unwrap();
                self.orchestrator.stop(&stream, StopReason::Requested, Guard::default()).await.unwrap();
            }
            Happening::ClockStep(ahead) => self.world.step_clock(ahead),
            Happening::Wait(time) => self.world.advance(time),
        }
    }

    async fn deliver(&self, webhooks: Vec<RoomEvent>) {
        for webhook in webhooks {
            self.orchestrator.hear(webhook).await.unwrap();
        }
    }

    async fn reconcile(&self, late: Duration) {
        self.world.be_late(late);
        let reconcile =
            async || self.orchestrator.reconcile(Duration::ZERO).await.unwrap().expect("the lease");
        if reconcile().await.is_unfinished() {
            // What is too young to be decided is looked at again by itself.
            self.world.advance(POLICY.listing_grace + Duration::from_millis(1));
            reconcile().await;
        }
    }

    /// What is shown is what is true.
    async fn is_true(&self) {
        let view = self.store.view(self.stream).await.unwrap().expect("it can still be read");
        let shown: Vec<_> = view
            .participants
            .iter()
            .filter(|one| one.state == ParticipantState::Active)
            .map(|one| (one.identity.to_string(), one.sid.clone().unwrap(), one.tracks.clone()))
            .collect();
        match self.world.truth(ROOM) {
            Some(room) => {
                assert_eq!(view.stream.status, StreamStatus::Active);
                assert_eq!(view.stream.room_sid, Some(room.sid));
                let mut shown = shown;
                shown.sort_by(|one, other| one.0.cmp(&other.0));
                assert_eq!(shown, room.present);
            }
            None => {
                assert_eq!(view.stream.status, StreamStatus::Stopped);
                assert!(shown.is_empty(), "{shown:?}");
            }
        }
        self.adds_up().await;
    }

    /// Counts are those of the set, and the log, played from its start, comes to the same state.
    async fn adds_up(&self) {
        let view = self.store.view(self.stream).await.unwrap().unwrap();
        let log = self.store.newest(Topic::Stream(self.stream), 10_000).await.unwrap();
        let mut people: BTreeMap<String, Participant> = BTreeMap::new();
        let mut there = 0;
        for (position, event) in log.iter().enumerate() {
            let draft = &event.draft;
            assert_eq!(event.seq(), position as u64 + 1);
            if let Some(one) = &draft.participant {
                people.insert(one.identity.to_string(), one.clone());
            }
            match draft.kind {
                EventKind::ParticipantJoined => there += 1,
                EventKind::ParticipantLeft => there -= 1,
                _ => {}
            }
            assert_eq!(draft.stream.participant_count, there);
            assert!(draft.stream.peak_participant_count >= there);
            assert_eq!(event.is_last(), position + 1 == log.len() && view.stream.status.is_final());
        }
        assert_eq!(log.last().unwrap().draft.stream, view.stream);
        assert_eq!(view.stream.participant_count, there);
        let shown: BTreeMap<_, _> =
            view.participants.iter().cloned().map(|one| (one.identity.to_string(), one)).collect();
        assert_eq!(shown, people);
    }
}

async fn play(steps: Vec<Step>) {
    let scene = Scene::set().await;
    let mut delayed: Vec<(usize, Vec<RoomEvent>)> = Vec::new();
    scene.deliver(scene.world.webhooks()).await;
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Happening(happening, fate) => {
                scene.happen(happening).await;
                let webhooks = scene.world.webhooks();
                match fate {
                    Fate::Lost => {}
                    Fate::Delivered => scene.deliver(webhooks).await,
                    Fate::Doubled => {
                        scene.deliver(webhooks.clone()).await;
                        scene.deliver(webhooks).await;
                    }
                    Fate::Delayed(by) => delayed.push((number + by, webhooks)),
                }
            }
            Step::Reconcile(late) => scene.reconcile(late).await,
        }
        for (_, mut webhooks) in delayed.extract_if(.., |(at, _)| *at <= number) {
            webhooks.reverse();
            scene.deliver(webhooks).await;
        }
        scene.adds_up().await;
    }
    // It is quiet for a while, so that the lists are right; then one reconciliation is enough.
    scene.world.advance(Duration::from_secs(15));
    scene.reconcile(MOST_LATE).await;
    scene.is_true().await;
    // What had been delayed comes only now, and once more one is enough.
    for (_, webhooks) in delayed {
        scene.deliver(webhooks).await;
    }
    scene.deliver(scene.world.webhooks()).await;
    scene.world.advance(Duration::from_secs(15));
    scene.reconcile(Duration::ZERO).await;
    scene.is_true().await;
    assert!(scene.orchestrator.reconcile(Duration::ZERO).await.unwrap().unwrap().repairs() == 0);
}

proptest! {
    #![proptest_config(Config {
        cases: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/contract/histories.regressions"))),
        ..Config::default()
    })]

    #[test]
    fn the_state_is_the_truth_after_one_reconciliation(steps in prop::collection::vec(step(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(play(steps));
    }
}
