//! A stream on a fake LiveKit whose archiver, webhooks and log fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::HashMap, sync::Arc, time::Duration};

use livestream_orchestrator::{
    access::Caller,
    domain::{AudienceMode, Change, ParticipantSid, Partition, RoomName, Session, StreamRef},
    history::Log,
    orchestrator::CreateRequest,
    rooms::{RoomEvent, RoomEventKind},
    store::{COUNT_INTERVAL, Followers, Guard, LogBounds, Retention, memory::MemoryStore},
};

use super::{
    Action, Step,
    model::{Model, Moment},
};
use crate::{
    archiver::Running,
    backend::{Backend, RETENTION, token},
    fake_livekit::FakeLiveKit,
    history_databases::{Database, rows},
    service::Service,
    support::eventually,
};

const ROOM: &str = "the room";
const HOUR: Duration = Duration::from_secs(3_600);
/// More than the time to live of a lease.
const LEASE: Duration = Duration::from_secs(11);
/// Time after which every difference to LiveKit is old enough to be repaired.
const GRACE: Duration = Duration::from_secs(15);

/// Bounds of 1,000 events of all streams.
const BOUNDS: LogBounds =
    LogBounds { retention: HOUR, min_events: 1, max_events: 100, max_bytes: 10_000_000 };
/// Number of events that displace all others.
const DISPLACING: u32 = 1_500;

/// One stream with its history.
pub struct Fixture {
    livekit: Arc<FakeLiveKit>,
    store: Arc<MemoryStore>,
    backend: Backend,
    service: Service,
    stream: StreamRef,
    /// The stream whose events displace others.
    noise: StreamRef,
    /// All sessions of LiveKit.
    sessions: HashMap<ParticipantSid, Session>,
    model: Model,
    database: Database,
    running: Option<Running>,
    losses: u32,
}

impl Fixture {
    pub async fn start(audience: AudienceMode, database: Database) -> Self {
        let livekit = FakeLiveKit::new();
        let clock = livekit.clone();
        let retention = Retention { log: BOUNDS, ..RETENTION };
        let store = Arc::new(MemoryStore::new(retention, Arc::new(move || clock.now())));
        let backend = Backend::of(store.clone());
        let service = livekit.orchestrator(store.clone());
        let running = Some(Running::start(&backend, &database.address));
        let create = async |room: &str| {
            let room_name = Some(RoomName::parse(room).unwrap());
            let request = CreateRequest { room_name, audience: Some(audience), ..CreateRequest::default() };
            service.create(&Caller::unrestricted(), request).await.unwrap().stream.reference()
        };
        let (stream, noise) = (create(ROOM).await, create("noise").await);
        let (sessions, model, losses) = (HashMap::new(), Model::default(), 0);
        let mut fixture = Self {
            livekit,
            store,
            backend,
            service,
            stream,
            noise,
            sessions,
            model,
            database,
            running,
            losses,
        };
        fixture.deliver(0).await;
        fixture
    }

    pub async fn step(&mut self, step: Step) {
        match step {
            Step::Action(action) => self.act(action).await,
            Step::Restart => {
                self.stop_archiver().await;
                self.start_archiver();
            }
            Step::Kill => {
                self.running.take().unwrap().kill().await;
                self.start_archiver();
                self.livekit.advance(LEASE);
            }
            Step::Lose(actions) => self.lose(actions).await,
        }
    }

    pub async fn stop_archiver(&mut self) {
        self.running.take().unwrap().stop().await;
    }

    fn start_archiver(&mut self) {
        self.running = Some(Running::start(&self.backend, &self.database.address));
    }

    /// Makes the log lose what the actions cause, except the visits, which have a log of their own.
    async fn lose(&mut self, actions: Vec<Action>) {
        self.await_archived().await;
        self.stop_archiver().await;
        self.model.is_lost = true;
        for action in actions {
            self.act(action).await;
        }
        // A token that expires later than the one before is an event.
        for n in 1..=DISPLACING {
            let hours = self.losses * DISPLACING + n;
            self.backend.change(&self.noise, token("ann", HOUR * hours)).await;
        }
        self.model.is_lost = false;
        self.losses += 1;
        self.start_archiver();
        self.await_archived().await;
    }

