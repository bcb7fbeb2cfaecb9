//! The stand-in for LiveKit's egress and ingress programs, which a test scripts (`tests/livekit-workers`).

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::servers::{
    ChildProcess, KEY, LiveKit, Redis, RtmpServer, SECRET, free_port, run, start, start_logged, wait_for_port,
};

/// Running workers for one LiveKit server. They are killed on drop, as a crash does.
pub struct LiveKitWorkers {
    control: String,
    process: ChildProcess,
}

/// Path of the program. `scripts/livekit-workers` builds it if `LIVEKIT_WORKERS` is not set.
fn program() -> String {
    let build = || run(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/livekit-workers"), &[], "");
    std::env::var("LIVEKIT_WORKERS").unwrap_or_else(|_| build().trim().to_owned())
}

impl LiveKitWorkers {
    /// Starts both workers.
    pub fn start(livekit: &LiveKit, redis: &Redis) -> Self {
        Self::start_with(livekit, redis, &[])
    }

    /// As [`Self::start`], with further arguments, such as `--ingress=false`.
    pub fn start_with(livekit: &LiveKit, redis: &Redis, arguments: &[&str]) -> Self {
        super::install_crypto_provider();
        let port = free_port();
        let [redis, control] = [redis.port, port].map(|port| format!("127.0.0.1:{port}"));
        let livekit = livekit.url();
        let mut all = vec!["--redis", &redis, "--livekit", &livekit, "--control", &control];
        all.extend(["--api-key", KEY, "--api-secret", SECRET]);
        all.extend(arguments);
        let process = super::create_log_file("livekit-workers")
            .map_or_else(|| start(&program(), &all), |log| start_logged(&program(), &all, &[], &log));
        // The workers listen after their registration with LiveKit.
        wait_for_port(port);
        Self { control: format!("http://{control}"), process }
    }

    /// Starts workers that process media, and the RTMP server, whose pushes they publish.
    pub async fn start_with_media(livekit: &LiveKit, redis: &Redis, rtmp: &mut RtmpServer) -> Self {
        let (ingest, control) = (rtmp.ingest(), rtmp.control());
        let workers = Self::start_with(livekit, redis, &["--rtmp", &ingest, "--rtmp-control", &control]);
        rtmp.start(&workers.control);
        workers.script_ingresses(json!({"media": true})).await;
        workers.script_egresses(json!({"media": true})).await;
        workers
    }

    /// Kills the workers with SIGKILL.
    pub fn kill(self) {
        self.process.kill();
    }

    /// Sets the script of egresses that start later; `{}` restores the default. Fields: `egressScript` in
    /// `tests/livekit-workers/script.go`.
    pub async fn script_egresses(&self, script: Value) {
        self.expect_ok(Method::PUT, "/scripts/egress", script).await;
    }

    /// Sets the script of a running egress.
    pub async fn script_egress(&self, id: &str, script: Value) {
        self.expect_ok(Method::PUT, &format!("/egresses/{id}/script"), script).await;
    }

    /// Reports states of an egress in this order: parts of `EgressInfo` in protobuf's JSON. Times and results that
    /// a report does not name are filled in. Also after its end.
    pub async fn report_egress(&self, id: &str, reports: Value) {
        self.expect_ok(Method::POST, &format!("/egresses/{id}/reports"), reports).await;
    }

    /// Makes the recorder leave the room without a report.
    pub async fn remove_recorder(&self, id: &str) {
        self.expect_ok(Method::DELETE, &format!("/egresses/{id}/recorder"), Value::Null).await;
    }

    /// Sets the script of pushes and URL ingresses that start later. Fields: `ingressScript` in `script.go`.
    pub async fn script_ingresses(&self, script: Value) {
        self.expect_ok(Method::PUT, "/scripts/ingress", script).await;
    }

    /// Starts a push to an RTMP ingress as OBS does, but without media. 403: no ingress has the key; 409: a push to
    /// it is running.
    pub async fn push(&self, stream_key: &str) -> StatusCode {
        self.call(Method::POST, &format!("/pushes/{stream_key}"), Value::Null).await.0
    }

    /// Ends a push.
    pub async fn end_push(&self, stream_key: &str) {
        self.expect_ok(Method::DELETE, &format!("/pushes/{stream_key}"), Value::Null).await;
    }

    /// Reports states of an ingress in this order: parts of `IngressState`. Also after its end.
    pub async fn report_ingress(&self, id: &str, reports: Value) {
        self.expect_ok(Method::POST, &format!("/ingresses/{id}/reports"), reports).await;
    }

    /// Makes the ingress's participant leave the room without a report.
    pub async fn remove_participant(&self, id: &str) {
        self.expect_ok(Method::DELETE, &format!("/ingresses/{id}/participant"), Value::Null).await;
    }

    /// Requests of LiveKit to the workers, as `{method, id, request}`: `StartEgress`, `StopEgress`, `UpdateStream`,
    /// `StartIngress`, `UpdateIngress`, `DeleteIngress`.
    pub async fn calls(&self, method: &str) -> Vec<Value> {
        let (_, body) = self.call(Method::GET, &format!("/calls?method={method}"), Value::Null).await;
        serde_json::from_str(&body).unwrap()
    }

    async fn expect_ok(&self, method: Method, path: &str, body: Value) {
        let (status, answer) = self.call(method, path, body).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> (StatusCode, String) {
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.control));
        let response = super::within("the workers' control API", request.json(&body).send()).await.unwrap();
        (response.status(), response.text().await.unwrap())
    }
}
