//! A fake LiveKit with a store, crashing and healthy instances on them, and the assertion that both agree.

use std::{sync::Arc, time::Duration};

use livestream_orchestrator::{
    access::Caller,
    domain::{
        Egress, EgressStatus, Identity, Ingress, IngressKind, JobId, Metadata, ParticipantState, Role,
        RoomName, Stream, StreamEgresses, StreamIngresses, StreamStatus, ingress::INGRESS_PLAN_TTL,
    },
    orchestrator::{
        CreateRequest, EgressOrder, EgressRequest, IngressRequest, JoinRequest, RecordedSource,
        RecordingOrder,
    },
    store::{PartitionStore, StreamFilter},
};

use crate::{
    crashing_process::{Process, crashing_service},
    fake_livekit::{FakeLiveKit, POLICY},
    service::Service,
};

/// Name of the room in every test.
pub(super) const ROOM: &str = "the room";

pub(super) fn new_room() -> CreateRequest {
    CreateRequest {
        room_name: Some(RoomName::parse(ROOM).unwrap()),
        metadata: Metadata::parse(r#"{"title":"first"}"#).unwrap(),
        ..CreateRequest::default()
    }
}

pub(super) fn join(who: &str) -> JoinRequest {
    JoinRequest {
        identity: Identity::parse(who).unwrap(),
        name: None,
        role: Some(Role::Host),
        metadata: None,
        attributes: None,
        dedup_key: None,
    }
}

/// A request for an ingress, whose attempts all have one job.
pub(super) fn new_ingress(who: &str) -> IngressRequest {
    IngressRequest {
        kind: IngressKind::Rtmp,
        identity: Identity::parse(who).unwrap(),
        name: None,
        source: None,
        job: Some("01960000-0000-7000-8000-000000000009".parse::<JobId>().unwrap()),
        dedup_key: None,
        is_made: false,
    }
}

/// A request for a recording, whose attempts all have one job.
pub(super) fn new_recording() -> EgressRequest {
    let source = RecordedSource::Room(None);
    let order = RecordingOrder { source, audio_only: false, preset: None, path: None };
    EgressRequest {
        order: EgressOrder::Recording(order),
        job: Some("01960000-0000-7000-8000-000000000008".parse::<JobId>().unwrap()),
        dedup_key: None,
        is_made: false,
    }
}

/// One store and one LiveKit, which instances share.
pub(super) struct Fixture {
    pub(super) livekit: Arc<FakeLiveKit>,
    pub(super) store: Arc<dyn PartitionStore>,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let livekit = FakeLiveKit::new();
        Self { store: livekit.store(), livekit }
    }

    pub(super) fn crashing_instance(&self, process: &Arc<Process>) -> Service {
        crashing_service(process, self.store.clone(), (self.livekit.clone(), self.livekit.clone()))
    }

    pub(super) fn healthy_instance(&self) -> Service {
        self.livekit.orchestrator(self.store.clone())
    }

    /// Delivers all queued webhooks.
    pub(super) async fn deliver_webhooks(&self) {
        let orchestrator = self.healthy_instance();
        for webhook in self.livekit.take_webhooks() {
            orchestrator.process(webhook).await.unwrap();
        }
    }

    /// Creates a stream in which `ann` is active and `bob` is joining.
    pub(super) async fn stream(&self) -> Stream {
        let orchestrator = self.healthy_instance();
        let stream = orchestrator.create(&Caller::unrestricted(), new_room()).await.unwrap().stream;
        for who in ["ann", "bob"] {
            orchestrator.join(&Caller::unrestricted(), &stream.reference(), join(who)).await.unwrap();
        }
        self.livekit.connect(ROOM, "ann");
        self.deliver_webhooks().await;
        self.store.get(stream.id).await.unwrap().unwrap()
    }

    /// Sweeps and reconciles on another instance, after all locks and tokens have expired.
    pub(super) async fn recover(&self) {
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

    /// Asserts that the recorded ingresses are those of LiveKit, and that no intent keeps others from being created.
    async fn assert_ingresses_match(&self, context: &str) {
        let mut recorded = Vec::new();
        for stream in self.store.list(StreamFilter::All, 100, None).await.unwrap().items {
            let StreamIngresses { ingresses, plans } = self.store.ingresses(stream.id).await.unwrap();
            let now = self.livekit.now();
            assert!(plans.iter().all(|plan| plan.planned_at.plus(INGRESS_PLAN_TTL) < now), "{context}");
            assert_eq!(ingresses.len(), stream.ingresses as usize, "{context}");
            let of = |one: Ingress| (stream.room_name.to_string(), one.identity.to_string());
            recorded.extend(ingresses.into_iter().map(of));
        }
        assert_eq!(recorded, self.livekit.ingresses_present(), "{context}");
    }

    /// Asserts that the recordings that run are those of LiveKit.
    async fn assert_egresses_match(&self, context: &str) {
        let takes_media = |status| matches!(status, EgressStatus::Starting | EgressStatus::Active);
        let mut recorded = Vec::new();
        for stream in self.store.list(StreamFilter::All, 100, None).await.unwrap().items {
            let StreamEgresses { egresses, .. } = self.store.egresses(stream.id).await.unwrap();
            let is_running = egresses.iter().any(Egress::is_running);
            assert_eq!(stream.recording, is_running && !stream.status.is_final(), "{context}");
            recorded.extend(egresses.into_iter().filter(|one| takes_media(one.status)).map(|one| one.id));
        }
        assert_eq!(recorded, self.livekit.running_egresses(), "{context}");
    }

    /// Asserts that no operation is unfinished and that the store equals LiveKit.
    pub(super) async fn assert_consistent(&self, context: &str) {
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
            assert_eq!(stream.participant_count() as usize, shown.len(), "{context}");
            for one in view.participants.iter().filter(|one| one.is_active()) {
                let is_blocked = self.store.block(stream.id, one.identity.as_str()).await.unwrap().is_some();
                let denial = stream.denial(one, is_blocked);
                assert_eq!(denial, None, "{context}: no participant without access is present");
                let role = self.livekit.role_of(stream.room_name.as_str(), one.identity.as_str());
                assert!(role.is_none_or(|role| role == one.role), "{context}: LiveKit has the recorded role");
            }
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
        self.assert_ingresses_match(context).await;
        self.assert_egresses_match(context).await;
        // The room name belongs to the active stream or is free.
        let again = self.healthy_instance().create(&Caller::unrestricted(), new_room()).await.unwrap();
        assert_eq!(again.stream.status, StreamStatus::Active, "{context}");
        assert_eq!(again.is_new, names.is_empty(), "{context}");
    }
}
