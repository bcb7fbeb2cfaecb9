//! What the tests of deployments of Redis stand on: two instances, an audience on every transport of both, changes
//! through both, and the logs beside them, wherever they are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use reqwest::StatusCode;
use serde_json::json;
use tokio::{
    task::JoinHandle,
    time::{Duration, MissedTickBehavior, interval},
};

use crate::support::{
    app::{Setup, TestApp},
    eventually,
    feed_client::Transport,
    recording::{
        DeliveryReport, LogAuditor, ReconnectDelay, RecordedMessage, RecordingClient, SharedUrl,
        compare_with_log, position,
    },
    servers::shared_livekit,
    unique,
};

const STREAMS: usize = 4;
/// Between two changes. A stream's log keeps 1,000 events, so this bounds how long a fault may last without a reset.
const PACE: Duration = Duration::from_millis(15);

pub struct DeliveryFixture {
    pub apps: Arc<[TestApp; 2]>,
    pub streams: Vec<String>,
    pub followers: Vec<RecordingClient>,
    auditors: Vec<(Option<String>, LogAuditor)>,
}

impl DeliveryFixture {
    /// On this Redis, with the logs at `redis`.
    pub async fn start(url: &str, prefix: &str, redis: &SharedUrl) -> Self {
        let setup = Setup::new(url, shared_livekit()).with(|arguments| {
            arguments.redis_prefix = Some(prefix.to_owned());
        });
        Self::with(&setup, redis).await
    }

