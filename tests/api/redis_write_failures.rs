//! Changes that Redis refuses or does not answer: what goes on meanwhile, and that none is made twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    delivery_fixture::DeliveryFixture,
    support::{
        app::{Setup, participant_webhook},
        eventually,
        fault_proxy::{CommandFault, FaultProxy},
        instance::Instance,
        recording::SharedUrl,
        servers::{Redis, shared_livekit},
        unique,
    },
};

/// Changes are refused; reads, feeds, resuming and stopping go on; nobody loses anything.
#[tokio::test]
async fn full_redis_refuses_changes_and_serves_reads_feeds_and_stops() {
    let redis = Redis::start();
    let log_url = SharedUrl::new(redis.url().into());
    let mut fixture = DeliveryFixture::start(&redis.url(), &unique("test"), &log_url).await;
    let app = &fixture.apps[0];
    let spare = app.create(json!({})).await["id"].as_str().unwrap().to_owned();
    let path = format!("/streams/{spare}");
    app.post(&format!("{path}/join"), json!({"identity": "early"})).await.expect(StatusCode::OK);
    app.patch(&path, json!({"metadata": {"a": 1}})).await.expect(StatusCode::OK);
    let load = fixture.load();
    load.goes_on(40).await;
    redis.execute(&["CONFIG", "SET", "maxmemory", "1mb"]).await.unwrap();
    load.is_refused().await;
    app.post("/streams", json!({})).await.expect_problem(503, "store_unavailable");
    for (way, body) in [("", json!({"metadata": {"a": 2}})), ("/join", json!({"identity": "late"}))] {
        let path = format!("{path}{way}");
        let refused = if way.is_empty() { app.patch(&path, body).await } else { app.post(&path, body).await };
        refused.expect_problem(503, "store_unavailable");
    }
    assert!(app.get("/metrics").await.text.contains("kind=\"oom\""));
    assert!(app.is_ready().await, "it goes on serving reads and feeds");
    app.get(&path).await.expect(StatusCode::OK);
    app.get("/streams").await.expect(StatusCode::OK);
    let history = app.get(&format!("/events/{spare}")).await.expect(StatusCode::OK);
    // Who comes back now gets the rest.
    let first = history[1]["cursor"].as_str().unwrap();
    let mut resumed = app.resume(&format!("/events?streamId={spare}"), first).await;
    resumed.wait_for("participant_updated").await;
    assert_eq!(resumed.wait_for("stream_updated").await, history[3]);
    // What makes room in the end is still done, and told.
    app.post(&format!("{path}/leave"), json!({"identity": "early"})).await.expect(StatusCode::OK);
    resumed.wait_for("participant_updated").await;
    app.delete(&path).await.expect(StatusCode::OK);
    resumed.wait_for("stream_stopped").await;
    redis.execute(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    load.goes_on(40).await;
    let made = load.end().await;
    let report = fixture.delivery_report().await;
    assert!(report.is_exactly_once(), "{report:?}");
    assert!(fixture.times_in_log(&made).await.iter().all(|times| *times == 1));
}

/// The change was made, and nobody was told so: asking again makes it no second time.
#[tokio::test]
async fn repeated_change_after_lost_redis_reply_is_applied_once() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(redis.port).await;
    let app = Setup::new(&proxy.url(), shared_livekit()).start().await;
    let stream = app.create(json!({})).await;
    let id = stream["id"].as_str().unwrap().to_owned();
    let path = format!("/streams/{id}");
    // How the scripts of changes of this stream begin their arguments, after a key that never exists.
    let change = format!(":never\r\n$36\r\n{id}\r\n");
    let joined = participant_webhook("participant_joined", &stream, "ann", "PA_1");
    let ask = async |kind: &str| match kind {
        "stream_updated" => app.patch(&path, json!({"metadata": {"a": 1}})).await,
        "participant_joined" => app.webhook(&joined).await,
        _ => app.delete(&path).await,
    };
    for (n, kind) in ["stream_updated", "participant_joined", "stream_stopped"].into_iter().enumerate() {
        proxy.fault_commands(Some((&change, CommandFault::LostReply)));
        ask(kind).await.expect_problem(503, "store_unavailable");
        proxy.fault_commands(None);
        assert_eq!(proxy.faulted_count(), n + 1, "sent once, and not again by itself");
        ask(kind).await.expect(StatusCode::OK);
        let history = app.get(&format!("/events/{id}")).await.expect(StatusCode::OK);
        let of_kind =
            |event: &&Value| event["type"] == kind && event["data"]["stream"]["status"] != "stopping";
        let status = |event: &Value| event["data"]["stream"]["status"].clone();
        let events: Vec<_> = history.as_array().unwrap().iter().filter(of_kind).map(status).collect();
        let expected = if kind == "stream_updated" { 2 } else { 1 };
        assert_eq!(events.len(), expected, "{kind}: {history:#}");
    }
    // Two streams of one name there are not either.
    let room = unique("room");
    proxy.fault_commands(Some((&room, CommandFault::LostReply)));
    app.post("/streams", json!({"name": room})).await.expect_problem(503, "store_unavailable");
    proxy.fault_commands(None);
    let again = app.post("/streams", json!({"name": room})).await.expect(StatusCode::OK);
    let all = app.get("/streams?status=all").await.expect(StatusCode::OK);
    let ids: Vec<_> = all.as_array().unwrap().iter().filter(|one| one["roomName"] == room).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(ids[0]["id"], again["id"]);
}

