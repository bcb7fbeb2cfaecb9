//! Faults of a real Redis and of the network to it, under load: whoever follows hears every event, once, in order.
//!
//! Each fault is played twice. The second time what the feed loses is not repaired from the log: the same audience has
//! to see a loss then, or it would prove nothing the first time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::StatusCode;
use serde_json::json;
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::support::{
    app::{Setup, TestApp},
    eventually,
    fault_proxy::FaultProxy,
    feed_client::Transport,
    recording::{
        DeliveryReport, LogAuditor, ReconnectDelay, RecordedMessage, RecordingClient, compare_with_log,
        position,
    },
    servers::{Redis, shared_livekit},
};

const STREAMS: usize = 4;
/// Between two changes. A stream's log keeps 1,000 events, so this bounds how long a fault may last without a reset.
const PACE: Duration = Duration::from_millis(10);

/// Two instances, one of which reaches Redis through a proxy, and an audience on both.
struct FaultFixture {
    redis: Redis,
    proxy: FaultProxy,
    /// Makes the changes; reaches Redis directly.
    near: Arc<TestApp>,
    /// Reaches Redis through the proxy.
    far: TestApp,
    streams: Vec<String>,
    auditors: Vec<(Option<String>, LogAuditor)>,
    followers: Vec<RecordingClient>,
}

impl FaultFixture {
    async fn start(redis: Redis, repair: bool) -> Self {
        let proxy = FaultProxy::start(redis.port).await;
        let mut setup = Setup::new(&redis.url(), shared_livekit());
        setup.repair = repair;
        let near = Arc::new(setup.start().await);
        let far =
            setup.clone().with(|arguments| arguments.redis_url = Some(proxy.url().into())).start().await;
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            streams.push(near.create(json!({})).await["id"].as_str().unwrap().to_owned());
        }
        let prefix = setup.arguments.redis_prefix.as_deref().unwrap();
        let topics = streams.iter().cloned().map(Some).chain([None]);
        let auditor = |topic: Option<String>| {
            let auditor = LogAuditor::start(&redis.url(), prefix, topic.as_deref());
            (topic, auditor)
        };
        let auditors = topics.map(auditor).collect();
        let mut followers = Vec::new();
        for transport in Transport::ALL {
            for app in [&*near, &far] {
                for topic in [None, Some(streams[0].clone()), Some(streams[1].clone())] {
                    followers.push(
                        RecordingClient::start(vec![app.into()], transport, topic, ReconnectDelay::Minimal)
                            .await,
                    );
                }
            }
        }
        Self { redis, proxy, near, far, streams, auditors, followers }
    }

    /// Changes the streams one after another until told to stop. A change that is refused is made again.
    fn load(&self) -> Load {
        let (over, made) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (app, streams, stop, count) =
            (self.near.clone(), self.streams.clone(), over.clone(), made.clone());
        let task = tokio::spawn(async move {
            let mut pace = interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !stop.load(Ordering::Relaxed) {
                pace.tick().await;
                let number = count.load(Ordering::Relaxed);
                let path = format!("/streams/{}", streams[number % STREAMS]);
                let answer = app.patch(&path, json!({"metadata": {"n": number}})).await;
                count.fetch_add(usize::from(answer.status == StatusCode::OK), Ordering::Relaxed);
            }
        });
        Load { over, made, task }
    }

    /// Waits until everybody has heard a last change of each stream, then compares what they heard with the logs.
    async fn delivery_report(&mut self) -> DeliveryReport {
        self.near.wait_until_ready(true).await;
        self.far.wait_until_ready(true).await;
        for id in &self.streams {
            let last = json!({"metadata": {"last": true}});
            self.near.patch(&format!("/streams/{id}"), last).await.expect(StatusCode::OK);
        }
        let mut total = DeliveryReport::default();
        for follower in &mut self.followers {
            let (_, auditor) = self.auditors.iter().find(|(topic, _)| *topic == follower.stream).unwrap();
            let newest = match &follower.stream {
                Some(id) => newest(&self.near, id).await,
                None => newest(&self.near, self.streams.last().unwrap()).await,
            };
            let newest = position(&newest);
            eventually("the auditor", || async { (auditor.newest()? >= newest).then_some(()) }).await;
            follower.wait_for("the last change", |recording| recording.last_position() >= Some(newest)).await;
            total.add(&compare_with_log(&follower.recording(), &auditor.log()));
        }
        total
    }
}

async fn newest(app: &TestApp, stream: &str) -> String {
    let history = app.get(&format!("/events/{stream}?limit=1")).await.expect(StatusCode::OK);
    history[0]["cursor"].as_str().unwrap().to_owned()
}

struct Load {
    over: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Load {
    fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// Waits for so many more changes.
    async fn goes_on(&self, count: usize) {
        let wanted = self.made() + count;
        eventually("changes", || async { (self.made() >= wanted).then_some(()) }).await;
    }

    async fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
    }
}

/// Plays a fault with and without repair.
async fn run_with_and_without_repair(
    redis: impl Fn() -> Redis,
    fault: impl AsyncFn(&mut FaultFixture, &Load),
) {
    for repair in [true, false] {
        let mut fixture = FaultFixture::start(redis(), repair).await;
        let load = fixture.load();
        load.goes_on(20).await;
        fault(&mut fixture, &load).await;
        load.goes_on(20).await;
        load.end().await;
        let report = fixture.delivery_report().await;
        assert!(report.received > 0);
        if repair {
            assert!(report.is_exactly_once(), "{report:?}");
        } else {
            assert!(report.lost > 0, "without repair the audience must see a loss: {report:?}");
        }
    }
}

