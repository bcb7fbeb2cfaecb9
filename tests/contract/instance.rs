//! One instance on a memory store and a fake LiveKit, for the tests of reconciler and sweeper.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use livestream_orchestrator::{
    access::Caller,
    domain::{RoomName, Stream},
    orchestrator::{CreateRequest, Outcome},
    store::{StreamStore, memory::MemoryStore},
    telemetry::Metrics,
};

use super::fake_livekit::{FakeLiveKit, POLICY};
use crate::service::Service;

/// Time after which a record is older than the delay of listings.
pub const LISTING_GRACE: Duration = Duration::from_secs(15);

/// One instance on a memory store and a fake LiveKit.
pub struct Fixture {
    pub livekit: Arc<FakeLiveKit>,
    pub store: Arc<MemoryStore>,
    pub orchestrator: Service,
}

impl Fixture {
    pub fn new() -> Self {
        let livekit = FakeLiveKit::new();
        let store = livekit.store();
        Self { orchestrator: livekit.orchestrator(store.clone()), store, livekit }
    }

    /// An instance without a storage of recordings and HLS.
    pub fn without_storage() -> Self {
        let livekit = FakeLiveKit::new();
        let (store, metrics) = (livekit.store(), Arc::new(Metrics::new().unwrap()));
        let (rooms, media) = (livekit.clone(), livekit.clone());
        let orchestrator = Service::with_storage(None, store.clone(), rooms, media, POLICY, metrics);
        Self { orchestrator, store, livekit }
    }

    pub async fn create(&self, room: &str) -> Stream {
        let request =
            CreateRequest { room_name: Some(RoomName::parse(room).unwrap()), ..CreateRequest::default() };
        self.orchestrator.create(&Caller::unrestricted(), request).await.unwrap().stream
    }

    pub async fn deliver_webhooks(&self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for webhook in self.livekit.take_webhooks() {
            outcomes.push(self.orchestrator.process(webhook).await.unwrap());
        }
        outcomes
    }

    pub async fn current(&self, stream: &Stream) -> Stream {
        self.store.get(stream.id).await.unwrap().unwrap()
    }

    /// Reconciles; returns the number of repairs.
    pub async fn reconcile(&self) -> u64 {
        self.orchestrator.reconcile(Duration::ZERO).await.unwrap().expect("the lease is free").repairs()
    }
}
