//! Health, metrics, pages and CORS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Pair;
use crate::support::{
    app::participant_webhook,
    servers::{run, shared_livekit},
};

#[tokio::test]
async fn health_reports_status_of_each_dependency() {
    let Pair(one, two) = Pair::start().await;
    let health = one.get("/health").await.expect(StatusCode::OK);
    assert_eq!(health["status"], "ok");
    for (part, kind) in [("store", "redis"), ("livekit", "livekit"), ("feed", "pubsub")] {
        assert_eq!((&health[part]["status"], &health[part]["kind"]), (&json!("up"), &json!(kind)));
    }
    // The URL for clients with their own tokens, and links. Behind a proxy there is no link to the metrics.
    assert_eq!(health["livekit"]["url"], shared_livekit());
    assert_eq!(health["links"], json!({"docs": "/docs", "metrics": "/metrics"}));
    let proxied =
        one.request(Method::GET, "/health").header("x-forwarded-for", "192.0.2.1").send().await.unwrap();
    assert_eq!(proxied.json::<Value>().await.unwrap()["links"], json!({"docs": "/docs"}));
    assert_ne!(health["instance"], two.get("/health").await.expect(StatusCode::OK)["instance"]);
    one.get("/health/live").await.expect(StatusCode::OK);
    one.get("/health/ready").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn metrics_report_instance_and_shared_totals() {
    let Pair(one, two) = Pair::start().await;
    let stream = one.create(json!({})).await;
    one.webhook(&participant_webhook("participant_joined", &stream, "ann", "PA_1"))
        .await
        .expect(StatusCode::OK);
    let _follower = two.follow("/events").await;
    one.get("/streams/secret-name-of-a-room").await;
    let text = [one.get("/metrics").await.text, two.get("/metrics").await.text];
    for line in
        ["active_streams 1", "total_participants 1", "lso_streams{status=\"active\"} 1", "lso_feed_up 1"]
    {
        assert!(text.iter().all(|text| text.lines().any(|found| found == line)), "{line}");
    }
    assert!(text[0].contains(r#"lso_webhooks_total{event="participant_joined",outcome="applied"} 1"#));
    assert!(text[0].contains(r#"lso_http_requests_total{method="POST",route="/streams",status="201"} 1"#));
    assert!(text[1].contains(r#"lso_subscribers{transport="sse"} 1"#));
    assert!(!text[0].contains("secret-name"), "no label has values that a caller controls");
}

#[tokio::test]
async fn metrics_pass_promtool_check() {
    let Pair(app, _other) = Pair::start().await;
    let stream = app.create(json!({})).await;
    app.webhook(&participant_webhook("participant_joined", &stream, "ann", "PA_1"))
        .await
        .expect(StatusCode::OK);
    let mut events = app.follow("/events").await;
    app.delete(&format!("/streams/{}", stream["id"].as_str().unwrap())).await.expect(StatusCode::OK);
    events.wait_for("stream_stopped").await;
    let findings = run("promtool", &["check", "metrics"], &app.get("/metrics").await.text);
    assert_eq!(findings, "");
}

#[tokio::test]
async fn metrics_with_own_address_are_served_only_there() {
    let Pair(app, _other) =
        Pair::with(|arguments| arguments.metrics_addr = Some("127.0.0.1:0".to_owned())).await;
    app.get("/metrics").await.expect_problem(404, "route_not_found");
    let own = app.metrics.as_ref().unwrap();
    let answer = reqwest::get(format!("{own}/metrics")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.text().await.unwrap().lines().any(|line| line == "lso_feed_up 1"));
    assert_eq!(
        reqwest::get(format!("{own}/streams")).await.unwrap().status(),
        StatusCode::NOT_FOUND,
        "no other route"
    );
}

#[tokio::test]
async fn pages_have_strict_content_security_policy_and_etag() {
    let Pair(app, _other) = Pair::start().await;
    for path in ["/", "/index.html", "/room.html?streamId=x", "/history.html"] {
        let page = app.get(path).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.header("content-type").unwrap().starts_with("text/html"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
        assert!(!page.text.contains("<style") && !page.text.contains("onclick"), "nothing inline");
        let tag = page.header("etag").unwrap();
        let again = app.request(Method::GET, path).header("if-none-match", tag).send().await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }
}

/// A unit test covers both cases. This test checks the case of this build.
#[tokio::test]
async fn content_security_policy_allows_cdn_only_without_bundled_library() {
    let Pair(app, _other) = Pair::start().await;
    let mut is_served = true;
    for file in ["livekit-client.umd.js", "uPlot.iife.min.js"] {
        is_served &= app.get(&format!("/vendor/{file}")).await.status == StatusCode::OK;
    }
    for path in ["/", "/index.html", "/room.html?streamId=x", "/history.html"] {
        let page = app.get(path).await;
        let policy = page.header("content-security-policy").unwrap();
        assert_eq!(policy.contains("cdn.jsdelivr.net"), !is_served, "{policy}");
    }
}

#[tokio::test]
async fn cors_allows_configured_origin_only() {
    let Pair(app, _other) =
        Pair::with(|arguments| arguments.cors_origins = Some("https://app.example.com".to_owned())).await;
    let list_from =
        |origin: &'static str| app.request(Method::GET, "/streams").header("origin", origin).send();
    let allowed = list_from("https://app.example.com").await.unwrap();
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://app.example.com");
    assert!(
        list_from("https://evil.example.com")
            .await
            .unwrap()
            .headers()
            .get("access-control-allow-origin")
            .is_none()
    );
}
