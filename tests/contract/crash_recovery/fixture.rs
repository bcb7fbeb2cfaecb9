//! A fake LiveKit with a store, crashing and healthy instances on them, and the assertion that both agree.

use std::{sync::Arc, time::Duration};

use livestream_orchestrator::{
    access::Caller,
    domain::{Identity, Metadata, ParticipantState, Role, RoomName, Stream, StreamStatus},
    orchestrator::{CreateRequest, JoinRequest},
    rooms::Rooms,
    store::{PartitionStore, StreamFilter},
    telemetry::Metrics,
};

use crate::{
    crashing_process::{Crashing, Process},
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
        let rooms: Arc<dyn Rooms> = self.livekit.clone();
        let store = Crashing { process: process.clone(), inner: self.store.clone() };
        let rooms = Crashing { process: process.clone(), inner: rooms };
        Service::new(Arc::new(store), Arc::new(rooms), POLICY, Arc::new(Metrics::new().unwrap()))
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
            let blocks = self.store.blocks(stream.id).await.unwrap();
            for one in view.participants.iter().filter(|one| one.is_active()) {
                let is_blocked = blocks.iter().any(|block| block.identity == one.identity);
                assert!(!is_blocked, "{context}: no blocked participant is present");
                assert_eq!(stream.denies(one), None, "{context}: no participant without access is present");
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
        // The room name belongs to the active stream or is free.
        let again = self.healthy_instance().create(&Caller::unrestricted(), new_room()).await.unwrap();
        assert_eq!(again.stream.status, StreamStatus::Active, "{context}");
        assert_eq!(again.is_new, names.is_empty(), "{context}");
    }
}
