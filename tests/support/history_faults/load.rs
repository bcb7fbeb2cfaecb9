//! Callers and viewers during the faults.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::{
    app::{participant_webhook, sign_webhook},
    eventually, unique,
};

/// Streams that change during the faults. The first one is counted, and has visits.
const STREAMS: usize = 6;
/// Callers and viewers.
pub struct Load {
    pub urls: Vec<String>,
    pub ids: Vec<String>,
    acknowledged: Arc<AtomicUsize>,
    pub ended: CancellationToken,
    pub callers: Vec<JoinHandle<()>>,
    /// Returns the sessions that have ended.
    pub visitor: JoinHandle<BTreeSet<String>>,
}

impl Load {
    pub async fn start(urls: Vec<String>, prefix: &str) -> Self {
        let mut streams = Vec::new();
        for n in 0..STREAMS {
            let audience = if n == 0 { "counted" } else { "listed" };
            let body = json!({"name": format!("{prefix}-{n}"), "audience": audience});
            streams.push(send(&urls, "/streams", &body).await);
        }
        let ids: Vec<_> = streams.iter().map(|stream| stream["id"].as_str().unwrap().to_owned()).collect();
        let (acknowledged, ended) = (Arc::<AtomicUsize>::default(), CancellationToken::new());
        let callers = ids.iter().map(|id| {
            tokio::spawn(change_until(urls.clone(), id.clone(), acknowledged.clone(), ended.clone()))
        });
        let callers = callers.collect();
        let visitor = tokio::spawn(visit_until(urls.clone(), streams.remove(0), ended.clone()));
        Self { urls, ids, acknowledged, ended, callers, visitor }
    }

    pub async fn await_changes(&self, count: usize) {
        let end = self.acknowledged.load(Ordering::Relaxed) + count;
        eventually("changes", || async { (self.acknowledged.load(Ordering::Relaxed) >= end).then_some(()) })
            .await;
    }
}

/// Sends a request to the instances in turn until one of them answers with a success.
pub async fn send(urls: &[String], path: &str, body: &Value) -> Value {
    let client = Client::new();
    eventually("an instance", || async {
        for url in urls {
            let request = client.post(format!("{url}{path}")).json(body).timeout(Duration::from_secs(5));
            if let Ok(response) = request.send().await
                && response.status().is_success()
            {
                return response.json().await.ok();
            }
        }
        None
    })
    .await
}

/// Issues tokens in a stream, each of which is an event, until `ended`.
async fn change_until(
    urls: Vec<String>,
    id: String,
    acknowledged: Arc<AtomicUsize>,
    ended: CancellationToken,
) {
    for n in 0.. {
        let body = json!({"identity": format!("p{}", n % 20), "role": "host", "metadata": {"n": n}});
        send(&urls, &format!("/streams/{id}/join"), &body).await;
        acknowledged.fetch_add(1, Ordering::Relaxed);
        if ended.is_cancelled() {
            return;
        }
    }
}

/// Reports that viewers connect and leave, until `ended`.
async fn visit_until(urls: Vec<String>, stream: Value, ended: CancellationToken) -> BTreeSet<String> {
    let (client, mut sids) = (Client::new(), BTreeSet::new());
    while !ended.is_cancelled() {
        let sid = unique("PA");
        for event in ["participant_joined", "participant_left"] {
            let mut webhook =
                participant_webhook(event, &stream, &format!("viewer-{}", sids.len() % 30), &sid);
            webhook["participant"]["permission"]["canPublish"] = json!(false);
            report(&client, &urls, &webhook.to_string()).await;
        }
        sids.insert(sid);
    }
    sids
}

/// Sends a webhook until an instance has applied it, as LiveKit does.
async fn report(client: &Client, urls: &[String], body: &str) {
    eventually("an applied webhook", || async {
        let url = format!("{}/webhooks/livekit", fastrand::choice(urls)?);
        let request = client.post(url).header("authorization", sign_webhook(body));
        let request =
            request.header("content-type", "application/webhook+json").timeout(Duration::from_secs(5));
        request.body(body.to_owned()).send().await.ok()?.status().is_success().then_some(())
    })
    .await;
}
