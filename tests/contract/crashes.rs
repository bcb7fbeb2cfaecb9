//! A process dies in each gap between two steps of each use case. One reconciliation later nothing is left half done.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use super::{
    mortal::{Death, Life, Mortal},
    store::identity,
    world::{POLICY, World},
};
use livestream_orchestrator::{
    domain::{
        Identity, Metadata, MetadataPatch, ParticipantState, Role, RoomName, StopReason, Stream, StreamStatus,
    },
    orchestrator::{CreateRequest, JoinRequest, LeaveRequest, Orchestrator, Patch},
    rooms::Rooms,
    store::{Guard, PreviousAttempt, Store, StreamFilter},
    telemetry::Metrics,
};

const ROOM: &str = "the room";

fn new_room() -> CreateRequest {
    CreateRequest {
        room_name: Some(RoomName::parse(ROOM).unwrap()),
        metadata: Metadata::parse(r#"{"title":"first"}"#).unwrap(),
        ..CreateRequest::default()
    }
}

fn join(who: &str) -> JoinRequest {
    JoinRequest {
        identity: Identity::parse(who).unwrap(),
        name: None,
        role: Role::Host,
        metadata: None,
        attributes: None,
        dedup_key: None,
    }
}

/// What the process is doing when it dies.
#[derive(Clone, Copy, Debug)]
enum Usecase {
    Create,
    Join,
    LeaveActive,
    LeaveJoining,
    Patch,
    Stop,
    PatchToStopped,
    RoomFinished,
    /// The reconciler, with everything to repair that there is.
    Reconcile,
    /// The sweeper, healing what another process left half done.
    Sweep,
    /// A webhook about a room that came back after its stream was stopped.
    Remnant,
}

const USECASES: [Usecase; 11] = [
    Usecase::Create,
    Usecase::Join,
    Usecase::LeaveActive,
    Usecase::LeaveJoining,
    Usecase::Patch,
    Usecase::Stop,
    Usecase::PatchToStopped,
    Usecase::RoomFinished,
    Usecase::Reconcile,
    Usecase::Sweep,
    Usecase::Remnant,
];

struct Scene {
    world: Arc<World>,
    store: Arc<dyn Store>,
}

impl Scene {
    fn mortal(&self, life: &Arc<Life>) -> Orchestrator {
        let rooms: Arc<dyn Rooms> = self.world.clone();
        let store = Mortal { life: life.clone(), inner: self.store.clone() };
        let rooms = Mortal { life: life.clone(), inner: rooms };
        Orchestrator::new(Arc::new(store), Arc::new(rooms), POLICY, Arc::new(Metrics::new().unwrap()))
    }

    fn immortal(&self) -> Orchestrator {
        self.world.orchestrator(self.store.clone())
    }

    /// Delivers what LiveKit has to say.
    async fn hear(&self) {
        let orchestrator = self.immortal();
        for webhook in self.world.webhooks() {
            orchestrator.hear(webhook).await.unwrap();
        }
    }

    /// A stream with ann in it, and bob on his way.
    async fn stream(&self) -> Stream {
        let orchestrator = self.immortal();
        let stream = orchestrator.create(new_room()).await.unwrap().stream;
        for who in ["ann", "bob"] {
            orchestrator.join(&stream.reference(), join(who)).await.unwrap();
        }
        self.world.connect(ROOM, "ann");
        self.hear().await;
        self.store.get(stream.id).await.unwrap().unwrap()
    }

    /// What there is before the use case begins.
    async fn prepare(&self, usecase: Usecase) -> Option<Stream> {
        if matches!(usecase, Usecase::Create) {
            return None;
        }
        let stream = self.stream().await;
        match usecase {
            Usecase::RoomFinished => self.world.finish(ROOM),
            Usecase::Reconcile => {
                // All of it unheard of.
                self.world.disconnect(ROOM, "ann");
                self.world.connect(ROOM, "cat");
                let title = Metadata::parse(r#"{"title":"nobody's"}"#).unwrap();
                self.world.set_metadata(&stream.room_name, &title).await.unwrap();
                self.world.webhooks();
                self.world.advance(Duration::from_secs(20));
            }
            Usecase::Sweep => {
                let life = Life::until(Death { call: 1, after: false });
                let orchestrator = self.mortal(&life);
                let stopped = life.through(async {
                    orchestrator.stop(&stream, StopReason::Requested, Guard::default()).await.unwrap();
                });
                assert!(!stopped.await, "it died between the record and the room");
                self.world.advance(Duration::from_secs(60));
            }
            Usecase::Remnant => {
                self.immortal().stop(&stream, StopReason::Requested, Guard::default()).await.unwrap();
                self.world.webhooks();
                self.world.connect(ROOM, "ann");
            }
            _ => {}
        }
        Some(stream)
    }

    async fn run(&self, orchestrator: &Orchestrator, usecase: Usecase, stream: Option<Stream>) {
        let stream = || stream.clone().unwrap();
        let title = || Some(MetadataPatch::parse(r#"{"title":"second"}"#).unwrap());
        match usecase {
            Usecase::Create => drop(orchestrator.create(new_room()).await.unwrap()),
            Usecase::Join => drop(orchestrator.join(&stream().reference(), join("dan")).await.unwrap()),
            Usecase::LeaveActive => {
                drop(orchestrator.leave(stream(), LeaveRequest::of(identity("ann"))).await.unwrap());
            }
            Usecase::LeaveJoining => {
                drop(orchestrator.leave(stream(), LeaveRequest::of(identity("bob"))).await.unwrap());
            }
            Usecase::Patch => {
                let patch = Patch { metadata: title(), ..Patch::default() };
                orchestrator.patch(stream(), patch).await.unwrap();
            }
            Usecase::PatchToStopped => {
                let status = Some(StreamStatus::Stopped);
                let patch = Patch { metadata: title(), status, ..Patch::default() };
                orchestrator.patch(stream(), patch).await.unwrap();
            }
            Usecase::Stop => {
                orchestrator.stop(&stream(), StopReason::Requested, Guard::default()).await.unwrap();
            }
            Usecase::RoomFinished | Usecase::Remnant => {
                for webhook in self.world.webhooks() {
                    orchestrator.hear(webhook).await.unwrap();
                }
            }
            Usecase::Reconcile => drop(orchestrator.reconcile(Duration::ZERO).await.unwrap()),
            Usecase::Sweep => drop(orchestrator.sweep().await.unwrap()),
        }
    }

    /// Another process goes on: time passes, what is due is done, everything is compared once.
    async fn heal(&self) {
        self.world.webhooks();
        self.world.advance(Duration::from_secs(90));
        let orchestrator = self.immortal();
        orchestrator.sweep().await.unwrap();
        let reconcile = async || orchestrator.reconcile(Duration::ZERO).await.unwrap().expect("the lease");
        if reconcile().await.is_unfinished() {
            // What is too young to be decided is looked at again by itself.
            self.world.advance(POLICY.listing_grace + Duration::from_millis(1));
            reconcile().await;
        }
    }

    /// Nothing is half done, and what is shown is what is true.
    async fn is_whole(&self, told: &str) {
        let all = self.store.list(StreamFilter::All, 100, None).await.unwrap().items;
        assert!(!all.iter().any(|stream| stream.is_under_way()), "{told}: {all:#?}");
        let active: Vec<_> = all.iter().filter(|stream| stream.status == StreamStatus::Active).collect();
        let names: Vec<_> = active.iter().map(|stream| stream.room_name.to_string()).collect();
        assert_eq!(self.world.rooms(), names, "{told}: a room for each active stream, and no other");
        for stream in active {
            let truth = self.world.truth(stream.room_name.as_str()).unwrap();
            assert_eq!(stream.room_sid.as_ref(), Some(&truth.sid), "{told}");
            assert_eq!(truth.metadata, stream.metadata.as_text(), "{told}");
            let view = self.store.view(stream.id).await.unwrap().unwrap();
            let shown = view.participants.iter().filter(|one| one.state == ParticipantState::Active);
            let shown: Vec<_> = shown.map(|one| one.identity.to_string()).collect();
            let present: Vec<_> = truth.present.into_iter().map(|(who, ..)| who).collect();
            assert_eq!(shown, present, "{told}");
            assert_eq!(stream.participant_count as usize, shown.len(), "{told}");
            assert!(
                view.participants.iter().all(|one| one.state != ParticipantState::Joining),
                "{told}: nobody is expected for ever"
            );
        }
        for stream in all.iter().filter(|stream| stream.status.is_final()) {
            let view = self.store.view(stream.id).await.unwrap().unwrap();
            assert!(
                view.participants.iter().all(|one| one.state == ParticipantState::Disconnected),
                "{told}"
            );
        }
        // The name can be had: it is the live stream's, or free.
        let again = self.immortal().create(new_room()).await.unwrap();
        assert_eq!(again.stream.status, StreamStatus::Active, "{told}");
        assert_eq!(again.is_new, names.is_empty(), "{told}");
    }
}

#[tokio::test]
async fn a_death_between_any_two_steps_is_healed() {
    for usecase in USECASES {
        for after in [false, true] {
            for call in 0.. {
                let world = World::new();
                let scene = Scene { store: world.store(), world };
                let stream = scene.prepare(usecase).await;
                let life = Life::until(Death { call, after });
                let orchestrator = scene.mortal(&life);
                let finished = life.through(scene.run(&orchestrator, usecase, stream)).await;
                scene.heal().await;
                scene
                    .is_whole(&format!(
                        "{usecase:?}, dead {} call {call}",
                        if after { "after" } else { "before" }
                    ))
                    .await;
                if finished {
                    // Dying later than the last call is not dying. The simplest has two.
                    assert!(call >= 1, "{usecase:?}");
                    break;
                }
            }
        }
    }
}

/// What was acknowledged stays done, also when the process dies at once after it.
#[tokio::test]
async fn what_was_answered_stays() {
    let world = World::new();
    let scene = Scene { store: world.store(), world };
    let stream = scene.stream().await;
    let patch =
        Patch { metadata: Some(MetadataPatch::parse(r#"{"title":"kept"}"#).unwrap()), ..Patch::default() };
    scene.immortal().patch(stream.clone(), patch).await.unwrap();
    scene.heal().await;
    let kept = scene.store.get(stream.id).await.unwrap().unwrap();
    assert_eq!(kept.metadata.as_text(), r#"{"title":"kept"}"#);
    scene.is_whole("after a patch").await;
}

/// The first attempt dies between LiveKit and the record. Whoever asks again is not to put out somebody who has come back.
#[tokio::test]
async fn leaving_again_after_a_death_lets_who_has_come_back_stay() {
    let world = World::new();
    let scene = Scene { store: world.store(), world };
    let stream = scene.stream().await;
    let since = scene.world.now();
    scene.world.advance(Duration::from_secs(1));
    scene.world.remove(&stream.room_name, &identity("ann")).await.unwrap();
    scene.world.advance(Duration::from_secs(1));
    let ask = async || {
        let previous = Some(PreviousAttempt { since, changed_stream: None });
        let request = LeaveRequest { previous, ..LeaveRequest::of(identity("ann")) };
        scene.immortal().leave(stream.clone(), request).await.unwrap().participant.unwrap()
    };
    scene.world.connect(ROOM, "ann");
    scene.hear().await;
    assert!(ask().await.is_active(), "another session than the one that was meant");

    let stayed = PreviousAttempt { since: scene.world.now(), changed_stream: None };
    let request = LeaveRequest { previous: Some(stayed), ..LeaveRequest::of(identity("ann")) };
    let left = scene.immortal().leave(stream.clone(), request).await.unwrap();
    assert!(!left.participant.unwrap().is_active(), "the one that was meant is put out");
}
