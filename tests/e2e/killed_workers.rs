//! Workers that are killed while they process media, in each state: the documents show the end, with its reason, and
//! streams can be stopped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livekit_protocol::EgressStatus;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    media_fixture::MediaApi,
    participant::Participant,
    support::{
        app::{Setup, TestApp},
        eventually,
        ffmpeg::push_to,
        livekit_workers::LiveKitWorkers,
        servers::{
            BUCKET, ChildProcess, LiveKit, ObjectStore, Redis, RtmpServer, STORE_KEY, STORE_SECRET,
            shared_redis,
        },
        unique,
        webhook_proxy::WebhookProxy,
    },
};

/// An instance that reconciles every second, LiveKit, and workers that process media.
struct Fixture {
    app: TestApp,
    workers: Option<LiveKitWorkers>,
    livekit: LiveKit,
    rtmp: RtmpServer,
    store: ObjectStore,
    _webhooks: WebhookProxy,
    _redis: Redis,
}

/// A stream of the test.
struct Stream {
    path: String,
    room: String,
}

impl Fixture {
    async fn start() -> Self {
        let webhooks = WebhookProxy::start().await;
        let (redis, mut rtmp, store) = (Redis::start(), RtmpServer::prepare(), ObjectStore::start());
        let livekit = LiveKit::start_with_redis(Some(&webhooks.url), &redis, rtmp.port);
        let mut setup = Setup::new(shared_redis(), &livekit.url()).with(|arguments| {
            arguments.reconcile_interval = Some("1s".to_owned());
            let egress = &mut arguments.egress;
            egress.egress_start_timeout = Some("3s".to_owned());
            egress.egress_storage_url = Some(format!("s3://{BUCKET}/media"));
            egress.egress_storage_endpoint = Some(store.endpoint());
            egress.egress_storage_access_key = Some(STORE_KEY.to_owned());
            egress.egress_storage_secret = Some(STORE_SECRET.into());
        });
        setup.listing_grace = Duration::from_secs(2);
        setup.egress_end_timeout = Duration::from_secs(3);
        let app = setup.start().await;
        webhooks.forward_to(&app.base);
        let workers = Some(LiveKitWorkers::start_with_media(&livekit, &redis, &mut rtmp).await);
        Self { app, workers, livekit, rtmp, store, _webhooks: webhooks, _redis: redis }
    }

    fn kill_workers(&mut self) {
        self.workers.take().expect("the workers run").kill();
    }

    async fn create(&self) -> Stream {
        let stream = self.app.create(json!({"roomName": unique("room")})).await;
        let text = |name: &str| stream[name].as_str().unwrap().to_owned();
        Stream { path: format!("/streams/{}", text("id")), room: text("roomName") }
    }

    /// Makes an ingress, a recording or a broadcast; returns its path and its document.
    async fn make(&self, stream: &Stream, kind: &str, body: Value) -> (String, Value) {
        let path = format!("{}/{kind}", stream.path);
        let made = self.app.post(&path, body).await;
        (made.header("location").unwrap().to_owned(), made.expect(StatusCode::CREATED))
    }

    /// Pushes video and audio to a new ingress; returns the encoder and the path of the ingress.
    async fn push(&self, stream: &Stream) -> (ChildProcess, String) {
        let (path, made) = self.make(stream, "ingresses", json!({"type": "rtmp", "identity": "obs"})).await;
        let encoder = push_to(&format!("{}/{}", self.rtmp.ingest(), made["streamKey"].as_str().unwrap()));
        self.wait_for(&path, "publishing").await;
        (encoder, path)
    }

    async fn wait_for(&self, path: &str, status: &str) -> Value {
        eventually(status, || async {
            let found = self.app.get(path).await.expect(StatusCode::OK);
            (found["status"] == status).then_some(found)
        })
        .await
    }

