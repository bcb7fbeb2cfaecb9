//! Two instances whose LiveKit has workers that record and broadcast as a test scripts them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::settings::Arguments;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp, TestResponse},
    eventually,
    livekit_workers::LiveKitWorkers,
    servers::{LiveKit, Redis, free_port, shared_redis},
    webhook_proxy::WebhookProxy,
};

/// Folder of the recordings. The workers write none.
pub const FOLDER: &str = "/recordings";

/// Instances with storage, and the servers that they need.
pub struct MediaApps {
    pub app: TestApp,
    pub other: TestApp,
    pub workers: LiveKitWorkers,
    _webhooks: WebhookProxy,
    _livekit: LiveKit,
    _redis: Redis,
}

/// Path of a stream, or of something of it.
pub fn path(stream: &Value, rest: &str) -> String {
    format!("/streams/{}/{rest}", stream["id"].as_str().unwrap()).trim_end_matches('/').to_owned()
}

pub async fn send_with_key(
    app: &TestApp,
    method: Method,
    path: &str,
    key: &str,
    body: &Value,
) -> TestResponse {
    let request = app.request(method, path).header("idempotency-key", key);
    TestResponse::read(request.json(body).send().await.unwrap()).await
}

/// Waits until a recording or broadcast has a status, and returns it.
pub async fn wait_for_status(app: &TestApp, path: &str, status: &str) -> Value {
    eventually(status, || async {
        let found = app.get(path).await.expect(StatusCode::OK);
        (found["status"] == status).then_some(found)
    })
    .await
}

/// Fields of the problem document.
pub fn refused_fields(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|one| one["field"].as_str().unwrap()).collect()
}

/// Lets the worker of an egress take its time to end, until [`complete`].
pub async fn end_slowly(workers: &LiveKitWorkers, id: &str) {
    workers.script_egress(id, json!({"onStop": [{"status": "EGRESS_ENDING"}]})).await;
}

pub async fn complete(workers: &LiveKitWorkers, id: &str) {
    workers.report_egress(id, json!([{"status": "EGRESS_COMPLETE"}])).await;
}

impl MediaApps {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Arguments)) -> Self {
        let webhooks = WebhookProxy::start().await;
        let redis = Redis::start();
        let livekit = LiveKit::start_with_redis(Some(&webhooks.url), &redis, free_port());
        let workers = LiveKitWorkers::start(&livekit, &redis);
        let setup = Setup::new(shared_redis(), &livekit.url()).with(|arguments| {
            arguments.egress.egress_storage_url = Some(format!("file://{FOLDER}"));
            arguments.egress.egress_public_url = Some("https://cdn.example.com/live".to_owned());
            change(arguments);
        });
        let (app, other) = (setup.start().await, setup.start().await);
        webhooks.forward_to(&app.base);
        Self { app, other, workers, _webhooks: webhooks, _livekit: livekit, _redis: redis }
    }
}
