//! The commands `healthcheck` and `check` of the binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livekit_api::services::{
    egress::{EgressClient, EgressListOptions},
    ingress::{IngressClient, IngressListFilter},
    room::RoomClient,
};

use crate::support::{
    instance::Instance,
    livekit_workers::LiveKitWorkers,
    servers::{KEY, LiveKit, Redis, SECRET, free_port, shared_livekit, shared_redis},
    unique,
    webhook_proxy::WebhookProxy,
};

async fn configure(redis: &Redis, name: &str, value: &str) {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let set = redis::cmd("CONFIG").arg("SET").arg(name).arg(value).to_owned();
    let () = set.query_async(&mut connection).await.unwrap();
}

fn instance(redis: &str, livekit: &str) -> Instance {
    Instance::new(redis, livekit, &unique("test"))
}

#[tokio::test]
async fn healthcheck_returns_readiness_of_running_instance() {
    let mut instance = instance(shared_redis(), shared_livekit());
    assert_eq!(instance.run_command(&["healthcheck"]).await.0, Some(1), "no instance runs");
    instance.start().await;
    assert_eq!(instance.run_command(&["healthcheck"]).await, (Some(0), String::new()));
    instance.terminate().await;
    let mut without_redis = self::instance("redis://127.0.0.1:1/0", shared_livekit());
    without_redis.start_listening().await;
    let (code, output) = without_redis.run_command(&["healthcheck"]).await;
    assert_eq!(code, Some(1));
    assert!(output.contains("503"), "{output}");
}

#[tokio::test]
async fn check_reports_redis_findings() {
    let redis = Redis::start_durable();
    configure(&redis, "maxmemory", "100mb").await;
    let (code, output) = instance(&redis.url(), shared_livekit()).run_command(&["check"]).await;
    assert_eq!(code, Some(0), "{output}");
    let warnings: Vec<_> = output.lines().filter(|line| line.starts_with("warn")).collect();
    assert!(!output.contains("FAIL") && warnings.len() == 1, "{output}");
    assert!(warnings[0].contains("LiveKit: runs without Redis"), "{output}");
    for part in ["Redis: version 7", "never evicts", "append-only", "LiveKit: answers", "clock agrees"] {
        assert!(output.contains(part), "{part} in {output}");
    }
    configure(&redis, "maxmemory-policy", "allkeys-lru").await;
    let (code, output) = instance(&redis.url(), shared_livekit()).run_command(&["check"]).await;
    assert_eq!(code, Some(1));
    assert!(output.contains("FAIL Redis: evicts (allkeys-lru)"), "{output}");
    configure(&redis, "requirepass", "hunter2").await;
    let with = |user: &str| format!("redis://{user}127.0.0.1:{}/0", redis.port);
    for (url, expected) in [
        (with(""), "FAIL Redis: requires a password"),
        (with(":wrong-word@"), "FAIL Redis: refuses the user or the password"),
        (format!("redis://127.0.0.1:{}/0", free_port()), "FAIL Redis: no server listens"),
    ] {
        let (code, output) = instance(&url, shared_livekit()).run_command(&["check"]).await;
        assert_eq!(code, Some(1));
        assert!(output.contains(expected), "{expected} in {output}");
        assert!(!output.contains("wrong-word"), "no secret is printed: {output}");
        assert!(output.contains("ok   LiveKit: answers"), "the other checks run: {output}");
    }
    let volatile = Redis::start();
    let (code, output) = instance(&volatile.url(), shared_livekit()).run_command(&["check"]).await;
    assert_eq!(code, Some(0));
    assert!(output.contains("warn Redis: keeps no append-only file"), "{output}");
}

#[tokio::test]
async fn check_reports_livekit_findings() {
    let nowhere = format!("ws://127.0.0.1:{}", free_port());
    let (code, output) = instance(shared_redis(), &nowhere).run_command(&["check"]).await;
    assert_eq!(code, Some(1));
    assert!(output.contains("FAIL LiveKit: does not answer: is LIVEKIT_URL right?"), "{output}");
    let wrong_secret =
        instance(shared_redis(), shared_livekit()).with("LIVEKIT_API_SECRET", "another-secret-value");
    let (code, output) = wrong_secret.run_command(&["check"]).await;
    assert_eq!(code, Some(1));
    assert!(
        output.contains("FAIL LiveKit: refuses")
            && output.contains("check LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET"),
        "{output}"
    );
    assert!(!output.contains("another-secret"), "{output}");
    let invalid_port = wrong_secret.with("PORT", "many");
    assert_eq!(invalid_port.run_command(&["check"]).await.0, Some(2), "invalid settings are not checked");
}

#[tokio::test]
async fn check_reports_programs_for_media_and_leaves_nothing_behind() {
    let redis = Redis::start();
    let livekit = LiveKit::start_with_redis(None, &redis, free_port());
    let (code, output) = instance(shared_redis(), &livekit.url()).run_command(&["check"]).await;
    assert_eq!(code, Some(0), "{output}");
    for part in ["warn Ingress: no program for ingresses", "warn Egress: no program for egresses"] {
        assert!(output.contains(part), "{part} in {output}");
    }

    let workers = LiveKitWorkers::start(&livekit, &redis);
    let with_storage =
        instance(shared_redis(), &livekit.url()).with("EGRESS_STORAGE_URL", "s3://bucket/folder");
    let (code, output) = with_storage.run_command(&["check"]).await;
    assert_eq!(code, Some(0), "{output}");
    for part in ["ok   Ingress: the program for ingresses", "ok   Egress: the program for egresses answers"] {
        assert!(output.contains(part), "{part} in {output}");
    }
    assert!(!output.contains("EGRESS_STORAGE_URL"), "{output}");
    assert!(!workers.calls("StartEgress").await.is_empty());
    let url = livekit.url().replace("ws:", "http:");
    let client = IngressClient::with_api_key(&url, KEY, SECRET);
    assert!(client.list_ingress(IngressListFilter::All).await.unwrap().is_empty());
    let client = EgressClient::with_api_key(&url, KEY, SECRET);
    assert!(client.list_egress(EgressListOptions::default()).await.unwrap().is_empty());
    let rooms = RoomClient::with_api_key(&url, KEY, SECRET).list_rooms(Vec::new()).await.unwrap();
    assert!(rooms.is_empty(), "{rooms:?}");
}

#[tokio::test]
async fn check_webhooks_succeeds_only_if_webhook_arrives() {
    let webhooks = WebhookProxy::start().await;
    let livekit = LiveKit::start(Some(&webhooks.url));
    let mut instance = instance(shared_redis(), &livekit.url());
    webhooks.forward_to(&instance.address().http);
    // First without a running instance, then with one.
    let arrived = "ok   Webhooks: a webhook from LiveKit arrived";
    let (code, output) = instance.run_command(&["check", "--webhooks"]).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains(arrived), "{output}");
    instance.start().await;
    let (code, output) = instance.run_command(&["check", "--webhooks"]).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains(arrived), "{output}");
    webhooks.drop_webhooks(true);
    let (code, output) = instance.run_command(&["check", "--webhooks"]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("FAIL Webhooks: no webhook arrived"), "{output}");
}