/// Also those that are hard to bring about.
#[tokio::test]
async fn every_redis_error_reply_has_log_line_metric_and_503() {
    let redis = Redis::start();
    let proxy = FaultProxy::start(redis.port).await;
    let mut instance = Instance::new(&proxy.url(), shared_livekit(), &unique("test")).with_log();
    instance.start().await;
    let (client, base) = (reqwest::Client::new(), instance.address().http);
    let create = || async { client.post(format!("{base}/streams")).json(&json!({})).send().await.unwrap() };
    let ready = || async { reqwest::get(format!("{base}/health/ready")).await.unwrap().status() };
    let replies = [
        ("readonly", "READONLY You can't write against a read only replica."),
        ("loading", "LOADING Redis is loading the dataset in memory"),
        ("busy", "BUSY Redis is busy running a script."),
        ("oom", "OOM command not allowed when used memory > 'maxmemory'."),
        ("misconf", "MISCONF Errors writing to the AOF file: No space left on device"),
        ("noreplicas", "NOREPLICAS Not enough good replicas to write."),
        ("masterdown", "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
        ("noauth", "NOAUTH Authentication required."),
        ("noperm", "NOPERM this user has no permissions to run the 'evalsha' command"),
        ("clusterdown", "CLUSTERDOWN Hash slot not served"),
        ("moving", "TRYAGAIN Multiple keys request during rehashing of slot"),
        ("other", "ERR something that nobody has thought of"),
    ];
    for (kind, reply) in replies {
        proxy.fault_commands(Some(("EVALSHA", CommandFault::ErrorReply(reply.to_owned()))));
        let refused = create().await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "{kind}");
        assert!(refused.headers().contains_key("retry-after"));
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["code"], "store_unavailable");
        assert!(!problem.to_string().contains(reply), "Redis's words are for the log");
        // Whoever is refused everything cannot serve.
        assert_eq!(ready().await, StatusCode::SERVICE_UNAVAILABLE, "{kind}");
        let metrics = reqwest::get(format!("{base}/metrics")).await.unwrap().text().await.unwrap();
        assert!(metrics.contains(&format!("kind=\"{kind}\"")), "{kind}: {metrics}");
        // Lines stay in order, so all that came before this one are there with it.
        let url = format!("{base}/absent");
        client.get(url).header("x-request-id", format!("after-{kind}")).send().await.unwrap();
        let lines = eventually("the log", || {
            let lines = instance.log();
            async { lines.contains(&format!("\"after-{kind}\"")).then_some(lines) }
        })
        .await;
        let of_kind =
            |line: &&str| line.contains(&format!("\"kind\":\"{kind}\"")) && line.contains("Redis: ");
        let lines: Vec<_> = lines.lines().filter(of_kind).collect();
        assert_eq!(lines.len(), 1, "one line, however many calls fail: {lines:?}");
        assert!(lines[0].contains("\"level\":\"WARN\""), "{lines:?}");
        proxy.fault_commands(None);
        eventually("readiness", || async { (ready().await == StatusCode::OK).then_some(()) }).await;
        assert_eq!(create().await.status(), StatusCode::CREATED, "after {kind}");
    }
}
