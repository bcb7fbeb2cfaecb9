//! Property: after one reconciliation the recorded state equals LiveKit's, LiveKit enforces the recorded roles and
//! access, and the log explains both.
//!
//! Actions in the room and moderating requests are random, and so are the faults of their webhooks: lost, duplicated,
//! delayed, reordered. LiveKit does not answer some of the requests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod requests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use livestream_orchestrator::{
    access::Caller,
    domain::{
        Audience, AudienceMode, Change, Event, EventKind, Participant, ParticipantCounts, Role, RoomName,
        StreamId, StreamStatus, Topic, TrackSource,
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
use serde_json::json;

use self::requests::{Request, request, role};
use super::fake_livekit::{FakeLiveKit, MAX_LISTING_DELAY, POLICY};
use crate::{backend::RETENTION, service::Service};

/// Seeds of failed cases, which run before new random cases.
const REGRESSIONS: &str = "tests/contract/webhook_faults.regressions";
const ROOM: &str = "the room";
const IDENTITIES: [&str; 4] = ["ann", "bob", "cat", "dan"];

/// One action in the room.
#[derive(Clone, Copy, Debug)]
enum Action {
    /// Connects with a token for a role, and replaces an existing session.
    Connect(&'static str, Role),
    Disconnect(&'static str),
    /// What livekit-client calls a full reconnect, with a token for a role.
    Reconnect(&'static str, Role),
    /// A request, and whether LiveKit answers.
    Request(Request, bool),
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
        8 => (who(), role()).prop_map(|(who, role)| Action::Connect(who, role)),
        5 => who().prop_map(Action::Disconnect),
        3 => (who(), role()).prop_map(|(who, role)| Action::Reconnect(who, role)),
        8 => (request(), prop::bool::weighted(0.8)).prop_map(|(request, answers)| Action::Request(request, answers)),
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
    async fn new(audience: AudienceMode) -> Self {
        let livekit = FakeLiveKit::new();
        let store = livekit.store();
        let orchestrator = livekit.orchestrator(store.clone());
        let room_name = Some(RoomName::parse(ROOM).unwrap());
        let request = CreateRequest { room_name, audience: Some(audience), ..CreateRequest::default() };
        let stream = orchestrator.create(&Caller::unrestricted(), request).await.unwrap().stream.id;
        Self { livekit, store, orchestrator, stream }
    }

    async fn perform(&self, action: Action) {
        match action {
            Action::Connect(who, role) => self.livekit.connect_as(ROOM, who, role),
            Action::Disconnect(who) => self.livekit.disconnect(ROOM, who),
            Action::Reconnect(who, role) => {
                self.livekit.disconnect(ROOM, who);
                self.livekit.connect_as(ROOM, who, role);
            }
            Action::Request(request, is_available) => self.request(request, is_available).await,
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
        self.livekit.advance(RETENTION.count_interval);
        self.tell_counts().await;
        let view = self.store.view(self.stream).await.unwrap().expect("the stream is retained");
        let active: Vec<_> = self.participants().await.into_iter().filter(Participant::is_active).collect();
        let mut counts = ParticipantCounts::default();
        active.iter().for_each(|one| *counts.of_mut(one.role) += 1);
        assert_eq!(view.stream.counts, counts);
        let shown: Vec<_> =
            active.into_iter().map(|one| (one.identity.to_string(), one.sid.unwrap(), one.tracks)).collect();
        match self.livekit.room_state(ROOM) {
            Some(room) => {
                assert_eq!(view.stream.status, StreamStatus::Active);
                assert_eq!(view.stream.room_sid, Some(room.sid));
                let mut shown = shown;
                shown.sort_by(|one, other| one.0.cmp(&other.0));
                assert_eq!(shown, room.present);
                self.assert_livekit_enforces_record().await;
            }
            None => {
                assert_eq!(view.stream.status, StreamStatus::Stopped);
                assert!(shown.is_empty(), "{shown:?}");
            }
        }
        self.assert_log_is_consistent().await;
    }

    /// Makes an event of the counts of a counted stream.
    async fn tell_counts(&self) {
        let stream = self.store.get(self.stream).await.unwrap().unwrap().reference();
        self.store.apply(&stream, Change::TellCounts, Guard::default()).await.unwrap();
    }

    /// Asserts that replaying the log gives the recorded counts and participants.
    async fn assert_log_is_consistent(&self) {
        let view = self.store.view(self.stream).await.unwrap().unwrap();
        let log = self.store.newest(Topic::Stream(self.stream), 10_000).await.unwrap().unwrap();
        let mut participants: BTreeMap<String, Participant> = BTreeMap::new();
        let mut active = 0_i64;
        for (position, event) in log.iter().enumerate() {
            let draft = &event.draft;
            assert_eq!(event.seq(), position as u64 + 1);
            fold(&mut participants, event);
            match draft.kind {
                EventKind::ParticipantJoined => active += 1,
                EventKind::ParticipantLeft => active -= 1,
                _ => {}
            }
            // In a counted stream, participants come to the stage and leave it within a session.
            let is_listed = draft.stream.audience == Audience::Listed;
            assert!(!is_listed || i64::from(draft.stream.participant_count()) == active);
            assert!(draft.stream.peak_participant_count >= draft.stream.participant_count());
            assert_eq!(event.is_last(), position + 1 == log.len() && view.stream.status.is_final());
        }
        let document = |stream| serde_json::to_value(stream).unwrap();
        let mut last = document(&log.last().unwrap().draft.stream);
        last["metadata"] = json!({});
        assert_eq!(last, document(&view.stream.clone().map_metadata(Some)));
        let shown: BTreeMap<_, _> =
            view.participants.iter().cloned().map(|one| (one.identity.to_string(), one)).collect();
        assert_eq!(shown, participants);
    }
}

/// Folds an event into the participants of a document.
fn fold(participants: &mut BTreeMap<String, Participant>, event: &Event) {
    let draft = &event.draft;
    if let Some(one) = &draft.participant {
        participants.insert(one.identity.to_string(), one.clone());
        if draft.removed {
            participants.remove(one.identity.as_str());
        }
    }
    participants.retain(|_, one| draft.stream.audience == Audience::Listed || one.is_on_stage());
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