    /// Waits until a recording or broadcast has failed for a reason, although LiveKit lists it in this state.
    async fn wait_for_failure(&self, stream: &Stream, path: &str, reason: &str, listed: EgressStatus) {
        let failed = self.wait_for(path, "failed").await;
        assert!(failed["error"].as_str().unwrap().contains(reason), "{failed}");
        assert!(failed["endedAt"].is_string(), "{failed}");
        let livekit = MediaApi::new(&self.livekit, &stream.room);
        assert_eq!(livekit.listed_egress(failed["egressId"].as_str().unwrap()).await.status(), listed);
    }

    async fn stop(&self, stream: &Stream) {
        let stopped = self.app.delete(&stream.path).await.expect(StatusCode::OK);
        assert_eq!(stopped["status"], "stopped");
        for field in ["recording", "broadcasting"] {
            assert_eq!(stopped[field], false, "{field}");
        }
        assert_eq!(stopped["ingresses"], 0);
        let livekit = MediaApi::new(&self.livekit, &stream.room);
        assert!(!livekit.has_room().await && livekit.ingresses().await.is_empty());
    }
}

/// The recorder waits for media.
#[tokio::test]
async fn worker_killed_while_recording_starts() {
    let mut fixture = Fixture::start().await;
    let (one, other) = (fixture.create().await, fixture.create().await);
    let mut paths = Vec::new();
    for stream in [&one, &other] {
        let (path, made) = fixture.make(stream, "recordings", json!({})).await;
        MediaApi::new(&fixture.livekit, &stream.room)
            .wait_for_participant(made["egressId"].as_str().unwrap())
            .await;
        paths.push(path);
    }
    fixture.kill_workers();
    fixture.stop(&other).await;
    fixture.wait_for_failure(&one, &paths[0], "not started", EgressStatus::EgressStarting).await;
    fixture.stop(&one).await;
}

#[tokio::test]
async fn worker_killed_while_ingress_publishes_and_recording_is_active() {
    let mut fixture = Fixture::start().await;
    let (one, other) = (fixture.create().await, fixture.create().await);
    // LiveKit closes the room when it has been empty for 20 s, which would end everything.
    let id = one.path.rsplit('/').next().unwrap();
    let _host = Participant::join(&fixture.app, &json!({"id": id}), "ann", "host").await;
    let (_encoder, ingress) = fixture.push(&one).await;
    let (_another, _) = fixture.push(&other).await;
    let target = fixture.rtmp.target("key");
    let (recording, _) = fixture.make(&one, "recordings", json!({"identity": "obs"})).await;
    let (broadcast, _) = fixture.make(&one, "broadcasts", json!({"rtmp": [target]})).await;
    let (recording_of_other, _) = fixture.make(&other, "recordings", json!({})).await;
    for path in [&recording, &broadcast, &recording_of_other] {
        fixture.wait_for(path, "active").await;
    }
    fixture.kill_workers();
    fixture.stop(&other).await;
    fixture.wait_for(&ingress, "inactive").await;
    for path in [&recording, &broadcast] {
        fixture.wait_for_failure(&one, path, "recorder", EgressStatus::EgressActive).await;
    }
    let state = fixture.app.get(&format!("{}/state", one.path)).await.expect(StatusCode::OK);
    assert_eq!(state["participantCount"], 1, "{state}");
    fixture.stop(&one).await;
}

/// The upload of the recording takes its time.
#[tokio::test]
async fn worker_killed_while_recording_ends() {
    let mut fixture = Fixture::start().await;
    let (one, other) = (fixture.create().await, fixture.create().await);
    let (mut encoders, mut paths) = (Vec::new(), Vec::new());
    for stream in [&one, &other] {
        encoders.push(fixture.push(stream).await);
        paths.push(fixture.make(stream, "recordings", json!({})).await.0);
    }
    for path in &paths {
        fixture.wait_for(path, "active").await;
    }
    fixture.store.pause();
    for path in &paths {
        assert_eq!(fixture.app.delete(path).await.expect(StatusCode::OK)["status"], "ending");
    }
    fixture.kill_workers();
    fixture.stop(&other).await;
    fixture.wait_for_failure(&one, &paths[0], "not reported the end", EgressStatus::EgressEnding).await;
    fixture.stop(&one).await;
}
