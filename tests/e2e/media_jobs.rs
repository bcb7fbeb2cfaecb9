//! Recordings and broadcasts through the service's routes, with workers that complete, fail, stall and die, and with
//! reports that are lost, late and doubled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::settings::Arguments;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    media_fixture::MediaApi,
    support::{
        app::{Setup, TestApp, test_partitioning},
        eventually,
        livekit_workers::LiveKitWorkers,
        servers::{LiveKit, Redis, free_port, shared_redis},
        unique,
        webhook_proxy::WebhookProxy,
    },
};

const FIRST: &str = "rtmp://127.0.0.1/app/first-key";
const SECOND: &str = "rtmp://127.0.0.1/app/other-key";

/// Two instances that reconcile every second, LiveKit with workers, and a stream. The first instance gets the webhooks.
struct Fixture {
    apps: [TestApp; 2],
    webhooks: WebhookProxy,
    workers: LiveKitWorkers,
    livekit: LiveKit,
    redis: Redis,
    stream: Value,
}

impl Fixture {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Arguments)) -> Self {
        let webhooks = WebhookProxy::start().await;
        let redis = Redis::start();
        let livekit = LiveKit::start_with_redis(Some(&webhooks.url), &redis, free_port());
        let workers = LiveKitWorkers::start(&livekit, &redis);
        let mut setup = Setup::new(shared_redis(), &livekit.url()).with(|arguments| {
            arguments.reconcile_interval = Some("1s".to_owned());
            arguments.egress.egress_storage_url = Some("file:///recordings".to_owned());
            change(arguments);
        });
        setup.listing_grace = Duration::from_secs(2);
        let apps = [setup.start().await, setup.start().await];
        webhooks.forward_to(&apps[0].base);
        let stream = apps[0].create(json!({"roomName": unique("room")})).await;
        Self { apps, webhooks, workers, livekit, redis, stream }
    }

    fn path(&self, rest: &str) -> String {
        format!("/streams/{}{rest}", self.stream["id"].as_str().unwrap())
    }

    /// Starts a recording, and returns its id and path.
    async fn record(&self) -> (String, String) {
        let made = self.apps[0].post(&self.path("/recordings"), json!({})).await.expect(StatusCode::CREATED);
        let id = made["recordingId"].as_str().unwrap().to_owned();
        let path = self.path(&format!("/recordings/{id}"));
        (id, path)
    }

    async fn broadcast(&self, rtmp: &[&str]) -> (String, String) {
        let body = json!({"rtmp": rtmp});
        let made = self.apps[0].post(&self.path("/broadcasts"), body).await.expect(StatusCode::CREATED);
        let id = made["broadcastId"].as_str().unwrap().to_owned();
        let path = self.path(&format!("/broadcasts/{id}"));
        (id, path)
    }

    async fn get(&self, path: &str) -> Value {
        self.apps[1].get(path).await.expect(StatusCode::OK)
    }

    async fn wait_for(&self, path: &str, status: &str) -> Value {
        eventually(status, || async { Some(self.get(path).await).filter(|found| found["status"] == status) })
            .await
    }

    fn livekit(&self) -> MediaApi {
        MediaApi::new(&self.livekit, self.stream["roomName"].as_str().unwrap())
    }

    /// Statuses that the events have named, in order.
    async fn told(&self) -> Vec<String> {
        let path = format!("/events/{}?limit=1000", self.stream["id"].as_str().unwrap());
        let log = self.get(&path).await;
        let jobs = log.as_array().unwrap().iter().filter_map(|event| {
            let data = &event["data"];
            data["recording"]["status"].as_str().or_else(|| data["broadcast"]["status"].as_str())
        });
        jobs.map(str::to_owned).collect()
    }

    async fn wait_for_told(&self, expected: &[&str]) {
        eventually("the events", || async { (self.told().await == expected).then_some(()) }).await;
    }

    /// Waits until a comparison with LiveKit has ended that began after this call: one may be running.
    async fn compare_again(&self) {
        let ended = async || {
            let metrics = [self.apps[0].get("/metrics").await.text, self.apps[1].get("/metrics").await.text];
            let lines = metrics.iter().flat_map(|text| text.lines());
            let counts = lines.filter(|line| line.starts_with("lso_reconciliations_total{"));
            counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum::<u64>()
        };
        let until = ended().await + 2 * u64::from(test_partitioning().count());
        eventually("two comparisons", || async { (ended().await >= until).then_some(()) }).await;
    }

    /// Lets the worker report only that the egress is ending once it is stopped.
    async fn end_slowly(&self, id: &str) {
        self.workers.script_egress(id, json!({"onStop": [{"status": "EGRESS_ENDING"}]})).await;
    }

    async fn stop_stream(&self) -> Value {
        self.apps[1].delete(&self.path("")).await.expect(StatusCode::OK)
    }
}

