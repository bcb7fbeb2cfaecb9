//! Problem documents: each error with its status, code and invalid fields.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::Method;
use serde_json::json;

use super::Pair;
use crate::support::app::{TestApp, TestResponse};

fn fields(problem: &serde_json::Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

async fn raw(
    app: &TestApp,
    method: Method,
    path: &str,
    content_type: Option<&str>,
    body: &str,
) -> TestResponse {
    let mut request = app.request(method, path).body(body.to_owned());
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    TestResponse::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn request_with_several_invalid_fields_returns_all_their_names() {
    let Pair(app, _other) = Pair::start().await;
    let long = "x".repeat(257);
    let body = json!({"roomName": long, "metadata": [], "maxParticipants": -1, "emptyTimeout": "5m"});
    let problem = app.post("/streams", body).await.expect_problem(400, "validation_failed");
    assert_eq!(fields(&problem), ["roomName", "metadata", "maxParticipants", "emptyTimeout"]);
    let contradiction = app.post("/streams", json!({"roomName": "a", "name": "b"})).await;
    assert_eq!(fields(&contradiction.expect_problem(400, "validation_failed")), ["name"]);
    let control =
        app.post("/streams", json!({"name": "a\u{7}"})).await.expect_problem(400, "validation_failed");
    assert_eq!(fields(&control), ["name"]);
    let heavy = app.post("/streams", json!({"metadata": {"a": "x".repeat(60_000)}})).await;
    assert_eq!(fields(&heavy.expect_problem(400, "validation_failed")), ["metadata"]);

    let path = format!("/streams/{}", app.create(json!({})).await["id"].as_str().unwrap());
    let join = app.post(&format!("{path}/join"), json!({"role": "king", "name": ""})).await;
    assert_eq!(fields(&join.expect_problem(400, "validation_failed")), ["participantName", "name", "role"]);
    let leave = app.post(&format!("{path}/leave"), json!({})).await;
    assert_eq!(fields(&leave.expect_problem(400, "validation_failed")), ["participantName"]);
    let patch = app.patch(&path, json!({"status": "paused", "metadata": 5, "version": "x"})).await;
    assert_eq!(fields(&patch.expect_problem(400, "validation_failed")), ["metadata", "status", "version"]);

    for (path, field) in [
        ("/streams?limit=0", "limit"),
        ("/streams?limit=1001", "limit"),
        ("/streams?limit=ten", "limit"),
        ("/streams?status=paused", "status"),
        ("/streams?cursor=!", "cursor"),
        ("/streams?cursor=eDp5", "cursor"),
        ("/streams?limit=", "limit"),
        ("/events?streamId=", "streamId"),
        ("/events?limit=-1", "limit"),
        (&format!("{path}/participants?state=here"), "state"),
        (&format!("/events/{}?limit=0", path.rsplit('/').next().unwrap()), "limit"),
    ] {
        let problem = app.get(path).await.expect_problem(400, "validation_failed");
        assert_eq!(fields(&problem), [field], "{path}");
    }
}

#[tokio::test]
async fn body_that_is_no_json_or_too_large_is_refused() {
    let Pair(app, _other) = Pair::start().await;
    let json = Some("application/json");
    raw(&app, Method::POST, "/streams", None, "{}").await.expect_problem(415, "unsupported_media_type");
    raw(&app, Method::POST, "/streams", Some("text/plain"), "{}")
        .await
        .expect_problem(415, "unsupported_media_type");
    raw(&app, Method::POST, "/streams", json, "{").await.expect_problem(400, "malformed_body");
    raw(&app, Method::POST, "/streams", json, "[]").await.expect_problem(400, "malformed_body");
    let deep = format!("{{\"metadata\":{}1{}}}", "{\"a\":".repeat(500), "}".repeat(500));
    raw(&app, Method::POST, "/streams", json, &deep).await.expect_problem(400, "malformed_body");
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(256 * 1024));
    raw(&app, Method::POST, "/streams", json, &large).await.expect_problem(413, "payload_too_large");
    let zipped = app.request(Method::POST, "/streams").header("content-encoding", "gzip").json(&json!({}));
    TestResponse::read(zipped.send().await.unwrap()).await.expect_problem(415, "unsupported_media_type");
    raw(&app, Method::POST, "/streams", None, "").await.expect(reqwest::StatusCode::CREATED);
}

#[tokio::test]
async fn unknown_route_unknown_stream_and_wrong_method_have_different_problems() {
    let Pair(app, _other) = Pair::start().await;
    for path in ["/nope", "/streams/x/nope", "/assets/nope.js", "/vendor/../Cargo.toml"] {
        app.get(path).await.expect_problem(404, "route_not_found");
    }
    let unknown = "01890000-0000-7000-8000-000000000000";
    for path in [
        format!("/streams/{unknown}"),
        format!("/streams/{unknown}/state"),
        format!("/streams/{unknown}/participants"),
        format!("/events/{unknown}"),
        format!("/events?streamId={unknown}"),
        format!("/sse/{unknown}/updates"),
        "/streams/no%20such%2Froom".to_owned(),
    ] {
        app.get(&path).await.expect_problem(404, "stream_not_found");
    }
    app.delete("/streams/absent").await.expect_problem(404, "stream_not_found");
    app.post("/streams/absent/join", json!({"identity": "a"})).await.expect_problem(404, "stream_not_found");
    for (method, path, allow) in [
        (Method::PUT, "/streams", "GET, HEAD, POST"),
        (Method::POST, "/streams/x", "GET, HEAD, PATCH, DELETE"),
        (Method::GET, "/streams/x/join", "POST"),
        (Method::DELETE, "/events", "GET"),
        (Method::GET, "/webhooks/livekit", "POST"),
        (Method::POST, "/health", "GET, HEAD"),
    ] {
        let answer = app.send(method, path, None).await;
        assert_eq!(answer.header("allow"), Some(allow), "{path}");
        answer.expect_problem(405, "method_not_allowed");
    }
}

#[tokio::test]
async fn request_id_of_caller_is_returned_if_valid() {
    let Pair(app, _other) = Pair::start().await;
    let with_id = |id: &'static str| app.request(Method::GET, "/nope").header("x-request-id", id).send();
    assert_eq!(with_id("mine-1").await.unwrap().headers()["x-request-id"], "mine-1");
    let spaced = with_id("not sensible").await.unwrap();
    assert_ne!(spaced.headers()["x-request-id"], "not sensible");
}
