//! The command `check` tests each endpoint.

use serde_json::{Value, json};

use crate::support::{
    endpoint::{Reply, TestEndpoint},
    instance::Instance,
    servers::{free_port, shared_livekit, shared_redis},
    unique,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Runs `check` with a file of endpoints; returns the exit code and the output.
async fn check(endpoints: &Value, change: impl FnOnce(Instance) -> Instance) -> (Option<i32>, String) {
    let file = std::env::temp_dir().join(unique("endpoints"));
    std::fs::write(&file, endpoints.to_string()).unwrap();
    let instance = Instance::new(shared_redis(), shared_livekit(), &unique("check"))
        .with("WEBHOOK_ENDPOINTS_FILE", file.to_str().unwrap());
    let checked = change(instance).run_command(&["check"]).await;
    std::fs::remove_file(&file).unwrap();
    checked
}

fn entry(id: &str, url: &str) -> Value {
    json!({"id": id, "url": url, "secret": SECRET})
}

#[tokio::test]
async fn check_says_what_is_wrong_with_each_endpoint() {
    let up = TestEndpoint::start().await;
    let redirecting = TestEndpoint::with(|_| Reply::Status(308, "location: http://127.0.0.1:1/\r\n")).await;
    let refusing = TestEndpoint::with(|_| Reply::Status(401, "")).await;
    let endpoints = json!([
        entry("up", &up.url),
        entry("moved", &redirecting.url),
        entry("refusing", &refusing.url),
        entry("absent", &format!("http://127.0.0.1:{}/", free_port())),
        entry("metadata-service", "http://169.254.169.254/latest?key=hunter2"),
        entry("unknown", "http://no-such-host.invalid/"),
    ]);
    let (code, output) = check(&endpoints, |instance| instance.with("WEBHOOK_ALLOW_PRIVATE", "true")).await;
    assert_eq!(code, Some(1), "{output}");
    for line in [
        "ok   Endpoints: up: answers 200",
        "FAIL Endpoints: moved: answers 308, a redirect",
        "FAIL Endpoints: refusing: answers 401, a refusal",
        "FAIL Endpoints: absent: no connection",
        "FAIL Endpoints: metadata-service: its host has an address that is not globally reachable",
        "FAIL Endpoints: unknown: its host has no address",
    ] {
        assert!(output.contains(line), "{line} in {output}");
    }
    assert!(!output.contains("whsec_") && !output.contains("hunter2"), "no secret is printed: {output}");
    let received = up.received();
    assert_eq!((received.len(), received[0].kind().as_str()), (1, "test"));
    assert!(received[0].is_signed_by(SECRET));
}

#[tokio::test]
async fn proxies_of_the_environment_are_ignored() {
    let (up, proxy) = (TestEndpoint::start().await, TestEndpoint::with(|_| Reply::Status(502, "")).await);
    let endpoints = json!([entry("up", &up.url)]);
    let with_proxy = |instance: Instance| {
        let names = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"].into_iter();
        let proxy = proxy.url.trim_end_matches("/hook");
        let instance = names.fold(instance, |instance, name| instance.with(name, proxy));
        instance.with("NO_PROXY", "").with("WEBHOOK_ALLOW_PRIVATE", "true")
    };
    let (_, output) = check(&endpoints, with_proxy).await;
    assert!(output.contains("ok   Endpoints: up: answers 200"), "{output}");
    assert_eq!(up.received().len(), 1);
}

#[tokio::test]
async fn fault_of_the_file_is_an_error_of_the_settings() {
    let endpoints = json!([{"id": "crm", "url": "https://example.com/", "secret": "hunter2"}]);
    let (code, output) = check(&endpoints, |instance| instance).await;
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("WEBHOOK_ENDPOINTS_FILE entry 1: `secret`"), "{output}");
    assert!(!output.contains("hunter2"), "{output}");
}
