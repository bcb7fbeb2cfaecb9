//! Starts of recordings by an instance that is killed at each of its calls to Redis and LiveKit: a repetition with the
//! same key, on another instance, returns the only egress that LiveKit lists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::future::join_all;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::{
    media_fixture::MediaApi,
    step_proxy::{Held, StepProxy},
    support::{
        eventually,
        instance::Instance,
        livekit_workers::LiveKitWorkers,
        servers::{LiveKit, Redis, free_port, port_of, shared_redis},
        unique,
        webhook_proxy::WebhookProxy,
    },
};

/// A request that the killed instance has not answered.
struct Attempt {
    key: String,
    stream: Value,
}

impl Attempt {
    fn path(&self) -> String {
        format!("/streams/{}/recordings", self.stream["id"].as_str().unwrap())
    }

    /// Returns the answer of an instance; `None` if it is killed before.
    async fn send(&self, instance: &str) -> Option<(StatusCode, Value)> {
        let request = Client::new().post(format!("{instance}{}", self.path()));
        let answer = request.header("idempotency-key", &self.key).json(&json!({})).send().await.ok()?;
        Some((answer.status(), answer.json().await.ok()?))
    }

    /// Repeats the request until the key is free; returns the id of the recording.
    async fn repeat(&self, instance: &str) -> String {
        let (status, made) = eventually("an answer to the repetition", || async {
            let (status, made) = self.send(instance).await.unwrap();
            (made["code"] != "idempotency_in_progress").then_some((status, made))
        })
        .await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made["recordingId"].as_str().unwrap().to_owned()
    }

    async fn recordings(&self, instance: &str) -> Vec<String> {
        let answer = reqwest::get(format!("{instance}{}", self.path())).await.unwrap();
        let listed: Value = answer.json().await.unwrap();
        let ids =
            listed.as_array().unwrap().iter().map(|one| one["recordingId"].as_str().unwrap().to_owned());
        ids.collect()
    }
}

/// Two instances, of which one reaches its servers through proxies and is killed.
struct Fixture {
    proxy: StepProxy,
    victim: Instance,
    other: Instance,
    workers: LiveKitWorkers,
    livekit: LiveKit,
    _webhooks: WebhookProxy,
    _redis: Redis,
}

impl Fixture {
    async fn start() -> Self {
        let webhooks = WebhookProxy::start().await;
        let redis = Redis::start();
        let livekit = LiveKit::start_with_redis(Some(&webhooks.url), &redis, free_port());
        let workers = LiveKitWorkers::start(&livekit, &redis);
        let (proxy, prefix) = (StepProxy::default(), unique("crash"));
        let proxied_redis = proxy.in_front_of(port_of(shared_redis())).await;
        let proxied_livekit = proxy.in_front_of(livekit.port).await;
        let new = |redis: &str, livekit: &str| {
            Instance::new(redis, livekit, &prefix).with("EGRESS_STORAGE_URL", "file:///recordings")
        };
        let victim = new(
            &format!("redis://127.0.0.1:{proxied_redis}/0"),
            &format!("ws://127.0.0.1:{proxied_livekit}"),
        );
        // It is the one that reconciles, so the victim makes no other calls about a stream.
        let mut other = new(shared_redis(), &livekit.url()).with("RECONCILE_INTERVAL", "1s");
        other.start().await;
        webhooks.forward_to(&other.address().http);
        Self { proxy, victim, other, workers, livekit, _webhooks: webhooks, _redis: redis }
    }

    async fn create(&self) -> Value {
        let request = Client::new().post(format!("{}/streams", self.other.address().http));
        let answer = request.json(&json!({"roomName": unique("room")})).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// Sends a request to the victim, and kills it at a step. Returns whether it has answered before.
    async fn kill_at(&mut self, attempt: &Attempt, held: Held, step: usize) -> bool {
        self.victim.start().await;
        let stream = attempt.stream["id"].as_str().unwrap();
        self.proxy.hold(held, step, &[stream, "idem:", "/livekit.Egress/"]);
        let address = self.victim.address().http;
        let answered = tokio::select! {
            answer = attempt.send(&address) => {
                assert_eq!(answer.unwrap().0, StatusCode::CREATED);
                true
            }
            () = self.proxy.wait_until_held() => false,
        };
        self.victim.kill();
        answered
    }

    /// Checks that the request has one egress, whichever instance it is sent to.
    async fn check(&self, attempt: &Attempt, step: usize) {
        let room = attempt.stream["roomName"].as_str().unwrap();
        let livekit = MediaApi::new(&self.livekit, room);
        let id = attempt.repeat(&self.other.address().http).await;
        assert_eq!(attempt.repeat(&self.victim.address().http).await, id, "step {step}");
        let listed: Vec<_> = livekit.egresses().await.into_iter().map(|info| info.egress_id).collect();
        assert_eq!(listed, [id.as_str()], "step {step}");
        assert_eq!(attempt.recordings(&self.victim.address().http).await, [id], "step {step}");
    }
}

async fn kill_at_each_step(held: Held) {
    let mut fixture = Fixture::start().await;
    let mut attempts = Vec::new();
    loop {
        let attempt = Attempt { key: unique("key"), stream: fixture.create().await };
        let answered = fixture.kill_at(&attempt, held, attempts.len()).await;
        attempts.push(attempt);
        if answered {
            break;
        }
    }
    assert!(attempts.len() > 6, "{} steps", attempts.len());
    fixture.proxy.hold_nothing();
    fixture.victim.start().await;
    join_all(attempts.iter().enumerate().map(|(step, attempt)| fixture.check(attempt, step))).await;
    assert_eq!(fixture.workers.calls("StartEgress").await.len(), attempts.len());
}

#[tokio::test]
async fn one_key_starts_one_recording_after_crash_before_each_step() {
    kill_at_each_step(Held::Call).await;
}

#[tokio::test]
async fn one_key_starts_one_recording_after_crash_after_each_step() {
    kill_at_each_step(Held::Answer).await;
}
