//! Requests that the HTTP layer refuses before routing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::Pair;
use crate::support::raw_http::{send_half_closed, send_raw};

const DOUBLE_LENGTH: &str =
    "POST /streams HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}";
const UNKNOWN_CODING: &str =
    "POST /streams HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip, zip\r\n\r\n{}";

fn with_headers(headers: &str) -> String {
    format!("GET /health/live HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")
}

#[tokio::test]
async fn malformed_request_returns_problem_document() {
    let Pair(app, _other) = Pair::start().await;
    let large = with_headers(&format!("x-large: {}\r\n", "a".repeat(200_000)));
    let many = with_headers(&(0..200).map(|n| format!("x-{n}: 1\r\n")).collect::<String>());
    for (request, status, code) in [
        ("NONSENSE\r\n\r\n", 400, "bad_request"),
        ("GET /health/live HTTP/9.9\r\nhost: localhost\r\n\r\n", 400, "bad_request"),
        ("GET /health/live HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (DOUBLE_LENGTH, 400, "bad_request"),
        (UNKNOWN_CODING, 400, "bad_request"),
        (&with_headers("no colon\r\n"), 400, "bad_request"),
        (&large, 431, "headers_too_large"),
        (&many, 431, "headers_too_large"),
    ] {
        let answers = send_raw(&app.base, request.as_bytes()).await;
        let [answer] = &answers[..] else { panic!("{request:.80}: {answers:?}") };
        answer.expect_problem(status, code);
        assert_eq!(answer.header("connection").as_deref(), Some("close"));
        assert!(answer.header("date").is_some());
    }
    let counted = "lso_http_requests_total{method=\"other\",route=\"none\",status=\"431\"} 2";
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn malformed_request_on_metrics_address_returns_problem_document() {
    let Pair(app, _other) =
        Pair::with(|arguments| arguments.metrics_addr = Some("127.0.0.1:0".to_owned())).await;
    let answers = send_raw(app.metrics.as_deref().unwrap(), b"NONSENSE\r\n\r\n").await;
    answers[0].expect_problem(400, "bad_request");
}

#[tokio::test]
async fn late_request_head_returns_408_problem_document() {
    let Pair(app, _other) = Pair::start().await;
    let answers = send_raw(&app.base, b"GET /health/live HTTP/1.1\r\nhost: ").await;
    answers[0].expect_problem(408, "request_timeout");
}

/// Responses to the requests before the malformed one are sent unchanged.
#[tokio::test]
async fn malformed_pipelined_request_keeps_earlier_responses() {
    let Pair(app, _other) = Pair::start().await;
    let live = with_headers("x-request-id: mine\r\n");
    let head = "HEAD /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let absent = "GET /absent HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for last in ["NONSENSE\r\n\r\n", DOUBLE_LENGTH] {
        let answers = send_raw(&app.base, format!("{live}{absent}{live}{last}").as_bytes()).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 404, 200, 400]);
        assert_eq!(answers[2].header("x-request-id").as_deref(), Some("mine"));
        answers[1].expect_problem(404, "route_not_found");
        answers[3].expect_problem(400, "bad_request");
    }
    let refused = send_half_closed(&app.base, &[live.as_bytes(), b"NONSENSE\r\n\r\n"]).await;
    refused[1].expect_problem(400, "bad_request");
    // A response to HEAD has no body, so the refusal follows its head directly.
    let mut connection = crate::support::raw_http::connect(&app.base).await;
    let request = format!("{head}NONSENSE\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut connection, request.as_bytes()).await.unwrap();
    let mut received = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut connection, &mut received).await.unwrap();
    assert!(
        received.ends_with("\"type\":\"urn:livestream-orchestrator:problem:bad_request\"}"),
        "{received}"
    );
}
