//! Property: after one reconciliation the recorded state equals LiveKit's, LiveKit enforces the recorded roles and
//! access, and the log explains both.
//!
//! Actions in the room and moderating requests are random, and so are the faults of their webhooks: lost, duplicated,
//! delayed, reordered. LiveKit does not answer some of the requests, and the instance ends during others. Participants
//! connect with new and old tokens, and some are hidden.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod assertions;
mod requests;
mod steps;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use livestream_orchestrator::{
    access::Caller,
    domain::{AudienceMode, RoomName, StreamId, TokenMark},
    orchestrator::CreateRequest,
    rooms::RoomEvent,
    store::memory::MemoryStore,
};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, FileFailurePersistence},
};

use self::steps::{Step, WebhookFault, step};
use super::fake_livekit::{FakeLiveKit, MAX_LISTING_DELAY, POLICY};
use crate::service::Service;

/// Seeds of failed cases, which run before new random cases.
const REGRESSIONS: &str = "tests/contract/webhook_faults.regressions";
const ROOM: &str = "the room";
const IDENTITIES: [&str; 4] = ["ann", "bob", "cat", "dan"];

struct Fixture {
    livekit: Arc<FakeLiveKit>,
    store: Arc<MemoryStore>,
    orchestrator: Service,
    stream: StreamId,
    /// Marks of all tokens by identity, the oldest first.
    tokens: Mutex<HashMap<&'static str, Vec<TokenMark>>>,
}

impl Fixture {
    async fn new(audience: AudienceMode) -> Self {
        let livekit = FakeLiveKit::new();
        let store = livekit.store();
        let orchestrator = livekit.orchestrator(store.clone());
        let room_name = Some(RoomName::parse(ROOM).unwrap());
        let request = CreateRequest { room_name, audience: Some(audience), ..CreateRequest::default() };
        let stream = orchestrator.create(&Caller::unrestricted(), request).await.unwrap().stream.id;
        Self { livekit, store, orchestrator, stream, tokens: Mutex::default() }
    }

    async fn deliver(&self, webhooks: Vec<RoomEvent>) {
        for webhook in webhooks {
            self.orchestrator.process(webhook).await.unwrap();
        }
    }

    async fn reconcile(&self, delay: Duration) {
        self.orchestrator.sweep().await.unwrap();
        self.livekit.delay_listings(delay);
        let reconcile =
            async || self.orchestrator.reconcile(Duration::ZERO).await.unwrap().expect("the lease");
        if reconcile().await.is_unfinished() {
            // Differences that are too recent to be decided are reconciled again later.
            self.livekit.advance(POLICY.listing_grace + Duration::from_millis(1));
            reconcile().await;
        }
    }
}

async fn run_steps(audience: AudienceMode, steps: Vec<Step>) {
    let fixture = Fixture::new(audience).await;
    let mut delayed: Vec<(usize, Vec<RoomEvent>)> = Vec::new();
    fixture.deliver(fixture.livekit.take_webhooks()).await;
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Action(action, fault) => {
                fixture.perform(action).await;
                let webhooks = fixture.livekit.take_webhooks();
                match fault {
                    WebhookFault::Lost => {}
                    WebhookFault::Delivered => fixture.deliver(webhooks).await,
                    WebhookFault::Duplicated => {
                        fixture.deliver(webhooks.clone()).await;
                        fixture.deliver(webhooks).await;
                    }
                    WebhookFault::Delayed(by) => delayed.push((number + by, webhooks)),
                }
            }
            Step::Reconcile(delay) => fixture.reconcile(delay).await,
        }
        for (_, mut webhooks) in delayed.extract_if(.., |(at, _)| *at <= number) {
            webhooks.reverse();
            fixture.deliver(webhooks).await;
        }
        fixture.assert_log_is_consistent().await;
    }
    // After the maximum delay of listings, one reconciliation is enough.
    fixture.livekit.advance(Duration::from_secs(15));
    fixture.reconcile(MAX_LISTING_DELAY).await;
    fixture.assert_state_matches_livekit().await;
    // After the delayed webhooks, one further reconciliation is enough.
    for (_, webhooks) in delayed {
        fixture.deliver(webhooks).await;
    }
    fixture.deliver(fixture.livekit.take_webhooks()).await;
    fixture.livekit.advance(Duration::from_secs(15));
    fixture.reconcile(Duration::ZERO).await;
    fixture.assert_state_matches_livekit().await;
    assert!(fixture.orchestrator.reconcile(Duration::ZERO).await.unwrap().unwrap().repairs() == 0);
}

proptest! {
    #![proptest_config(Config {
        cases: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        ..Config::default()
    })]

    #[test]
    fn state_matches_livekit_after_one_reconciliation(
        audience in select(vec![AudienceMode::Listed, AudienceMode::Listed, AudienceMode::Counted]),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run_steps(audience, steps));
    }
}