async fn kill_clients(redis: &Redis, kind: &str) {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let kill = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg(kind).to_owned();
    let _: i64 = kill.query_async(&mut connection).await.unwrap();
}

#[tokio::test]
async fn repeatedly_killed_subscription_loses_no_event() {
    run_with_and_without_repair(Redis::start, async |fixture, load| {
        for _ in 0..15 {
            kill_clients(&fixture.redis, "pubsub").await;
            load.goes_on(10).await;
        }
    })
    .await;
}

#[tokio::test]
async fn killed_redis_connections_lose_no_event() {
    run_with_and_without_repair(Redis::start, async |fixture, load| {
        for _ in 0..5 {
            kill_clients(&fixture.redis, "pubsub").await;
            kill_clients(&fixture.redis, "normal").await;
            load.goes_on(20).await;
        }
    })
    .await;
}

#[tokio::test]
async fn restarted_durable_redis_loses_no_event() {
    run_with_and_without_repair(Redis::start_durable, async |fixture, load| {
        for _ in 0..3 {
            fixture.redis.kill();
            fixture.far.wait_until_ready(false).await;
            // The far instance does not get its feed back while changes are made already.
            fixture.proxy.silence_subscriptions(true);
            fixture.redis.restart();
            load.goes_on(30).await;
            fixture.proxy.silence_subscriptions(false);
            fixture.far.wait_until_ready(true).await;
        }
    })
    .await;
}

#[tokio::test]
async fn silent_subscription_loses_no_event() {
    run_with_and_without_repair(Redis::start, async |fixture, load| {
        fixture.proxy.silence_subscriptions(true);
        load.goes_on(100).await;
        fixture.far.wait_until_ready(false).await;
        fixture.proxy.silence_subscriptions(false);
        fixture.far.wait_until_ready(true).await;
    })
    .await;
}

#[tokio::test]
async fn dropped_pubsub_messages_are_repaired_from_log() {
    run_with_and_without_repair(Redis::start, async |fixture, load| {
        fixture.proxy.drop_messages(30);
        load.goes_on(300).await;
        fixture.proxy.drop_messages(0);
        assert!(fixture.proxy.dropped_messages() > 100);
    })
    .await;
}

#[tokio::test]
async fn delayed_pubsub_messages_are_delivered_once() {
    let mut fixture = FaultFixture::start(Redis::start(), true).await;
    let load = fixture.load();
    fixture.proxy.delay(Duration::from_millis(300));
    load.goes_on(100).await;
    fixture.proxy.delay(Duration::ZERO);
    load.goes_on(20).await;
    load.end().await;
    let report = fixture.delivery_report().await;
    assert!(report.is_exactly_once(), "{report:?}");
}

/// No later event shows that there is a gap: only the log's tail does.
#[tokio::test]
async fn dropped_last_message_is_found_by_comparing_log_tails() {
    for repair in [true, false] {
        let mut fixture = FaultFixture::start(Redis::start(), repair).await;
        fixture.proxy.drop_messages(100);
        let path = format!("/streams/{}", fixture.streams[0]);
        fixture.near.patch(&path, json!({"metadata": {"quiet": true}})).await.expect(StatusCode::OK);
        let newest = position(&newest(&fixture.near, &fixture.streams[0]).await);
        let hears = |follower: &&mut RecordingClient| {
            follower.stream.as_ref().is_none_or(|stream| *stream == fixture.streams[0])
        };
        if repair {
            for follower in fixture.followers.iter_mut().filter(hears) {
                follower
                    .wait_for("the lost change", |recording| recording.last_position() == Some(newest))
                    .await;
            }
        }
        fixture.proxy.drop_messages(0);
        let report = fixture.delivery_report().await;
        assert_eq!(report.is_exactly_once(), repair, "{report:?}");
        assert_eq!(report.lost > 0, !repair, "{report:?}");
    }
}

#[tokio::test]
async fn redis_without_its_data_resets_each_client_once() {
    let mut fixture = FaultFixture::start(Redis::start(), true).await;
    let load = fixture.load();
    load.goes_on(40).await;
    load.end().await;
    fixture.redis.kill();
    fixture.redis.restart();
    for follower in &mut fixture.followers {
        let is_reset = |entry: &RecordedMessage| matches!(entry, RecordedMessage::Reset { .. });
        follower.wait_for("a reset", |recording| recording.messages.iter().any(is_reset)).await;
        if follower.stream.is_some() {
            follower.wait_for("the end of a stream that is gone", |recording| recording.complete).await;
        }
    }
    // Who follows all streams goes on with what there is now.
    fixture.streams = vec![fixture.near.create(json!({})).await["id"].as_str().unwrap().to_owned()];
    fixture.followers.retain(|follower| follower.stream.is_none());
    let report = fixture.delivery_report().await;
    assert_eq!((report.lost, report.duplicates, report.out_of_order), (0, 0, 0), "{report:?}");
    assert_eq!(report.resets.values().sum::<usize>(), fixture.followers.len(), "{report:?}");
}

/// The control of the one above: without repair nobody is told that the data is gone.
#[tokio::test]
async fn redis_without_its_data_resets_no_client_if_repair_is_off() {
    let mut fixture = FaultFixture::start(Redis::start(), false).await;
    let load = fixture.load();
    load.goes_on(40).await;
    load.end().await;
    fixture.redis.kill();
    fixture.redis.restart();
    fixture.near.wait_until_ready(true).await;
    fixture.far.wait_until_ready(true).await;
    fixture.streams = vec![fixture.near.create(json!({})).await["id"].as_str().unwrap().to_owned()];
    fixture.followers.retain(|follower| follower.stream.is_none());
    let report = fixture.delivery_report().await;
    assert!(report.resets.is_empty(), "{report:?}");
}
