//! The lease of the reconciler: the holder is paused during a reconciliation, another process takes over, and the
//! changes of the resumed process are refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use crate::support::{
    app::{participant_webhook, sign_webhook},
    eventually,
    fault_proxy::FaultProxy,
    instance::{Instance, signal},
    servers::{Redis, shared_livekit},
    unique,
};

async fn get(base: &str, path: &str) -> Value {
    reqwest::get(format!("{base}{path}")).await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn resumed_instance_without_lease_changes_nothing() {
    let redis = Redis::start();
    let (proxy, prefix) = (FaultProxy::start(redis.port).await, unique("test"));
    let instance =
        |redis: &str| Instance::new(redis, shared_livekit(), &prefix).with("RECONCILE_INTERVAL", "1s");
    let (mut first, mut second) = (instance(&proxy.url()), instance(&redis.url()));
    first.start().await;
    let base = first.address().http;
    let client = reqwest::Client::new();
    let created = client.post(format!("{base}/streams")).json(&json!({})).send().await.unwrap();
    let stream: Value = created.json().await.unwrap();
    let id = stream["id"].as_str().unwrap();
    // LiveKit does not have this participant. The reconciler removes it when the assumed delay of LiveKit's lists is
    // over.
    let webhook_body = participant_webhook("participant_joined", &stream, "absent", "PA_absent").to_string();
    let webhook = client.post(format!("{base}/webhooks/livekit"));
    let webhook = webhook.header("authorization", sign_webhook(&webhook_body)).body(webhook_body);
    assert!(webhook.send().await.unwrap().status().is_success());
    proxy.hold("PA_absent");
    eventually("a held repair", || async { (proxy.held_count() > 0).then_some(()) }).await;
    signal(first.pid(), "STOP");

    second.start().await;
    let base = second.address().http;
    eventually("the takeover", || async {
        let state = get(&base, &format!("/streams/{id}/state")).await;
        (state["participantCount"] == 0).then_some(())
    })
    .await;
    // The repair of the paused process reaches Redis now.
    assert_eq!(proxy.lease_lost_count(), 0);
    proxy.release();
    eventually("the refusal of the late repair", || async { (proxy.lease_lost_count() > 0).then_some(()) })
        .await;
    signal(first.pid(), "CONT");
    // Both processes continue to work, whichever has the lease.
    let webhook_body = participant_webhook("participant_joined", &stream, "late", "PA_late").to_string();
    let webhook = client.post(format!("{}/webhooks/livekit", first.address().http));
    let webhook = webhook.header("authorization", sign_webhook(&webhook_body)).body(webhook_body);
    assert!(webhook.send().await.unwrap().status().is_success());
    eventually("the next repair", || async {
        let state = get(&base, &format!("/streams/{id}/state")).await;
        (state["participantCount"] == 0 && state["participants"].as_array().unwrap().len() == 2).then_some(())
    })
    .await;
    let log = get(&base, &format!("/events/{id}")).await;
    let count = |kind: &str| log.as_array().unwrap().iter().filter(|event| event["type"] == kind).count();
    assert_eq!((count("participant_joined"), count("participant_left")), (2, 2), "{log:#}");
}