#[tokio::test]
async fn recording_completes_also_without_webhooks() {
    for drops in [false, true] {
        let fixture = Fixture::start().await;
        fixture.webhooks.drop_webhooks(drops);
        let (id, path) = fixture.record().await;
        fixture.wait_for(&path, "active").await;
        fixture.end_slowly(&id).await;
        fixture.apps[1].delete(&path).await.expect(StatusCode::OK);
        fixture.workers.report_egress(&id, json!([{"status": "EGRESS_COMPLETE"}])).await;
        let complete = fixture.wait_for(&path, "complete").await;
        assert_eq!((complete["files"].as_array().unwrap().len(), &complete["error"]), (1, &Value::Null));
        assert_eq!(fixture.get(&fixture.path("")).await["recording"], false);
        fixture.wait_for_told(&["starting", "active", "ending", "complete"]).await;
    }
}

#[tokio::test]
async fn failed_and_aborted_recordings_have_the_reason() {
    let fixture = Fixture::start().await;
    for (status, shown, error) in [
        ("EGRESS_ABORTED", "aborted", "Start signal not received"),
        ("EGRESS_FAILED", "failed", "no space left on device"),
        ("EGRESS_LIMIT_REACHED", "limit_reached", "the file is too large"),
    ] {
        let start = json!([{"status": "EGRESS_ACTIVE"}, {"status": status, "error": error}]);
        fixture.workers.script_egresses(json!({"onStart": start})).await;
        let (_, path) = fixture.record().await;
        let ended = fixture.wait_for(&path, shown).await;
        assert!(ended["error"] == error && ended["endedAt"].is_string(), "{ended}");
        fixture
            .workers
            .script_egresses(json!({"refuse": {"code": "invalid_argument", "message": "no"}}))
            .await;
        let refused = fixture.apps[0].post(&fixture.path("/recordings"), json!({})).await;
        refused.expect_problem(502, "livekit_error");
    }
    assert_eq!(fixture.get(&fixture.path("/recordings")).await.as_array().unwrap().len(), 3);
    assert_eq!(fixture.get(&fixture.path("")).await["recording"], false);
}

#[tokio::test]
async fn recording_that_never_starts_fails_and_does_not_start_later() {
    let fixture =
        Fixture::with(|arguments| arguments.egress.egress_start_timeout = Some("3s".to_owned())).await;
    fixture.workers.script_egresses(json!({"onStart": [], "onStop": []})).await;
    let (id, path) = fixture.record().await;
    let failed = fixture.wait_for(&path, "failed").await;
    assert!(failed["error"].is_string(), "{failed}");
    assert_eq!(fixture.workers.calls("StopEgress").await[0]["id"], id);
    let late = json!([{"status": "EGRESS_ACTIVE"}, {"status": "EGRESS_ACTIVE"}]);
    fixture.workers.report_egress(&id, late).await;
    // Its recorder is in the room, so it is stopped again.
    eventually("another stop", || async {
        (fixture.workers.calls("StopEgress").await.len() > 1).then_some(())
    })
    .await;
    assert_eq!(fixture.get(&path).await["status"], "failed");
    fixture.wait_for_told(&["starting", "failed"]).await;
}

#[tokio::test]
async fn recording_of_a_killed_worker_and_without_its_recorder_fails() {
    let mut fixture = Fixture::start().await;
    let (id, first) = fixture.record().await;
    fixture.wait_for(&first, "active").await;
    fixture.livekit().wait_for_participant(&id).await;
    let other = LiveKitWorkers::start(&fixture.livekit, &fixture.redis);
    std::mem::replace(&mut fixture.workers, other).kill();
    let failed = fixture.wait_for(&first, "failed").await;
    assert!(failed["error"].is_string(), "{failed}");

    let (id, second) = fixture.record().await;
    fixture.wait_for(&second, "active").await;
    fixture.livekit().wait_for_participant(&id).await;
    fixture.workers.remove_recorder(&id).await;
    fixture.wait_for(&second, "failed").await;
    fixture.wait_for_told(&["starting", "active", "failed", "starting", "active", "failed"]).await;
}