    pub async fn with(setup: &Setup, redis: &SharedUrl) -> Self {
        let apps = Arc::new([setup.start().await, setup.start().await]);
        let prefix = setup.arguments.redis_prefix.as_deref().unwrap();
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            streams.push(apps[0].create(json!({})).await["id"].as_str().unwrap().to_owned());
        }
        let auditor = |topic: Option<String>| {
            let auditor = LogAuditor::start_at(redis, prefix, topic.as_deref());
            (topic, auditor)
        };
        let auditors = streams.iter().cloned().map(Some).chain([None]).map(auditor).collect();
        let mut followers = Vec::new();
        for transport in Transport::ALL {
            for app in &*apps {
                for topic in [None, Some(streams[0].clone()), Some(streams[1].clone())] {
                    followers.push(
                        RecordingClient::start(vec![app.into()], transport, topic, ReconnectDelay::Minimal)
                            .await,
                    );
                }
            }
        }
        Self { apps, streams, followers, auditors }
    }

    /// Changes one stream after another through one instance after another, until told to stop. A change that is refused
    /// is made again elsewhere; whatever is not done has to be answered with a 503 that says so.
    pub fn load(&self) -> Load {
        let load = Load::default();
        let (apps, streams, over, made, refused) = (
            self.apps.clone(),
            self.streams.clone(),
            load.over.clone(),
            load.made.clone(),
            load.refused.clone(),
        );
        let task = tokio::spawn(async move {
            let mut pace = interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                pace.tick().await;
                let done = made.lock().unwrap().len();
                let stream = &streams[done % STREAMS];
                let body = json!({"metadata": {"n": done}});
                let answer = apps[number % 2].patch(&format!("/streams/{stream}"), body).await;
                number += 1;
                if answer.status == StatusCode::OK {
                    made.lock().unwrap().push((stream.clone(), done));
                } else {
                    assert!(answer.header("retry-after").is_some(), "{}", answer.text);
                    answer.expect_problem(503, "store_unavailable");
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        *load.task.lock().unwrap() = Some(task);
        load
    }

    /// Waits until everybody has heard what the logs hold now.
    pub async fn until_heard(&mut self) {
        for follower in &mut self.followers {
            let (_, auditor) = self.auditors.iter().find(|(topic, _)| *topic == follower.stream).unwrap();
            let newest = auditor.newest();
            follower.wait_for("what there is", |recording| recording.last_position() >= newest).await;
        }
    }

    pub async fn wait_until_ready(&self, wanted: bool) {
        for app in &*self.apps {
            app.wait_until_ready(wanted).await;
        }
    }

    /// Waits until everybody has heard a last change of each stream, then compares what they heard with the logs. Resets
    /// are explained: nobody got more than one, and only such as had heard what Redis has forgotten.
    pub async fn delivery_report(&mut self) -> DeliveryReport {
        self.wait_until_ready(true).await;
        for id in &self.streams {
            let last = json!({"metadata": {"n": null, "last": unique("change")}});
            self.apps[0].patch(&format!("/streams/{id}"), last).await.expect(StatusCode::OK);
        }
        let mut total = DeliveryReport::default();
        for follower in &mut self.followers {
            let (_, auditor) = self.auditors.iter().find(|(topic, _)| *topic == follower.stream).unwrap();
            let of = follower.stream.as_ref().or(self.streams.last()).unwrap();
            let newest = newest(&self.apps[1], of).await;
            eventually("the auditor", || async { (auditor.newest()? >= newest).then_some(()) }).await;
            follower.wait_for("the last change", |recording| recording.last_position() >= Some(newest)).await;
            let (recording, log) = (follower.recording(), auditor.log());
            let report = compare_with_log(&recording, &log);
            let heard = |entry: &RecordedMessage| match entry {
                RecordedMessage::Event { position, .. } => {
                    log.entries.iter().any(|logged| logged.lost_by_redis && logged.position == *position)
                }
                RecordedMessage::Reset { .. } => false,
            };
            let explained = usize::from(recording.messages.iter().any(heard));
            assert_eq!(
                report.resets.values().sum::<usize>(),
                explained,
                "{:?} {:?} {report:?}, {:?}, the log is at {:?} after forgetting {} times",
                follower.transport,
                follower.stream,
                recording.resets().collect::<Vec<_>>(),
                log.entries.last(),
                log.epoch,
            );
            total.add(&report);
        }
        assert!(total.received > 0);
        total
    }

    /// How often each change stands in the log of its stream, as history tells it.
    pub async fn times_in_log(&self, made: &[(String, usize)]) -> Vec<usize> {
        let mut logged = Vec::new();
        for stream in &self.streams {
            let path = format!("/events/{stream}?limit=1000");
            let history = self.apps[1].get(&path).await.expect(StatusCode::OK);
            for event in history.as_array().unwrap() {
                let number = event["data"]["stream"]["metadata"]["n"].as_u64();
                let is_change = event["type"] == "stream_updated";
                logged.extend(
                    number.filter(|_| is_change).map(|n| (stream.clone(), usize::try_from(n).unwrap())),
                );
            }
        }
        made.iter().map(|change| logged.iter().filter(|logged| *logged == change).count()).collect()
    }
}

pub async fn newest(app: &TestApp, stream: &str) -> (u64, u64) {
    let history = app.get(&format!("/events/{stream}?limit=1")).await.expect(StatusCode::OK);
    position(history[0]["cursor"].as_str().unwrap())
}

#[derive(Default)]
pub struct Load {
    over: Arc<AtomicBool>,
    made: Arc<Mutex<Vec<(String, usize)>>>,
    refused: Arc<AtomicUsize>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Load {
    fn made(&self) -> usize {
        self.made.lock().unwrap().len()
    }

    /// How many changes have been refused.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Waits for so many more changes.
    pub async fn goes_on(&self, count: usize) {
        let wanted = self.made() + count;
        eventually("changes", || async { (self.made() >= wanted).then_some(()) }).await;
    }

    /// Waits until changes are refused.
    pub async fn is_refused(&self) {
        let wanted = self.refused() + 1;
        eventually("a refusal", || async { (self.refused() >= wanted).then_some(()) }).await;
    }

    /// Ends it; gives the changes that were acknowledged.
    pub async fn end(self) -> Vec<(String, usize)> {
        self.over.store(true, Ordering::Relaxed);
        let task = self.task.lock().unwrap().take().unwrap();
        task.await.unwrap();
        let made = self.made.lock().unwrap();
        made.clone()
    }
}
