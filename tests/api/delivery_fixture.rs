//! Fixture of delivery tests: two instances, clients on every transport of both, changes under load, copies of the
//! logs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use reqwest::{Method, StatusCode};
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
        DeliveryReport, LogAuditor, Position, ReconnectDelay, RecordedMessage, RecordingClient, SharedUrl,
        compare_with_log, position,
    },
    servers::shared_livekit,
    unique,
};

const STREAMS: usize = 4;
/// Time between two changes. A stream's log keeps 1,000 events, so it bounds the duration of a fault without a reset.
const CHANGE_INTERVAL: Duration = Duration::from_millis(15);

/// A stream's id and the number that the change wrote into its metadata.
pub type Change = (String, usize);

pub struct DeliveryFixture {
    pub apps: Arc<[TestApp; 2]>,
    pub streams: Vec<String>,
    pub clients: Vec<RecordingClient>,
    auditors: Vec<(Option<String>, LogAuditor)>,
}

impl DeliveryFixture {
    /// Starts two instances with this Redis URL. `log_url` is the server that has the logs.
    pub async fn start(url: &str, prefix: &str, log_url: &SharedUrl) -> Self {
        let setup = Setup::new(url, shared_livekit()).with(|arguments| {
            arguments.redis_prefix = Some(prefix.to_owned());
        });
        let apps = [setup.start().await, setup.start().await];
        Self::start_with(apps, prefix, log_url).await
    }

    /// Creates streams and connects clients to these instances.
    pub async fn start_with(apps: [TestApp; 2], prefix: &str, log_url: &SharedUrl) -> Self {
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            streams.push(apps[0].create(json!({})).await["id"].as_str().unwrap().to_owned());
        }
        let auditor = |topic: Option<String>| {
            let auditor = LogAuditor::start_at(log_url, prefix, topic.as_deref());
            (topic, auditor)
        };
        let auditors = streams.iter().cloned().map(Some).chain([None]).map(auditor).collect();
        let mut clients = Vec::new();
        for transport in Transport::ALL {
            for app in &apps {
                for topic in [None, Some(streams[0].clone()), Some(streams[1].clone())] {
                    let delay = ReconnectDelay::Minimal;
                    clients.push(RecordingClient::start(vec![app.into()], transport, topic, delay).await);
                }
            }
        }
        Self { apps: Arc::new(apps), streams, clients, auditors }
    }

    /// Starts changes through both instances.
    pub fn start_load(&self) -> Load {
        self.start_load_through(&[0, 1])
    }

    /// Starts changes of one stream after another, through these instances in turn.
    ///
    /// A refused change is repeated through the next instance. Every refusal must be a 503 `store_unavailable`.
    pub fn start_load_through(&self, instances: &[usize]) -> Load {
        let counts = Counts::default();
        let task = tokio::spawn(change_until_stopped(
            self.apps.clone(),
            instances.to_vec(),
            self.streams.clone(),
            counts.clone(),
        ));
        Load { counts, task }
    }

    pub async fn wait_until_ready(&self, wanted: bool) {
        for app in &*self.apps {
            app.wait_until_ready(wanted).await;
        }
    }

    /// Waits until every client has the events that the log copies have now.
    pub async fn wait_for_deliveries(&mut self) {
        for client in &mut self.clients {
            let newest = auditor_of(&self.auditors, client).newest();
            client.wait_for("the newest event", |recording| recording.last_position() >= newest).await;
        }
    }

    /// Makes a last change of each stream and waits until every log copy and every client has it.
    async fn wait_for_last_changes(&mut self) {
        self.wait_until_ready(true).await;
        for id in &self.streams {
            let last = json!({"metadata": {"n": null, "last": unique("change")}});
            let path = format!("/streams/{id}");
            self.apps[0].send_when_available(Method::PATCH, &path, last).await.expect(StatusCode::OK);
        }
        for client in &mut self.clients {
            let auditor = auditor_of(&self.auditors, client);
            let stream = client.stream.as_ref().or(self.streams.last()).unwrap();
            let newest = newest_position(&self.apps[0], stream).await;
            eventually("the log copy", || async { (auditor.newest()? >= newest).then_some(()) }).await;
            client.wait_for("the last change", |recording| recording.last_position() >= Some(newest)).await;
        }
    }

    /// Waits for a last change of each stream and compares all recordings with the logs.
    ///
    /// Checks that exactly those clients got a reset that had received events which Redis lost, and got only one.
    pub async fn delivery_report(&mut self) -> DeliveryReport {
        let total = self.delivery_report_without_reset_check().await;
        for client in &self.clients {
            let (recording, log) = (client.recording(), auditor_of(&self.auditors, client).log());
            let report = compare_with_log(&recording, &log);
            let is_lost = |message: &RecordedMessage| match message {
                RecordedMessage::Event { position, .. } => {
                    log.entries.iter().any(|entry| entry.lost_by_redis && entry.position == *position)
                }
                RecordedMessage::Reset { .. } => false,
            };
            let expected = usize::from(recording.messages.iter().any(is_lost));
            assert_eq!(
                report.resets.values().sum::<usize>(),
                expected,
                "{:?} {:?} {report:?}, {:?}, the log is at {:?} after {} data losses",
                client.transport,
                client.stream,
                recording.resets().collect::<Vec<_>>(),
                log.entries.last(),
                log.epoch,
            );
        }
        assert!(total.received > 0);
        total
    }

    /// As [`Self::delivery_report`], for tests in which resets are expected to be missing.
    pub async fn delivery_report_without_reset_check(&mut self) -> DeliveryReport {
        self.wait_for_last_changes().await;
        let mut total = DeliveryReport::default();
        for client in &self.clients {
            let log = auditor_of(&self.auditors, client).log();
            total.add(&compare_with_log(&client.recording(), &log));
        }
        total
    }

    /// Counts how often each change is in the history of its stream.
    pub async fn times_in_log(&self, made: &[Change]) -> Vec<usize> {
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

fn auditor_of<'a>(auditors: &'a [(Option<String>, LogAuditor)], client: &RecordingClient) -> &'a LogAuditor {
    &auditors.iter().find(|(topic, _)| *topic == client.stream).unwrap().1
}

