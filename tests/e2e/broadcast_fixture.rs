//! Fixture of tests with media in and out: a page fixture on LiveKit with Redis, workers that process media, an RTMP
//! server and an S3-compatible store. The workers stand in for LiveKit's own programs, which are not run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    media_fixture::MediaApi,
    page_fixture::PageFixture,
    participant::Participant,
    support::{
        eventually,
        instance::Instance,
        livekit_workers::LiveKitWorkers,
        servers::{BUCKET, LiveKit, ObjectStore, Redis, RtmpServer, STORE_KEY, STORE_SECRET},
    },
};

/// Folder of the deployment in the store.
const FOLDER: &str = "media";

pub struct BroadcastFixture {
    pub page: PageFixture,
    workers: LiveKitWorkers,
    pub rtmp: RtmpServer,
    pub store: ObjectStore,
    _redis: Redis,
}

/// An RTMP ingress as its creator has got it.
pub struct RtmpIngress {
    pub document: Value,
    /// Path of the ingress in the API.
    pub path: String,
    /// What an encoder pushes to: address and key.
    pub address: String,
}

impl BroadcastFixture {
    pub async fn start() -> Self {
        Self::start_with(|instance| instance).await
    }

    /// As [`Self::start`], with other settings.
    pub async fn start_with(change: impl FnOnce(Instance) -> Instance) -> Self {
        let (redis, mut rtmp, store) = (Redis::start(), RtmpServer::prepare(), ObjectStore::start());
        let livekit = |webhooks: &str| LiveKit::start_with_redis(Some(webhooks), &redis, rtmp.port);
        let storage = |instance: Instance| {
            change(instance)
                .with("EGRESS_STORAGE_URL", &format!("s3://{BUCKET}/{FOLDER}"))
                .with("EGRESS_STORAGE_ENDPOINT", &store.endpoint())
                .with("EGRESS_STORAGE_ACCESS_KEY", STORE_KEY)
                .with("EGRESS_STORAGE_SECRET", STORE_SECRET)
                .with("EGRESS_PUBLIC_URL", &store.url_of(FOLDER))
        };
        let page = PageFixture::start_on(livekit, storage).await;
        let workers = LiveKitWorkers::start_with_media(&page.livekit, &redis, &mut rtmp).await;
        Self { page, workers, rtmp, store, _redis: redis }
    }

    pub const fn workers(&self) -> &LiveKitWorkers {
        &self.workers
    }

    /// Address of a file in the store, below the folder of the deployment.
    pub fn url_of(&self, path: &str) -> String {
        self.store.url_of(&format!("{FOLDER}/{path}"))
    }

    /// Starts a recording or a broadcast; returns its path and its document.
    pub async fn start_egress(&self, stream: &Value, kind: &str, body: Value) -> (String, Value) {
        let path = format!("/streams/{}/{kind}s", stream["id"].as_str().unwrap());
        let started = self.page.request(Method::POST, &path, Some(body)).await;
        // LiveKit's worker may have begun before the answer.
        assert!(["starting", "active"].contains(&started["status"].as_str().unwrap()), "{started}");
        (format!("{path}/{}", started["egressId"].as_str().unwrap()), started)
    }

    /// Creates an RTMP ingress through the API.
    pub async fn create_rtmp_ingress(&self, stream: &Value, identity: &str) -> RtmpIngress {
        let path = format!("/streams/{}/ingresses", stream["id"].as_str().unwrap());
        let wanted = json!({"type": "rtmp", "identity": identity});
        let document = self.page.request(Method::POST, &path, Some(wanted)).await;
        let [id, url, key] = ["ingressId", "url", "streamKey"].map(|name| document[name].as_str().unwrap());
        RtmpIngress { path: format!("{path}/{id}"), address: format!("{url}/{key}"), document }
    }

    /// Waits for a status of a stream, an ingress, a recording or a broadcast.
    pub async fn wait_for_status(&self, path: &str, status: &str) -> Value {
        self.wait_for_field(path, "status", status).await
    }

    /// Waits until a document has this value in a field.
    pub async fn wait_for_field(&self, path: &str, field: &str, value: &str) -> Value {
        eventually(value, || async {
            let document: Value = self.page.get(path).await.json().await.unwrap();
            (document[field] == value).then_some(document)
        })
        .await
    }

    /// Waits until a recording or a broadcast has run for three seconds, stops it, and waits for its end.
    pub async fn stop_after_three_seconds(&self, path: &str) -> Value {
        self.wait_for_status(path, "active").await;
        let active = Instant::now();
        eventually("three seconds", || async { (active.elapsed() >= Duration::from_secs(3)).then_some(()) })
            .await;
        self.page.request(Method::DELETE, path, None).await;
        self.wait_for_status(path, "complete").await
    }

    /// LiveKit's API for the room of a stream.
    pub fn livekit_of(&self, stream: &Value) -> MediaApi {
        MediaApi::new(&self.page.livekit, stream["roomName"].as_str().unwrap())
    }

    /// Connects a host that sends moving video.
    pub async fn publishing_host(&self, stream: &Value) -> Participant {
        let mut host = self.page.participant(stream, "Ann", "host").await;
        host.send("publish").await;
        host.wait_for("published").await;
        host
    }

    /// Waits until the state of a stream has a participant with both video and audio.
    pub async fn wait_for_media(&self, stream: &Value, identity: &str) -> Value {
        let has_both = |one: &&Value| {
            one["identity"] == identity && one["tracks"].as_array().is_some_and(|tracks| tracks.len() == 2)
        };
        let path = format!("/streams/{}/state", stream["id"].as_str().unwrap());
        eventually("a participant with media", || async {
            let state: Value = self.page.get(&path).await.json().await.unwrap();
            state["participants"].as_array().unwrap().iter().find(has_both).cloned()
        })
        .await
    }
}
