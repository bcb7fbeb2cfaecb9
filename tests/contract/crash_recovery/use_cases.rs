//! The use cases during which a process crashes: the state before each, and its run.

use std::time::Duration;

use livestream_orchestrator::{
    access::Caller,
    domain::{Egress, EgressId, EgressStatus, Ingress, Metadata, MetadataPatch, Role, Stream, StreamStatus},
    orchestrator::{BlockRequest, LeaveRequest, ParticipantPatch, Patch},
    rooms::Rooms,
    store::Guard,
};

use super::fixture::{Fixture, ROOM, join, new_ingress, new_recording, new_room};
use crate::{
    backend::identity,
    crashing_process::{CrashPoint, Process},
    service::Service,
};

/// Use case during which the process crashes.
#[derive(Clone, Copy, Debug)]
pub(super) enum UseCase {
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
    /// Takes a stream with a viewer backstage.
    StopLive,
    /// Makes a connected host a viewer.
    Demote,
    /// Removes a connected participant.
    Remove,
    /// Blocks a connected participant.
    Block,
    /// Creates an ingress.
    CreateIngress,
    /// Deletes an ingress.
    DeleteIngress,
    /// Blocks the identity of an ingress.
    BlockIngress,
    /// Stops a stream with an ingress.
    StopWithIngress,
    /// Starts a recording.
    StartRecording,
    /// Stops a recording.
    StopRecording,
    /// Stops a stream with a recording.
    StopWithRecording,
}

pub(super) const USE_CASES: [UseCase; 22] = [
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
    UseCase::StopLive,
    UseCase::Demote,
    UseCase::Remove,
    UseCase::Block,
    UseCase::CreateIngress,
    UseCase::DeleteIngress,
    UseCase::BlockIngress,
    UseCase::StopWithIngress,
    UseCase::StartRecording,
    UseCase::StopRecording,
    UseCase::StopWithRecording,
];

impl Fixture {
    /// Creates the state before the use case; returns its stream.
    pub(super) async fn prepare(&self, use_case: UseCase) -> Option<Stream> {
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
            UseCase::DeleteIngress | UseCase::BlockIngress | UseCase::StopWithIngress => {
                self.create_ingress(&self.healthy_instance(), &stream).await;
            }
            UseCase::StopRecording | UseCase::StopWithRecording => {
                let id = self.start_recording(&self.healthy_instance(), &stream).await;
                self.livekit.report_egress(&id, EgressStatus::Active);
                self.deliver_webhooks().await;
            }
            UseCase::StopLive => {
                self.livekit.connect_as(ROOM, "eve", Role::Viewer);
                self.deliver_webhooks().await;
            }
            _ => {}
        }
        Some(stream)
    }

    async fn create_ingress(&self, orchestrator: &Service, stream: &Stream) {
        let (caller, reference) = (Caller::unrestricted(), stream.reference());
        drop(orchestrator.create_ingress(&caller, &reference, new_ingress("obs")).await.unwrap());
    }

    async fn start_recording(&self, orchestrator: &Service, stream: &Stream) -> EgressId {
        let (caller, reference) = (Caller::unrestricted(), stream.reference());
        orchestrator.start_egress(&caller, &reference, new_recording()).await.unwrap().egress.id
    }

    /// Stops the recordings of a stream.
    async fn stop_recordings(&self, orchestrator: &Service, stream: &Stream) {
        let (caller, reference) = (Caller::unrestricted(), stream.reference());
        for Egress { id, kind, .. } in self.store.egresses(stream.id).await.unwrap().egresses {
            let stopped = orchestrator.stop_egress(&caller, &reference, (kind, &id), Guard::default());
            drop(stopped.await.unwrap());
        }
    }

    pub(super) async fn run(&self, orchestrator: &Service, use_case: UseCase, stream: Option<Stream>) {
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
            UseCase::CreateIngress => self.create_ingress(orchestrator, &stream()).await,
            UseCase::DeleteIngress => {
                let (caller, stream) = (Caller::unrestricted(), stream());
                for Ingress { id, .. } in self.store.ingresses(stream.id).await.unwrap().ingresses {
                    let reference = stream.reference();
                    orchestrator.delete_ingress(&caller, &reference, &id, Guard::default()).await.unwrap();
                }
            }
            UseCase::StartRecording => drop(self.start_recording(orchestrator, &stream()).await),
            UseCase::StopRecording => self.stop_recordings(orchestrator, &stream()).await,
            UseCase::StopWithIngress | UseCase::StopWithRecording => {
                orchestrator.stop(&Caller::unrestricted(), &stream(), Guard::default()).await.unwrap();
            }
            _ => moderate(orchestrator, use_case, stream()).await,
        }
    }
}

/// Runs a use case of moderation.
async fn moderate(orchestrator: &Service, use_case: UseCase, stream: Stream) {
    let caller = Caller::unrestricted();
    match use_case {
        UseCase::StopLive => {
            drop(orchestrator.stop_live(&caller, &stream.reference(), Guard::default()).await.unwrap());
        }
        UseCase::Demote => {
            let patch = ParticipantPatch {
                identity: identity("ann"),
                role: Some(Role::Viewer),
                name: None,
                metadata: None,
                dedup_key: None,
            };
            drop(orchestrator.patch_participant(&caller, &stream.reference(), patch).await.unwrap());
        }
        UseCase::Remove => {
            let request = LeaveRequest::of(identity("ann"));
            drop(orchestrator.remove(&caller, stream, request).await.unwrap());
        }
        UseCase::Block | UseCase::BlockIngress => {
            let who = if matches!(use_case, UseCase::Block) { "ann" } else { "obs" };
            let request = BlockRequest::of(identity(who));
            let reference = stream.reference();
            drop(orchestrator.block(&caller, &reference, request).await.unwrap());
        }
        _ => panic!("{use_case:?} is no moderation"),
    }
}