/// Position of a stream's newest event.
pub async fn newest_position(app: &TestApp, stream: &str) -> Position {
    let history = app.get(&format!("/events/{stream}?limit=1")).await.expect(StatusCode::OK);
    position(history[0]["cursor"].as_str().unwrap())
}

#[derive(Clone, Default)]
struct Counts {
    stopped: Arc<AtomicBool>,
    made: Arc<Mutex<Vec<Change>>>,
    refused: Arc<AtomicUsize>,
}

async fn change_until_stopped(
    apps: Arc<[TestApp; 2]>,
    instances: Vec<usize>,
    streams: Vec<String>,
    counts: Counts,
) {
    let mut pace = interval(CHANGE_INTERVAL);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for instance in instances.into_iter().cycle() {
        if counts.stopped.load(Ordering::Relaxed) {
            return;
        }
        pace.tick().await;
        let number = counts.made.lock().unwrap().len();
        let stream = &streams[number % STREAMS];
        let body = json!({"metadata": {"n": number}});
        let answer = apps[instance].patch(&format!("/streams/{stream}"), body).await;
        if answer.status == StatusCode::OK {
            counts.made.lock().unwrap().push((stream.clone(), number));
        } else {
            assert!(answer.header("retry-after").is_some(), "{}", answer.text);
            answer.expect_problem(503, "store_unavailable");
            counts.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Changes that are made in the background.
pub struct Load {
    counts: Counts,
    task: JoinHandle<()>,
}

impl Load {
    fn made_count(&self) -> usize {
        self.counts.made.lock().unwrap().len()
    }

    pub fn refused_count(&self) -> usize {
        self.counts.refused.load(Ordering::Relaxed)
    }

    /// Waits for `count` more acknowledged changes.
    pub async fn wait_for_changes(&self, count: usize) {
        let wanted = self.made_count() + count;
        eventually("changes", || async { (self.made_count() >= wanted).then_some(()) }).await;
    }

    /// Waits for one more refused change.
    pub async fn wait_for_refusal(&self) {
        let wanted = self.refused_count() + 1;
        eventually("a refusal", || async { (self.refused_count() >= wanted).then_some(()) }).await;
    }

    /// Stops the load and returns the acknowledged changes.
    pub async fn stop(self) -> Vec<Change> {
        self.counts.stopped.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        let made = self.counts.made.lock().unwrap();
        made.clone()
    }
}
