//! `AUTH=off`: hosts and pages from which an open API accepts requests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::FutureExt;
use livestream_orchestrator::http::table;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{self, client::IntoClientRequest},
};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use super::Pair;
use crate::support::{
    app::{TestApp, TestResponse},
    grpc::{Client, subscribe_request},
    raw_http::send_raw,
    servers::{KEY, SECRET},
    within,
};

const APP: &str = "https://app.example.com";
const EVIL: &str = "https://evil.example";
/// Paths that accept every host and origin.
const EXEMPT: [&str; 6] =
    ["/health", "/health/live", "/health/ready", "/metrics", "/webhooks/livekit", "/webhook"];

/// Operations of the API as method and path. Path parameters name `stream`.
fn operations(stream: &str) -> Vec<(Method, String)> {
    let operations = table(true).into_iter().flat_map(|path| {
        let target = path.pattern.replace("{id}", stream).replace("{file}", "index.css");
        let methods = path.operations.into_iter().map(|operation| operation.method.as_str().parse().unwrap());
        methods.map(|method: Method| (method, target.clone())).collect::<Vec<_>>()
    });
    let operations: Vec<_> = operations.collect();
    assert!(operations.len() > 30, "{operations:?}");
    operations
}

async fn send(app: &TestApp, method: &Method, path: &str, headers: &[(&str, &str)]) -> TestResponse {
    let request = app.request(method.clone(), path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    TestResponse::read(request.send().await.unwrap()).await
}

fn is_refused(response: &TestResponse) -> bool {
    response.status == StatusCode::MISDIRECTED_REQUEST || response.body["code"] == "foreign_origin"
}

#[tokio::test]
async fn foreign_host_is_refused_on_every_route_but_health_metrics_and_webhooks() {
    let Pair(app, _other) =
        Pair::with(|settings| settings.admission.allowed_hosts = Some("live.example.com".to_owned())).await;
    for (method, path) in operations("absent") {
        // The response of a feed has no end.
        if ["/events", "/events/absent", "/sse/absent/updates"].contains(&path.as_str()) {
            continue;
        }
        for host in ["evil.example", "evil.example:3000"] {
            let answer = send(&app, &method, &path, &[("host", host)]).await;
            match EXEMPT.contains(&path.as_str()) {
                true => assert!(!is_refused(&answer), "{method} {path}: {}", answer.text),
                false => assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{method} {path}"),
            }
        }
        for host in ["localhost:8080", "[::1]", "192.0.2.1", "LIVE.example.com:443"] {
            let answer = send(&app, &method, &path, &[("host", host)]).await;
            assert!(!is_refused(&answer), "{method} {path} of {host}: {}", answer.text);
        }
    }
    for path in ["/events", "/sse/absent/updates", "/nothing"] {
        let refused = send(&app, &Method::GET, path, &[("host", "evil.example")]).await;
        refused.expect_problem(421, "misdirected_request");
    }
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("lso_requests_refused_total{reason=\"foreign_host\"}"), "{metrics}");
}

#[tokio::test]
async fn host_of_absolute_request_target_is_checked_too() {
    let Pair(app, _other) = Pair::start().await;
    for (target, host, status) in [
        ("http://evil.example/streams", "localhost", 421),
        ("http://localhost/streams", "evil.example", 421),
        ("http://localhost/streams", "localhost", 200),
        ("/streams", "localhost\r\nhost: evil.example", 421),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answers = send_raw(&app.base, request.as_bytes()).await;
        // The HTTP layer may refuse several hosts by itself.
        assert!([status, 400].contains(&answers[0].status), "{target} {host}: {answers:?}");
        assert!(status == 421 || answers[0].status == 200, "{answers:?}");
    }
}

#[tokio::test]
async fn change_of_foreign_page_is_refused_on_every_route_with_and_without_body() {
    let Pair(app, _other) = Pair::with(|settings| settings.cors_origins = Some(APP.to_owned())).await;
    let stream = app.create(json!({})).await;
    let id = stream["id"].as_str().unwrap();
    let changes = operations(id)
        .into_iter()
        .filter(|(method, path)| !method.is_safe() && !EXEMPT.contains(&path.as_str()));
    let changes: Vec<_> = changes.collect();
    assert!(changes.len() >= 5, "{changes:?}");
    for (method, path) in &changes {
        for headers in [
            &[("origin", EVIL)][..],
            &[("origin", "null")],
            &[("origin", "http://localhost:5173"), ("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", APP), ("origin", EVIL)],
        ] {
            let refused = send(&app, method, path, headers).await;
            refused.expect_problem(403, "foreign_origin");
            let request =
                app.request(method.clone(), path).json(&json!({"status": "stopped", "identity": "a"}));
            let request =
                headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            let refused = TestResponse::read(request.send().await.unwrap()).await;
            refused.expect_problem(403, "foreign_origin");
        }
    }
    let unchanged = app.get(&format!("/streams/{id}")).await.expect(StatusCode::OK);
    assert_eq!((&unchanged["status"], &unchanged["version"]), (&json!("active"), &stream["version"]));
    for (method, path) in &changes {
        for headers in [
            &[("origin", app.base.as_str())][..],
            &[("origin", app.base.as_str()), ("sec-fetch-site", "same-origin")],
            &[("origin", APP), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "none")],
            &[],
        ] {
            let answer = send(&app, method, path, headers).await;
            assert!(!is_refused(&answer), "{method} {path} {headers:?}: {}", answer.text);
        }
    }
    let read = send(&app, &Method::GET, "/streams", &[("origin", EVIL)]).await;
    read.expect(StatusCode::OK);
    let signed = send(&app, &Method::POST, "/webhook", &[("sec-fetch-site", "cross-site")]).await;
    signed.expect_problem(401, "invalid_signature");
}

