//! Redis with TLS and with a user that has only the documented permissions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp, participant_webhook},
    certificates::Certificates,
    eventually,
    instance::Instance,
    servers::{Redis, run, shared_livekit},
    unique,
};

/// Executes every kind of Redis command: a whole stream, two feeds, resumes, idempotency and a reconciliation.
pub async fn use_every_command(app: &TestApp) {
    let mut all = app.follow("/events").await;
    let stream = app.create(json!({"metadata": {"a": 1}})).await;
    let id = stream["id"].as_str().unwrap();
    let mut states = app.follow(&format!("/sse/{id}/updates")).await;
    app.post(&format!("/streams/{id}/join"), json!({"identity": "bob"})).await.expect(StatusCode::OK);
    let joined = participant_webhook("participant_joined", &stream, "ann", "PA_1");
    app.webhook(&joined).await.expect(StatusCode::OK);
    states.wait_until("ann", |state| state["participantCount"] == 1).await;
    app.patch(&format!("/streams/{id}"), json!({"metadata": {"a": 2}})).await.expect(StatusCode::OK);
    app.get("/streams").await.expect(StatusCode::OK);
    app.get(&format!("/streams/{id}/participants")).await.expect(StatusCode::OK);
    app.get(&format!("/events/{id}?limit=2")).await.expect(StatusCode::OK);
    let from = app.get(&format!("/events/{id}")).await.expect(StatusCode::OK)[0]["cursor"].clone();
    app.resume("/events", from.as_str().unwrap()).await.wait_for("participant_joined").await;
    app.resume("/events", "garbage").await.wait_for("reset").await;
    for _ in 0..2 {
        let stop = app.request(Method::DELETE, &format!("/streams/{id}")).header("idempotency-key", "stop");
        assert_eq!(stop.send().await.unwrap().status(), StatusCode::OK);
    }
    all.wait_for("stream_stopped").await;
    let metrics = eventually("a reconciliation", || async {
        let metrics = app.get("/metrics").await.text;
        metrics.contains("lso_reconciliations_total{outcome=\"done\"}").then_some(metrics)
    })
    .await;
    let failed: Vec<_> = metrics.lines().filter(|line| line.starts_with("lso_redis_errors_total")).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(
        metrics.contains("lso_idempotent_replays_total 1")
            && metrics.contains("lso_rate_limit_failures_total 0")
    );
}

#[tokio::test]
async fn redis_over_tls_requires_certificate_of_trusted_ca() {
    let certificates = Certificates::generate();
    let redis = Redis::start_tls(&certificates, false);
    let with_ca = |name: &str| {
        let path = certificates.path(name);
        Setup::new(&redis.tls_url(), shared_livekit()).with(|arguments| arguments.redis_ca_file = Some(path))
    };
    use_every_command(&with_ca("ca.pem").start().await).await;

    let instance = |settings: &[(&str, String)]| {
        let instance = Instance::new(&redis.tls_url(), shared_livekit(), &unique("test"));
        settings.iter().fold(instance, |instance, (name, value)| instance.with(name, value))
    };
    let (code, output) =
        instance(&[("REDIS_CA_FILE", certificates.path("ca.pem"))]).run_command(&["check"]).await;
    assert!(code == Some(0) && output.contains("ok   Redis: version"), "{output}");
    for settings in [vec![("REDIS_CA_FILE", certificates.path("other.pem"))], Vec::new()] {
        let mut untrusting = instance(&settings);
        let (code, output) = untrusting.run_command(&["check"]).await;
        assert_eq!(code, Some(1));
        assert!(output.contains("FAIL Redis: the TLS certificate is not signed by a trusted CA"), "{output}");
        // The instance starts, is not ready and sends no command to the untrusted server.
        untrusting.start_listening().await;
        let base = untrusting.address().http;
        let created = reqwest::Client::new().post(format!("{base}/streams")).json(&json!({})).send().await;
        assert_eq!(created.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        let health: Value = reqwest::get(format!("{base}/health")).await.unwrap().json().await.unwrap();
        assert_eq!(health["store"]["status"], "down");
    }
    let (code, output) = instance(&[("REDIS_CA_FILE", "/nowhere".to_owned())]).run_command(&["check"]).await;
    assert_eq!(code, Some(2));
    assert!(output.contains("REDIS_CA_FILE cannot be read"), "{output}");
}

#[tokio::test]
async fn redis_that_requires_client_certificate_is_used() {
    let certificates = Certificates::generate();
    let redis = Redis::start_tls(&certificates, true);
    let setup = Setup::new(&redis.tls_url(), shared_livekit()).with(|arguments| {
        arguments.redis_ca_file = Some(certificates.path("ca.pem"));
        arguments.redis_cert_file = Some(certificates.path("client.pem"));
        arguments.redis_key_file = Some(certificates.path("client.key"));
    });
    use_every_command(&setup.start().await).await;
    let without_certificate = Instance::new(&redis.tls_url(), shared_livekit(), &unique("test"))
        .with("REDIS_CA_FILE", &certificates.path("ca.pem"));
    let (code, output) = without_certificate.run_command(&["check"]).await;
    assert!(code == Some(1) && output.contains("FAIL Redis"), "{output}");
}

/// Reads the ACL rules with this name from docs/OPERATIONS.md, with this key prefix.
pub fn acl_rules(prefix: &str, name: &str) -> Vec<String> {
    let text = include_str!("../../docs/OPERATIONS.md");
    let rules = text.split(&format!("```acl {name}\n")).nth(1).unwrap().split("\n```").next().unwrap();
    let rules = rules.replace("PASSWORD", "hunter2").replace("{lso}", &format!("{{{prefix}}}"));
    // The first two words are `user` and its name.
    rules.split_whitespace().skip(2).map(str::to_owned).collect()
}

#[tokio::test]
async fn documented_acl_user_suffices_and_has_no_other_prefix() {
    let redis = Redis::start();
    let setup = Setup::new(&redis.url(), shared_livekit());
    let rules = acl_rules(setup.arguments.redis_prefix.as_deref().unwrap(), "service");
    assert!(rules.len() > 10, "{rules:?}");
    let port = redis.port.to_string();
    let mut set = vec!["-p", &port, "ACL", "SETUSER", "orchestrator"];
    set.extend(rules.iter().map(String::as_str));
    assert_eq!(run("redis-cli", &set, "").trim(), "OK");
    run("redis-cli", &["-p", &port, "ACL", "SETUSER", "default", "off"], "");
    let url = format!("redis://orchestrator:hunter2@127.0.0.1:{}/0", redis.port);
    let as_user = setup.clone().with(|arguments| {
        arguments.redis_url = Some(url.clone().into());
        // The default rate limit is active, so that its commands are executed.
        arguments.admission.rate_limit_read = None;
    });
    use_every_command(&as_user.start().await).await;

    // Other key prefixes are denied.
    let other_prefix = Instance::new(&url, shared_livekit(), &unique("other"));
    let (code, output) = other_prefix.run_command(&["check"]).await;
    assert_eq!(code, Some(1), "{output}");
}
