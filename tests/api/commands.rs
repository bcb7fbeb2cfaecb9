//! The commands of the binary besides the service itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::support::{
    instance::Instance,
    servers::{LiveKit, Redis, free_port, shared_livekit, shared_redis},
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
    assert_eq!(instance.run_command(&["healthcheck"]).await.0, Some(1), "nobody is there");
    instance.start().await;
    assert_eq!(instance.run_command(&["healthcheck"]).await, (Some(0), String::new()));
    instance.terminate().await;
    let mut lonely = self::instance("redis://127.0.0.1:1/0", shared_livekit());
    lonely.start_listening().await;
    let (code, words) = lonely.run_command(&["healthcheck"]).await;
    assert_eq!(code, Some(1));
    assert!(words.contains("503"), "{words}");
}

#[tokio::test]
async fn check_reports_redis_findings() {
    let redis = Redis::start_durable();
    configure(&redis, "maxmemory", "100mb").await;
    let (code, words) = instance(&redis.url(), shared_livekit()).run_command(&["check"]).await;
    assert_eq!(code, Some(0), "{words}");
    assert!(!words.contains("FAIL") && !words.contains("warn"), "{words}");
    for part in ["Redis: version 7", "never evicts", "append-only", "LiveKit: answers", "clock agrees"] {
        assert!(words.contains(part), "{part} in {words}");
    }
    configure(&redis, "maxmemory-policy", "allkeys-lru").await;
    let (code, words) = instance(&redis.url(), shared_livekit()).run_command(&["check"]).await;
    assert_eq!(code, Some(1));
    assert!(words.contains("FAIL Redis: evicts (allkeys-lru)"), "{words}");
    configure(&redis, "requirepass", "hunter2").await;
    let with = |user: &str| format!("redis://{user}127.0.0.1:{}/0", redis.port);
    for (url, expected) in [
        (with(""), "FAIL Redis: requires a password"),
        (with(":wrong-word@"), "FAIL Redis: refuses the user or the password"),
        (format!("redis://127.0.0.1:{}/0", free_port()), "FAIL Redis: no server listens"),
    ] {
        let (code, words) = instance(&url, shared_livekit()).run_command(&["check"]).await;
        assert_eq!(code, Some(1));
        assert!(words.contains(expected), "{expected} in {words}");
        assert!(!words.contains("wrong-word"), "no secret is repeated: {words}");
        assert!(words.contains("ok   LiveKit: answers"), "the rest is looked at all the same: {words}");
    }
    let forgetful = Redis::start();
    let (code, words) = instance(&forgetful.url(), shared_livekit()).run_command(&["check"]).await;
    assert_eq!(code, Some(0));
    assert!(words.contains("warn Redis: keeps no append-only file"), "{words}");
}

#[tokio::test]
async fn check_reports_livekit_findings() {
    let nowhere = format!("ws://127.0.0.1:{}", free_port());
    let (code, words) = instance(shared_redis(), &nowhere).run_command(&["check"]).await;
    assert_eq!(code, Some(1));
    assert!(words.contains("FAIL LiveKit: does not answer: is LIVEKIT_URL right?"), "{words}");
    let stranger =
        instance(shared_redis(), shared_livekit()).with("LIVEKIT_API_SECRET", "somebody-elses-secret");
    let (code, words) = stranger.run_command(&["check"]).await;
    assert_eq!(code, Some(1));
    assert!(words.contains("FAIL LiveKit: refuses") && words.contains("secret right?"), "{words}");
    assert!(!words.contains("somebody-elses"), "{words}");
    let nothing = stranger.with("PORT", "many");
    assert_eq!(nothing.run_command(&["check"]).await.0, Some(2), "what cannot be read is not tried");
}

#[tokio::test]
async fn check_webhooks_succeeds_only_if_webhook_arrives() {
    let webhooks = WebhookProxy::start().await;
    let livekit = LiveKit::start(Some(&webhooks.url));
    let mut instance = instance(shared_redis(), &livekit.url());
    webhooks.forward_to(&instance.address().http);
    // Whether an instance runs already or not.
    let arrived = "ok   Webhooks: a webhook from LiveKit arrived";
    let (code, words) = instance.run_command(&["check", "--webhooks"]).await;
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains(arrived), "{words}");
    instance.start().await;
    let (code, words) = instance.run_command(&["check", "--webhooks"]).await;
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains(arrived), "{words}");
    webhooks.drop_webhooks(true);
    let (code, words) = instance.run_command(&["check", "--webhooks"]).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("FAIL Webhooks: no webhook arrived"), "{words}");
}
