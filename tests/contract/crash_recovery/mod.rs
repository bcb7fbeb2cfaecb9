//! Recovery after a crash between any two steps of each use case: one sweep and one reconciliation restore consistency.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use super::{
    backend::identity,
    crashing_process::{CrashPoint, Crashing, Process},
    fake_livekit::{FakeLiveKit, POLICY},
};
use crate::service::Service;
use livestream_orchestrator::{
    access::Caller,
    domain::{Identity, Metadata, MetadataPatch, ParticipantState, Role, RoomName, Stream, StreamStatus},
    orchestrator::{CreateRequest, JoinRequest, LeaveRequest, Patch},
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

/// Use case during which the process crashes.
#[derive(Clone, Copy, Debug)]
enum UseCase {
    Create,
    Join,
    LeaveActive,
    LeaveJoining,
    Patch,
    Stop,
    PatchToStopped,
    RoomFinished,
    /// A reconciliation with every kind of repair.
    Reconcile,
    /// A sweep that continues a stop of a crashed process.
    Sweep,
    /// A webhook about a room that was reopened after its stream was stopped.
    OrphanedRoom,
}

const USE_CASES: [UseCase; 11] = [
    UseCase::Create,
    UseCase::Join,
    UseCase::LeaveActive,
    UseCase::LeaveJoining,
    UseCase::Patch,
    UseCase::Stop,
    UseCase::PatchToStopped,
    UseCase::RoomFinished,
    UseCase::Reconcile,
    UseCase::Sweep,
    UseCase::OrphanedRoom,
];

struct Fixture {
    livekit: Arc<FakeLiveKit>,
    store: Arc<dyn Store>,
}

impl Fixture {
    fn crashing_instance(&self, process: &Arc<Process>) -> Service {
        let rooms: Arc<dyn Rooms> = self.livekit.clone();
        let store = Crashing { process: process.clone(), inner: self.store.clone() };
        let rooms = Crashing { process: process.clone(), inner: rooms };
        Service::new(Arc::new(store), Arc::new(rooms), POLICY, Arc::new(Metrics::new().unwrap()))
    }

    fn healthy_instance(&self) -> Service {
        self.livekit.orchestrator(self.store.clone())
    }

    /// Delivers all queued webhooks.
    async fn deliver_webhooks(&self) {
        let orchestrator = self.healthy_instance();
        for webhook in self.livekit.take_webhooks() {
            orchestrator.process(webhook).await.unwrap();
        }
    }

    /// Creates a stream in which `ann` is active and `bob` is joining.
    async fn stream(&self) -> Stream {
        let orchestrator = self.healthy_instance();
        let stream = orchestrator.create(&Caller::unrestricted(), new_room()).await.unwrap().stream;
        for who in ["ann", "bob"] {
            orchestrator.join(&Caller::unrestricted(), &stream.reference(), join(who)).await.unwrap();
        }
        self.livekit.connect(ROOM, "ann");
        self.deliver_webhooks().await;
        self.store.get(stream.id).await.unwrap().unwrap()
    }

    /// Creates the state before the use case; returns its stream.
    async fn prepare(&self, use_case: UseCase) -> Option<Stream> {
        if matches!(use_case, UseCase::Create) {
            return None;
        }
        let stream = self.stream().await;
        match use_case {
            UseCase::RoomFinished => self.livekit.close_room(ROOM),
            UseCase::Reconcile => {
                // The webhooks of these changes are lost.
                self.livekit.disconnect(ROOM, "ann");
                self.livekit.connect(ROOM, "cat");
                let title = Metadata::parse(r#"{"title":"nobody's"}"#).unwrap();
                self.livekit.set_metadata(&stream.room_name, &title).await.unwrap();
                self.livekit.take_webhooks();
                self.livekit.advance(Duration::from_secs(20));
            }
            UseCase::Sweep => {
                let process = Process::crashing_at(CrashPoint { call: 1, after: false });
                let orchestrator = self.crashing_instance(&process);
                let stopped = process.run(async {
                    orchestrator.stop(&Caller::unrestricted(), &stream, Guard::default()).await.unwrap();
                });
                assert!(!stopped.await, "the process crashes between the store and LiveKit");
                self.livekit.advance(Duration::from_secs(60));
            }
            UseCase::OrphanedRoom => {
                self.healthy_instance()
                    .stop(&Caller::unrestricted(), &stream, Guard::default())
                    .await
                    .unwrap();
                self.livekit.take_webhooks();
                self.livekit.connect(ROOM, "ann");
            }
            _ => {}
        }
        Some(stream)
    }

    async fn run(&self, orchestrator: &Service, use_case: UseCase, stream: Option<Stream>) {
        let stream = || stream.clone().unwrap();
        let title = || Some(MetadataPatch::parse(r#"{"title":"second"}"#).unwrap());
        match use_case {
            UseCase::Create => drop(orchestrator.create(&Caller::unrestricted(), new_room()).await.unwrap()),
            UseCase::Join => drop(
                orchestrator.join(&Caller::unrestricted(), &stream().reference(), join("dan")).await.unwrap(),
            ),
            UseCase::LeaveActive => {
                drop(
                    orchestrator
                        .leave(&Caller::unrestricted(), stream(), LeaveRequest::of(identity("ann")))
                        .await
                        .unwrap(),
                );
            }
            UseCase::LeaveJoining => {
                drop(
                    orchestrator
                        .leave(&Caller::unrestricted(), stream(), LeaveRequest::of(identity("bob")))
                        .await
                        .unwrap(),
                );
            }
            UseCase::Patch => {
                let patch = Patch { metadata: title(), ..Patch::default() };
                orchestrator.patch(&Caller::unrestricted(), stream(), patch).await.unwrap();
            }
            UseCase::PatchToStopped => {
                let status = Some(StreamStatus::Stopped);
                let patch = Patch { metadata: title(), status, ..Patch::default() };
                orchestrator.patch(&Caller::unrestricted(), stream(), patch).await.unwrap();
            }
            UseCase::Stop => {
                orchestrator.stop(&Caller::unrestricted(), &stream(), Guard::default()).await.unwrap();
            }
            UseCase::RoomFinished | UseCase::OrphanedRoom => {
                for webhook in self.livekit.take_webhooks() {
                    orchestrator.process(webhook).await.unwrap();
                }
            }
            UseCase::Reconcile => drop(orchestrator.reconcile(Duration::ZERO).await.unwrap()),
            UseCase::Sweep => drop(orchestrator.sweep().await.unwrap()),
        }
    }

    /// Sweeps and reconciles on another instance, after all locks and tokens have expired.
    async fn recover(&self) {
        self.livekit.take_webhooks();
        self.livekit.advance(Duration::from_secs(90));
        let orchestrator = self.healthy_instance();
        orchestrator.sweep().await.unwrap();
        let reconcile = async || orchestrator.reconcile(Duration::ZERO).await.unwrap().expect("the lease");
        if reconcile().await.is_unfinished() {
            // Differences that are too recent to be decided are reconciled again later.
            self.livekit.advance(POLICY.listing_grace + Duration::from_millis(1));
            reconcile().await;
        }
    }

    /// Asserts that no operation is unfinished and that the store equals LiveKit.
    async fn assert_consistent(&self, context: &str) {
        let all = self.store.list(StreamFilter::All, 100, None).await.unwrap().items;
        assert!(!all.iter().any(|stream| stream.is_under_way()), "{context}: {all:#?}");
        let active: Vec<_> = all.iter().filter(|stream| stream.status == StreamStatus::Active).collect();
        let names: Vec<_> = active.iter().map(|stream| stream.room_name.to_string()).collect();
        assert_eq!(self.livekit.rooms(), names, "{context}: a room for each active stream, and no other");
        for stream in active {
            let room = self.livekit.room_state(stream.room_name.as_str()).unwrap();
            assert_eq!(stream.room_sid.as_ref(), Some(&room.sid), "{context}");
            assert_eq!(room.metadata, stream.metadata.as_text(), "{context}");
            let view = self.store.view(stream.id).await.unwrap().unwrap();
            let shown = view.participants.iter().filter(|one| one.state == ParticipantState::Active);
            let shown: Vec<_> = shown.map(|one| one.identity.to_string()).collect();
            let present: Vec<_> = room.present.into_iter().map(|(who, ..)| who).collect();
            assert_eq!(shown, present, "{context}");
            assert_eq!(stream.participant_count as usize, shown.len(), "{context}");
            assert!(
                view.participants.iter().all(|one| one.state != ParticipantState::Joining),
                "{context}: no participant is joining"
            );
        }
        for stream in all.iter().filter(|stream| stream.status.is_final()) {
            let view = self.store.view(stream.id).await.unwrap().unwrap();
            assert!(
                view.participants.iter().all(|one| one.state == ParticipantState::Disconnected),
                "{context}"
            );
        }
        // The room name belongs to the active stream or is free.
        let again = self.healthy_instance().create(&Caller::unrestricted(), new_room()).await.unwrap();
        assert_eq!(again.stream.status, StreamStatus::Active, "{context}");
        assert_eq!(again.is_new, names.is_empty(), "{context}");
    }
}

#[tokio::test]
async fn crash_between_any_two_steps_is_recovered() {
    for use_case in USE_CASES {
        for after in [false, true] {
            for call in 0.. {
                let livekit = FakeLiveKit::new();
                let fixture = Fixture { store: livekit.store(), livekit };
                let stream = fixture.prepare(use_case).await;
                let process = Process::crashing_at(CrashPoint { call, after });
                let orchestrator = fixture.crashing_instance(&process);
                let finished = process.run(fixture.run(&orchestrator, use_case, stream)).await;
                fixture.recover().await;
                fixture
                    .assert_consistent(&format!(
                        "{use_case:?}, crash {} call {call}",
                        if after { "after" } else { "before" }
                    ))
                    .await;
                if finished {
                    // The process finished before the crash point. Every use case has at least one call.
                    assert!(call >= 1, "{use_case:?}");
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn acknowledged_change_survives_crash() {
    let livekit = FakeLiveKit::new();
    let fixture = Fixture { store: livekit.store(), livekit };
    let stream = fixture.stream().await;
    let patch =
        Patch { metadata: Some(MetadataPatch::parse(r#"{"title":"kept"}"#).unwrap()), ..Patch::default() };
    fixture.healthy_instance().patch(&Caller::unrestricted(), stream.clone(), patch).await.unwrap();
    fixture.recover().await;
    let kept = fixture.store.get(stream.id).await.unwrap().unwrap();
    assert_eq!(kept.metadata.as_text(), r#"{"title":"kept"}"#);
    fixture.assert_consistent("after a patch").await;
}

/// The first attempt crashes between LiveKit and the store. A repeated request must not remove a newer session.
#[tokio::test]
async fn repeated_leave_after_crash_keeps_newer_session() {
    let livekit = FakeLiveKit::new();
    let fixture = Fixture { store: livekit.store(), livekit };
    let stream = fixture.stream().await;
    let since = fixture.livekit.now();
    fixture.livekit.advance(Duration::from_secs(1));
    fixture.livekit.remove_participant(&stream.room_name, &identity("ann")).await.unwrap();
    fixture.livekit.advance(Duration::from_secs(1));
    let leave = async || {
        let previous = Some(PreviousAttempt { since, changed_stream: None });
        let request = LeaveRequest { previous, ..LeaveRequest::of(identity("ann")) };
        fixture
            .healthy_instance()
            .leave(&Caller::unrestricted(), stream.clone(), request)
            .await
            .unwrap()
            .participant
            .unwrap()
    };
    fixture.livekit.connect(ROOM, "ann");
    fixture.deliver_webhooks().await;
    assert!(leave().await.is_active(), "the newer session stays");

    let stayed = PreviousAttempt { since: fixture.livekit.now(), changed_stream: None };
    let request = LeaveRequest { previous: Some(stayed), ..LeaveRequest::of(identity("ann")) };
    let left =
        fixture.healthy_instance().leave(&Caller::unrestricted(), stream.clone(), request).await.unwrap();
    assert!(!left.participant.unwrap().is_active(), "the session of the first request is removed");
}