#[tokio::test]
async fn late_doubled_and_swapped_reports_change_nothing() {
    let fixture = Fixture::start().await;
    fixture.workers.script_egresses(json!({"onStart": []})).await;
    let (id, path) = fixture.record().await;
    let active = json!({"status": "EGRESS_ACTIVE"});
    fixture.workers.report_egress(&id, json!([active, active, {"status": "EGRESS_STARTING"}, active])).await;
    fixture.wait_for(&path, "active").await;
    fixture.end_slowly(&id).await;
    fixture.apps[0].delete(&path).await.expect(StatusCode::OK);
    fixture.workers.report_egress(&id, json!([{"status": "EGRESS_COMPLETE"}])).await;
    let complete = fixture.wait_for(&path, "complete").await;
    // An end that LiveKit reports later than another one would replace it.
    let failed = json!({"status": "EGRESS_FAILED", "error": "late", "updatedAt": "1600000000000000000"});
    for late in [json!({"status": "EGRESS_ENDING"}), active, failed] {
        fixture.workers.report_egress(&id, json!([late])).await;
    }
    let first = &fixture.apps[0];
    for webhook in fixture.webhooks.captured().iter().rev() {
        first.webhook(&webhook.json()).await;
    }
    fixture.compare_again().await;
    assert_eq!(fixture.get(&path).await, complete);
    fixture.wait_for_told(&["starting", "active", "ending", "complete"]).await;
}

#[tokio::test]
async fn outputs_change_while_the_broadcast_runs() {
    let fixture = Fixture::start().await;
    let (id, path) = fixture.broadcast(&[FIRST]).await;
    fixture.wait_for(&path, "active").await;
    fixture.webhooks.drop_webhooks(true);
    for app in &fixture.apps {
        let changed = app.patch(&path, json!({"add": [SECOND], "remove": []})).await.expect(StatusCode::OK);
        assert_eq!(changed["rtmp"].as_array().unwrap().len(), 2);
    }
    fixture.apps[1].patch(&path, json!({"remove": ["1"]})).await.expect(StatusCode::OK);
    let shown = eventually("the outputs in LiveKit", || async {
        let found = fixture.get(&path).await;
        let status = |n: usize| found["rtmp"][n]["status"].clone();
        (status(0) == "finished" && status(1) == "active").then_some(found)
    })
    .await;
    assert!(!shown.to_string().contains("-key"), "{shown}");
    let listed = fixture.livekit().listed_egress(&id).await;
    assert_eq!(listed.stream_results.len(), 2);
    assert_eq!(fixture.workers.calls("UpdateStream").await.len(), 2);
    fixture.apps[0].patch(&path, json!({"remove": ["2"]})).await.expect_problem(409, "last_output");
}

#[tokio::test]
async fn egress_of_another_tool_is_taken_over() {
    let fixture = Fixture::start().await;
    // The room exists once a participant has been in it, or another tool has created it.
    let id = fixture.livekit().record().await.egress_id;
    let listed = eventually("the taken-over recording", || async {
        let found = fixture.get(&fixture.path("/recordings")).await;
        (found[0]["status"] == "active").then_some(found)
    })
    .await;
    assert_eq!((&listed[0]["recordingId"], &listed[0]["path"]), (&json!(id), &json!("recording.mp4")));
    assert_eq!(fixture.get(&fixture.path("")).await["recording"], true);
    let path = fixture.path(&format!("/recordings/{id}"));
    fixture.apps[0].delete(&path).await.expect(StatusCode::OK);
    fixture.wait_for(&path, "complete").await;
}

#[tokio::test]
async fn stopped_stream_completes_its_recording_and_waits_only_so_long() {
    let fixture = Fixture::start().await;
    let (_, recording) = fixture.record().await;
    let (_, broadcast) = fixture.broadcast(&[FIRST]).await;
    fixture.wait_for(&recording, "active").await;
    fixture.wait_for(&broadcast, "active").await;
    let stopped = fixture.stop_stream().await;
    assert_eq!((&stopped["recording"], &stopped["broadcasting"]), (&json!(false), &json!(false)));
    let complete = fixture.wait_for(&recording, "complete").await;
    assert_eq!(complete["files"].as_array().unwrap().len(), 1);
    fixture.wait_for(&broadcast, "complete").await;

    let slow = Fixture::start().await;
    slow.workers.script_egresses(json!({"onStop": [{"status": "EGRESS_ENDING"}]})).await;
    let (id, path) = slow.record().await;
    slow.wait_for(&path, "active").await;
    let begun = std::time::Instant::now();
    let stopped = slow.stop_stream().await;
    assert_eq!(stopped["status"], "stopped");
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    // The file is complete after the stream's end, which is told by no event.
    slow.workers.report_egress(&id, json!([{"status": "EGRESS_COMPLETE"}])).await;
    slow.wait_for(&path, "complete").await;
}
