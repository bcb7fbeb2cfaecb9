//! Redis with Sentinel: failovers under load, with and without lost writes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    delivery_fixture::DeliveryFixture,
    redis_security,
    support::{
        certificates::Certificates,
        eventually,
        instance::Instance,
        recording::SharedUrl,
        sentinel::{MASTER, Sentinel, SentinelGroup, pause_writes},
        servers::{Redis, free_port, shared_livekit},
        unique, within,
    },
};

fn set_log_url(log_url: &SharedUrl, node: &Redis) {
    *log_url.lock().unwrap() = node.url();
}

#[tokio::test]
async fn killed_master_with_synchronous_replicas_loses_no_event() {
    let mut group = SentinelGroup::start().await;
    let log_url = group.shared_url();
    let mut fixture = DeliveryFixture::start(&group.url(), &unique("test"), &log_url).await;
    let load = fixture.start_load();
    load.wait_for_changes(40).await;
    // Changes that wait for the master when it is killed get no reply and are not executed.
    pause_writes(&group.nodes[0], 2).await;
    group.nodes[0].kill();
    let master = group.wait_for_new_master(0).await;
    set_log_url(&log_url, &group.nodes[master]);
    load.wait_for_changes(40).await;
    assert!(load.refused_count() > 0, "waiting changes are refused");
    // The old master restarts and becomes a replica.
    group.nodes[0].restart();
    eventually("a replica", || async { (group.nodes[0].info("role").await? == "slave").then_some(()) }).await;
    load.wait_for_changes(40).await;
    let made = load.stop().await;
    assert!(group.is_still_master(master).await, "no second failover");
    let report = fixture.delivery_report().await;
    assert!(report.is_exactly_once(), "{report:?}");
    let times = fixture.times_in_log(&made).await;
    assert!(times.iter().all(|times| *times == 1), "every acknowledged change, once: {times:?}");
}

#[tokio::test]
async fn failover_to_stale_replica_resets_each_client_once() {
    let mut group = SentinelGroup::start().await;
    let log_url = group.shared_url();
    let mut fixture = DeliveryFixture::start(&group.url(), &unique("test"), &log_url).await;
    let quiet = fixture.apps[0].create(json!({"metadata": {"a": "kept"}})).await;
    let path = format!("/streams/{}", quiet["id"].as_str().unwrap());
    let mut states = fixture.apps[1].follow(&format!("/sse/{}/updates", quiet["id"].as_str().unwrap())).await;
    states.wait_until("the state", |state| state["metadata"]["a"] == "kept").await;
    let load = fixture.start_load();
    load.wait_for_changes(20).await;
    // Replication is stopped.
    pause_writes(&group.nodes[0], 2).await;
    group.nodes[0].execute(&["ACL", "SETUSER", "default", "-psync", "-sync"]).await.unwrap();
    group.nodes[0].execute(&["CLIENT", "KILL", "TYPE", "replica"]).await.unwrap();
    group.nodes[0].execute(&["CLIENT", "UNPAUSE"]).await.unwrap();
    load.wait_for_changes(40).await;
    fixture.apps[0].patch(&path, json!({"metadata": {"a": "lost"}})).await.expect(StatusCode::OK);
    states.wait_until("the change", |state| state["metadata"]["a"] == "lost").await;
    fixture.wait_for_deliveries().await;
    group.nodes[0].kill();
    let master = group.wait_for_new_master(0).await;
    set_log_url(&log_url, &group.nodes[master]);
    load.wait_for_changes(40).await;
    load.stop().await;
    assert!(group.is_still_master(master).await, "no second failover");
    let report = fixture.delivery_report().await;
    assert!(report.has_no_silent_loss(), "{report:?}");
    assert_eq!(report.resets.values().sum::<usize>(), fixture.clients.len(), "{report:?}");
    let reasons = ["cursor_from_the_future", "cursor_unknown"];
    assert!(report.resets.keys().all(|reason| reasons.contains(&reason.as_str())), "{report:?}");
    // The state feed sends the present state, although no change followed.
    let kept = states.wait_until("the replicated state", |state| state["metadata"]["a"] == "kept");
    within("the replicated state", kept).await;
}

/// The old master is alive and refuses to become a replica.
#[tokio::test]
async fn old_master_that_still_answers_is_abandoned() {
    let group = SentinelGroup::start().await;
    let log_url = group.shared_url();
    let mut fixture = DeliveryFixture::start(&group.url(), &unique("test"), &log_url).await;
    let load = fixture.start_load();
    load.wait_for_changes(40).await;
    group.nodes[0].execute(&["ACL", "SETUSER", "default", "-replicaof", "-slaveof"]).await.unwrap();
    group.force_failover().await;
    let master = group.wait_for_new_master(0).await;
    for app in &*fixture.apps {
        eventually("a subscription at the new master", || async {
            app.get("/metrics").await.text.contains("lso_feed_connects_total 2").then_some(())
        })
        .await;
    }
    set_log_url(&log_url, &group.nodes[master]);
    load.wait_for_changes(100).await;
    load.stop().await;
    assert!(group.is_still_master(master).await, "no second failover");
    let report = fixture.delivery_report().await;
    assert!(report.has_no_silent_loss(), "{report:?}");
    assert_eq!(
        group.nodes[0].info("role").await.as_deref(),
        Some("master"),
        "the old master was not reconfigured"
    );
}

#[tokio::test]
async fn sentinels_with_users_and_tls_are_supported() {
    let certificates = Certificates::generate();
    let redis = Redis::start_tls(&certificates, false);
    let [certificate, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| certificates.path(name));
    let (tls_port, rules) = (free_port(), redis_security::acl_rules("", "sentinel").join(" "));
    let configuration = format!(
        "requirepass another\nuser orchestrator {rules}\ntls-port {tls_port}\ntls-replication yes\n\
         tls-auth-clients no\ntls-cert-file {certificate}\ntls-key-file {key}\ntls-ca-cert-file {ca}\n"
    );
    let _sentinel = Sentinel::start(redis.port, 1, &configuration);
    let url = |password: &str| {
        format!(
            "rediss+sentinel://127.0.0.1:{tls_port}/{MASTER}?sentinel-user=orchestrator&sentinel-password={password}"
        )
    };
    let instance = |url: &str| {
        Instance::new(url, shared_livekit(), &unique("test"))
            .with("REDIS_CA_FILE", &certificates.path("ca.pem"))
    };
    let mut permitted = instance(&url("hunter2"));
    let (code, output) = permitted.run_command(&["check"]).await;
    assert!(code == Some(0) && output.contains("ok   Redis: is a master"), "{output}");
    permitted.start().await;
    let created = reqwest::Client::new()
        .post(format!("{}/streams", permitted.address().http))
        .json(&json!({}))
        .send()
        .await;
    assert_eq!(created.unwrap().status(), StatusCode::CREATED);
    for (url, expected) in [
        (url("wrong"), "no master is known"),
        (url("hunter2").replace(MASTER, "unknown"), "no master is known"),
        (format!("rediss+sentinel://127.0.0.1:{tls_port}/{MASTER}"), "no master is known"),
    ] {
        let (code, output) = instance(&url).run_command(&["check"]).await;
        assert!(code == Some(1) && output.contains(expected) && !output.contains("hunter2"), "{output}");
    }
}
