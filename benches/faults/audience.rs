//! Viewers of the counted stream, who come and go by webhooks; comparison of the counts that clients have with them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};

use super::{
    support::{
        app::{participant_webhook, sign_webhook},
        eventually,
        feed_client::Counts,
        unique, within,
    },
    test_bed::{COUNTED, TestBed, create_stream},
};

/// Different viewers.
const VIEWERS: usize = 30;
/// Interval of the arrivals and departures.
const INTERVAL: Duration = Duration::from_millis(50);
/// Time after a change within which the counts are told.
const TOLD_WITHIN: Duration = Duration::from_millis(1_500);

/// The viewers. While the audience runs, one arrives or departs every [`INTERVAL`].
pub struct Audience {
    client: Client,
    urls: Vec<String>,
    stream: Value,
    /// The session of each connected viewer, and the last one of each other viewer that was connected.
    sessions: BTreeMap<usize, (String, bool)>,
    /// The sessions that have ended, each with its viewer.
    ended: Vec<(usize, String)>,
    changes: usize,
    /// Time of the last acknowledged change.
    changed: Instant,
}

/// An audience that runs.
pub struct RunningAudience {
    is_over: Arc<AtomicBool>,
    task: JoinHandle<Audience>,
}

impl RunningAudience {
    /// Stops the audience after a change that is acknowledged.
    pub async fn stop(self) -> Audience {
        self.is_over.store(true, Ordering::Relaxed);
        within("the last change of the audience", self.task).await.unwrap()
    }
}

impl Audience {
    pub async fn new(test_bed: &TestBed) -> Self {
        let urls: Vec<_> = test_bed.instances.iter().map(|instance| instance.address().http).collect();
        let client = Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        let mut audience = Self {
            client,
            urls,
            stream: Value::Null,
            sessions: BTreeMap::new(),
            ended: Vec::new(),
            changes: 0,
            changed: Instant::now(),
        };
        let id = test_bed.streams.lock().unwrap()[COUNTED].clone();
        audience.stream = audience.document(0, &id).await.expect("the counted stream");
        audience
    }

    pub fn start(mut self) -> RunningAudience {
        let is_over = Arc::<AtomicBool>::default();
        let is_over_in_task = is_over.clone();
        let task = tokio::spawn(async move {
            let mut ticks = interval(INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !is_over_in_task.load(Ordering::Relaxed) {
                ticks.tick().await;
                self.change().await;
            }
            self
        });
        RunningAudience { is_over, task }
    }

    /// Connects or disconnects the next viewer.
    async fn change(&mut self) {
        self.changes += 1;
        let viewer = self.changes % VIEWERS;
        let (sid, is_connected) = match self.sessions.remove(&viewer) {
            Some((sid, true)) => (sid, false),
            _ => (unique("PA"), true),
        };
        self.report(viewer, &sid, is_connected).await;
        if !is_connected {
            self.ended.push((viewer, sid.clone()));
        }
        self.sessions.insert(viewer, (sid, is_connected));
    }

    /// Sends a webhook until an instance has applied it, as LiveKit does.
    async fn report(&mut self, viewer: usize, sid: &str, is_connected: bool) {
        let event = if is_connected { "participant_joined" } else { "participant_left" };
        let mut webhook = participant_webhook(event, &self.stream, &format!("viewer-{viewer}"), sid);
        webhook["participant"]["permission"]["canPublish"] = json!(false);
        let body = webhook.to_string();
        for attempt in self.changes.. {
            let url = format!("{}/webhooks/livekit", self.urls[attempt % self.urls.len()]);
            let request = self.client.post(url).header("authorization", sign_webhook(&body));
            let request = request.header("content-type", "application/webhook+json");
            let answer = request.body(body.clone()).send().await;
            if answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                break;
            }
            sleep(INTERVAL).await;
        }
        self.changed = Instant::now();
    }

    /// Reports every viewer again, after a fault that may have lost changes, as a reconciliation with LiveKit does: it
    /// ends whichever session is recorded of a viewer that is not connected. Replaces a stream that is lost.
    pub async fn report_all(&mut self, test_bed: &TestBed) {
        if self.document(0, self.id()).await.is_none() {
            let id = create_stream(&self.client, &self.urls[0], COUNTED).await.expect("a stream");
            self.stream = self.document(0, &id).await.expect("the new stream");
            test_bed.streams.lock().unwrap()[COUNTED] = id;
        }
        for (viewer, sid) in self.ended.clone() {
            self.report(viewer, &sid, false).await;
        }
        for (viewer, (sid, is_connected)) in self.sessions.clone() {
            if is_connected {
                self.report(viewer, &sid, true).await;
            }
        }
    }

    fn id(&self) -> &str {
        self.stream["id"].as_str().unwrap()
    }

    /// Reads a stream from an instance; `None` if it does not exist.
    async fn document(&self, instance: usize, id: &str) -> Option<Value> {
        let url = format!("{}/streams/{id}", self.urls[instance]);
        let answer = eventually("a document", || async {
            let answer = self.client.get(&url).send().await.ok()?;
            [StatusCode::OK, StatusCode::NOT_FOUND].contains(&answer.status()).then_some(answer)
        })
        .await;
        if answer.status() == StatusCode::OK { answer.json().await.ok() } else { None }
    }

    /// Waits until the counts of the last change must have been told; returns the number of wrong counts, as of
    /// [`Self::wrong_counts`].
    pub async fn wrong_counts_in_time(&self, test_bed: &TestBed) -> usize {
        sleep_until(self.changed + TOLD_WITHIN).await;
        self.wrong_counts(test_bed).await
    }

    /// Returns the number of clients whose counts are not those of the audience, and of such documents, one for each
    /// instance.
    async fn wrong_counts(&self, test_bed: &TestBed) -> usize {
        let viewers = self.sessions.values().filter(|(_, is_connected)| *is_connected).count();
        let truth = Some(Counts { hosts: 0, viewers: viewers.try_into().unwrap() });
        let mut wrong = 0;
        for client in &test_bed.clients {
            let recording = client.recording();
            let follows = client.stream.as_deref().is_none_or(|id| id == self.id());
            wrong += usize::from(follows && recording.counts.get(self.id()).copied() != truth);
        }
        for instance in 0..self.urls.len() {
            let document = self.document(instance, self.id()).await.unwrap_or_default();
            wrong += usize::from(Counts::of(&document["participantCounts"]) != truth);
        }
        wrong
    }
}