    async fn act(&mut self, action: Action) {
        match action {
            Action::Connect(who, role, kind, lost) => {
                let describe = |session: &mut Session| (session.role, session.kind) = (Some(role), kind);
                self.livekit.connect_with(ROOM, who, describe);
                self.deliver(lost).await;
            }
            Action::Disconnect(who, lost) => {
                self.livekit.disconnect(ROOM, who);
                self.deliver(lost).await;
            }
            Action::Reconcile => self.reconcile().await,
            Action::Wait(time) => self.livekit.advance(time),
        }
    }

    /// Delivers the queued webhooks that are not lost.
    async fn deliver(&mut self, lost: u8) {
        for (number, webhook) in self.livekit.take_webhooks().into_iter().enumerate() {
            if let RoomEventKind::Joined(session) = &webhook.kind {
                self.sessions.insert(session.sid.clone(), session.clone());
            }
            if (lost >> number) & 1 == 0 {
                self.process(webhook).await;
            }
        }
    }

    async fn process(&mut self, webhook: RoomEvent) {
        self.livekit.advance(COUNT_INTERVAL);
        let least = self.livekit.now().as_millis();
        self.service.process(webhook.clone()).await.unwrap();
        let now = Moment { least, most: self.livekit.now().as_millis() };
        match &webhook.kind {
            RoomEventKind::Joined(session) => self.model.joined(session, now),
            RoomEventKind::Left { identity, sid } => {
                self.model.left(identity.as_str(), sid, webhook.at.unwrap(), now);
            }
            _ => {}
        }
        self.tell_counts().await;
    }

    /// Tells the counts of a counted stream.
    async fn tell_counts(&self) {
        self.livekit.advance(COUNT_INTERVAL);
        self.backend.change(&self.stream, Change::TellCounts).await;
    }

    /// Reconciles when every difference is old enough.
    async fn reconcile(&mut self) {
        let least = self.livekit.now().as_millis();
        for _ in 0..2 {
            self.livekit.advance(GRACE);
            self.service.reconcile(Duration::ZERO).await.unwrap().expect("the lease");
        }
        let now = Moment { least, most: self.livekit.now().as_millis() };
        let present = self.livekit.room_state(ROOM).expect("the room").present;
        let listed: Vec<_> = present.iter().map(|(_, sid, _)| &self.sessions[sid]).collect();
        self.model.reconciled(&listed, now);
        self.tell_counts().await;
    }

    /// Stops the stream, or has LiveKit end its room.
    pub async fn stop(&mut self, is_lost: bool) {
        let least = self.livekit.now().as_millis();
        if is_lost {
            self.livekit.lose_room(ROOM);
            for _ in 0..3 {
                self.livekit.advance(GRACE);
                self.service.reconcile(Duration::ZERO).await.unwrap().expect("the lease");
            }
        } else {
            let stream = self.backend.store.get(self.stream.id).await.unwrap().unwrap();
            self.service.stop(&Caller::unrestricted(), &stream, Guard::default()).await.unwrap();
        }
        self.model.stopped(Moment { least, most: self.livekit.now().as_millis() });
    }

    /// Waits until the logs have nothing that is not stored.
    pub async fn await_archived(&self) {
        let history = &self.database.store;
        eventually("the history", || async {
            let stored = async |log| history.position(Partition::FIRST, log).await.ok().flatten();
            let newest = self.store.position_at(None).await.unwrap();
            let visits = stored(Log::Visits).await;
            let has_visits = self.backend.followed[0].visits_after(visits, 1).await.unwrap().is_some();
            (stored(Log::Events).await == Some(newest) && !has_visits).then_some(())
        })
        .await;
    }

    pub async fn assert_figures(&self) {
        let (history, id) = (&self.database.store, self.stream.id);
        let record = history.stream(id).await.unwrap().unwrap();
        assert!(record.stopped_at.is_some());
        self.model.assert_peak(record.peak_viewers);
        self.model.assert_watch_times(history.watch_times(id).await.unwrap());
        assert_eq!(history.visits(id, None, rows(10_000)).await.unwrap().rows.len(), self.model.visits());
        assert_eq!(history.gaps(Partition::FIRST, Log::Events).await.unwrap().len(), self.losses as usize);
        assert_eq!(history.gaps(Partition::FIRST, Log::Visits).await.unwrap(), []);
    }
}