#[tokio::test]
async fn websocket_is_opened_for_pages_of_this_host_and_of_cors_origins_only() {
    let Pair(app, _other) = Pair::with(|settings| settings.cors_origins = Some(APP.to_owned())).await;
    let open = async |path: &str, origin: Option<&str>| {
        let mut request =
            format!("{}{path}", app.base.replacen("http", "ws", 1)).into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        match within("a handshake", connect_async(request)).await {
            Ok((_, answer)) => answer.status().as_u16(),
            Err(tungstenite::Error::Http(answer)) => answer.status().as_u16(),
            Err(error) => panic!("{error}"),
        }
    };
    for path in ["/ws", "/"] {
        for origin in [None, Some(app.base.as_str()), Some(APP)] {
            assert_eq!(open(path, origin).await, 101, "{path} {origin:?}");
        }
        for origin in [EVIL, "null", "http://127.0.0.1:1"] {
            assert_eq!(open(path, Some(origin)).await, 403, "{path} {origin}");
        }
    }
}

#[tokio::test]
async fn grpc_call_of_foreign_authority_is_refused_and_health_answers() {
    let Pair(app, _other) =
        Pair::with(|settings| settings.admission.allowed_hosts = Some("live.example.com".to_owned())).await;
    let connect = async |origin: &str| {
        let endpoint = Endpoint::from_shared(app.grpc.clone()).unwrap().origin(origin.parse().unwrap());
        endpoint.connect().await.unwrap()
    };
    let state = async |channel: Channel| Client::on(channel).state("absent").await.unwrap_err().code();
    assert_eq!(state(connect("http://evil.example").await).await, Code::PermissionDenied);
    for accepted in ["http://localhost", "http://192.0.2.1:3001", "http://live.example.com:3001"] {
        assert_eq!(state(connect(accepted).await).await, Code::NotFound, "{accepted}");
    }
    let mut health =
        tonic_health::pb::health_client::HealthClient::new(connect("http://probe.internal").await);
    health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn grpc_call_whose_host_differs_from_authority_is_refused() {
    let Pair(app, _other) = Pair::start().await;
    for (host, code) in [
        ("LocalHost:3001", Code::NotFound),
        // Accepted by itself.
        ("localhost", Code::PermissionDenied),
        ("127.0.0.1:3001", Code::PermissionDenied),
        ("evil.example", Code::PermissionDenied),
        ("", Code::PermissionDenied),
    ] {
        let endpoint = Endpoint::from_shared(app.grpc.clone()).unwrap();
        let channel = endpoint.origin("http://localhost:3001".parse().unwrap()).connect().await.unwrap();
        let mut call = subscribe_request("absent", "");
        call.metadata_mut().insert("host", host.parse().unwrap());
        assert_eq!(Client::on(channel).call(call).await.unwrap_err().code(), code, "{host}");
    }
}

#[tokio::test]
async fn api_with_authentication_accepts_every_host_and_origin() {
    let Pair(app, _other) = Pair::with(|settings| settings.admission.auth = None).await;
    let token = livekit_api::access_token::AccessToken::with_api_key(KEY, SECRET);
    let grants = livekit_api::access_token::VideoGrants { room_create: true, ..Default::default() };
    let token = format!("Bearer {}", token.with_identity("backend").with_grants(grants).to_jwt().unwrap());
    let headers = [
        ("host", "evil.example"),
        ("origin", EVIL),
        ("sec-fetch-site", "cross-site"),
        ("authorization", &token),
        ("content-type", "application/json"),
    ];
    let request = headers
        .iter()
        .fold(app.request(Method::POST, "/streams"), |request, (name, value)| request.header(*name, *value));
    let created = request.body("{}").send().map(Result::unwrap).await;
    assert_eq!(created.status(), StatusCode::CREATED);
}
