//! Property: after one reconciliation the recorded state equals LiveKit's, and the log explains it.
//!
//! Actions in the room are random, and so are the faults of their webhooks: lost, duplicated, delayed, reordered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use livestream_orchestrator::{
    access::Caller,
    domain::{
        EventKind, Metadata, Participant, ParticipantState, RoomName, StreamId, StreamStatus, Topic,
        TrackSource,
    },
    orchestrator::CreateRequest,
    rooms::RoomEvent,
    store::{EventFeed, Guard, StreamStore, memory::MemoryStore},
};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, FileFailurePersistence},
};

use super::fake_livekit::{FakeLiveKit, MAX_LISTING_DELAY, POLICY};
use crate::service::Service;

/// Seeds of failed cases, which run before new random cases.
const REGRESSIONS: &str = "tests/contract/webhook_faults.regressions";
const ROOM: &str = "the room";
const IDENTITIES: [&str; 4] = ["ann", "bob", "cat", "dan"];

/// One action in the room.
#[derive(Clone, Copy, Debug)]
enum Action {
    /// Connects, and replaces an existing session.
    Connect(&'static str),
    Disconnect(&'static str),
    /// What livekit-client calls a full reconnect.
    Reconnect(&'static str),
    Publish(&'static str, TrackSource),
    /// LiveKit closes the room.
    Finish,
    /// LiveKit loses the room without webhooks.
    Lose,
    /// The app stops the stream.
    Stop,
    /// LiveKit's clock steps, or participants move to a node with another clock.
    ClockStep(i64),
    /// The clock of the store advances.
    Wait(Duration),
}

/// Fault of the webhooks of one action.
#[derive(Clone, Copy, Debug)]
enum WebhookFault {
    Lost,
    Delivered,
    Duplicated,
    /// Delayed by this many steps, in reverse order.
    Delayed(usize),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Action(Action, WebhookFault),
    /// A reconciliation whose listings are delayed by this time.
    Reconcile(Duration),
}

fn step() -> impl Strategy<Value = Step> {
    let who = || select(&IDENTITIES[..]);
    let source = select(&TrackSource::ALL[..4]);
    let wait = select(vec![1u64, 300, 2_000, 8_000, 20_000]);
    let action = prop_oneof![
        8 => who().prop_map(Action::Connect),
        5 => who().prop_map(Action::Disconnect),
        3 => who().prop_map(Action::Reconnect),
        4 => (who(), source).prop_map(|(who, source)| Action::Publish(who, source)),
        6 => wait.prop_map(|millis| Action::Wait(Duration::from_millis(millis))),
        2 => select(vec![0i64, -40_000, 30_000]).prop_map(Action::ClockStep),
        1 => Just(Action::Finish),
        1 => Just(Action::Lose),
        1 => Just(Action::Stop),
    ];
    let fault = prop_oneof![
        2 => Just(WebhookFault::Lost),
        5 => Just(WebhookFault::Delivered),
        1 => Just(WebhookFault::Duplicated),
        2 => (1..12usize).prop_map(WebhookFault::Delayed),
    ];
    let delay = (0..=u64::try_from(MAX_LISTING_DELAY.as_millis()).unwrap()).prop_map(Duration::from_millis);
    prop_oneof![
        7 => (action, fault).prop_map(|(action, fault)| Step::Action(action, fault)),
        1 => delay.prop_map(Step::Reconcile),
    ]
}

struct Fixture {
    livekit: Arc<FakeLiveKit>,
    store: Arc<MemoryStore>,
    orchestrator: Service,
    stream: StreamId,
}

impl Fixture {
    async fn new() -> Self {
        let livekit = FakeLiveKit::new();
        let store = livekit.store();
        let orchestrator = livekit.orchestrator(store.clone());
        let request =
            CreateRequest { room_name: Some(RoomName::parse(ROOM).unwrap()), ..CreateRequest::default() };
        let stream = orchestrator.create(&Caller::unrestricted(), request).await.unwrap().stream.id;
        Self { livekit, store, orchestrator, stream }
    }

    async fn perform(&self, action: Action) {
        match action {
            Action::Connect(who) => self.livekit.connect(ROOM, who),
            Action::Disconnect(who) => self.livekit.disconnect(ROOM, who),
            Action::Reconnect(who) => {
                self.livekit.disconnect(ROOM, who);
                self.livekit.connect(ROOM, who);
            }
            Action::Publish(who, source) => self.livekit.publish(ROOM, who, source),
            Action::Finish => self.livekit.close_room(ROOM),
            Action::Lose => self.livekit.lose_room(ROOM),
            Action::Stop => {
                let stream = self.store.get(self.stream).await.unwrap().unwrap();
                self.orchestrator.stop(&Caller::unrestricted(), &stream, Guard::default()).await.unwrap();
            }
            Action::ClockStep(ahead) => self.livekit.set_clock_offset(ahead),
            Action::Wait(time) => self.livekit.advance(time),
        }
    }

    async fn deliver(&self, webhooks: Vec<RoomEvent>) {
        for webhook in webhooks {
            self.orchestrator.process(webhook).await.unwrap();
        }
    }

    async fn reconcile(&self, delay: Duration) {
        self.livekit.delay_listings(delay);
        let reconcile =
            async || self.orchestrator.reconcile(Duration::ZERO).await.unwrap().expect("the lease");
        if reconcile().await.is_unfinished() {
            // Differences that are too recent to be decided are reconciled again later.
            self.livekit.advance(POLICY.listing_grace + Duration::from_millis(1));
            reconcile().await;
        }
    }

    /// Asserts that the recorded state equals LiveKit's.
    async fn assert_state_matches_livekit(&self) {
        let view = self.store.view(self.stream).await.unwrap().expect("the stream is retained");
        let shown: Vec<_> = view
            .participants
            .iter()
            .filter(|one| one.state == ParticipantState::Active)
            .map(|one| (one.identity.to_string(), one.sid.clone().unwrap(), one.tracks.clone()))
            .collect();
        match self.livekit.room_state(ROOM) {
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
        self.assert_log_is_consistent().await;
    }

    /// Asserts that replaying the log gives the recorded counts and participants.
    async fn assert_log_is_consistent(&self) {
        let view = self.store.view(self.stream).await.unwrap().unwrap();
        let log = self.store.newest(Topic::Stream(self.stream), 10_000).await.unwrap().unwrap();
        let mut participants: BTreeMap<String, Participant> = BTreeMap::new();
        let mut active = 0;
        for (position, event) in log.iter().enumerate() {
            let draft = &event.draft;
            assert_eq!(event.seq(), position as u64 + 1);
            if let Some(one) = &draft.participant {
                participants.insert(one.identity.to_string(), one.clone());
            }
            match draft.kind {
                EventKind::ParticipantJoined => active += 1,
                EventKind::ParticipantLeft => active -= 1,
                _ => {}
            }
            assert_eq!(draft.stream.participant_count(), active);
            assert!(draft.stream.peak_participant_count >= active);
            assert_eq!(event.is_last(), position + 1 == log.len() && view.stream.status.is_final());
        }
        let last = log.last().unwrap().draft.stream.clone();
        assert_eq!(last.with_metadata(Metadata::default()), view.stream);
        assert_eq!(view.stream.participant_count(), active);
        let shown: BTreeMap<_, _> =
            view.participants.iter().cloned().map(|one| (one.identity.to_string(), one)).collect();
        assert_eq!(shown, participants);
    }
}

async fn run_steps(steps: Vec<Step>) {
    let fixture = Fixture::new().await;
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
    fn state_matches_livekit_after_one_reconciliation(steps in prop::collection::vec(step(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run_steps(steps));
    }
}
