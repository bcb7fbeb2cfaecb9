//! The OpenAPI document against the service: schemathesis generates requests and compares each response with the
//! document.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Stdio;

use tokio::process::Command;

use crate::support::{
    instance::Instance,
    livekit_workers::LiveKitWorkers,
    servers::{LiveKit, Redis, free_port, shared_postgres_database, shared_redis},
    unique,
};

/// Feeds have no end, so schemathesis cannot compare their responses.
const FEEDS: [&str; 3] = ["followEvents", "followState", "openWebSocket"];
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,unsupported_method,\
                      allow_header_conformance";

#[tokio::test]
async fn every_response_matches_openapi_document() {
    // Without these, the routes of media jobs and of the history answer 501 and 503.
    let redis = Redis::start();
    let livekit = LiveKit::start_with_redis(None, &redis, free_port());
    let _workers = LiveKitWorkers::start(&livekit, &redis);
    let mut instance = Instance::new(shared_redis(), &livekit.url(), &unique("openapi"))
        .with("EGRESS_STORAGE_URL", "file:///recordings")
        .with("DATABASE_URL", &shared_postgres_database().await);
    instance.start().await;
    let schemathesis = std::env::var("SCHEMATHESIS").expect("scripts/test sets SCHEMATHESIS");
    let mut command = Command::new(schemathesis);
    command.args(["run", &format!("{}/openapi.json", instance.address().http), "--checks", CHECKS]);
    // A fixed seed makes findings reproducible.
    command.args(["--max-examples", "25", "--seed", "1", "--request-timeout", "30", "--continue-on-failure"]);
    command.args(["--warnings", "off", "--no-color"]);
    for feed in FEEDS {
        command.args(["--exclude-operation-id", feed]);
    }
    command.current_dir(std::env::temp_dir()).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}");
    assert!(report.contains("No issues found"), "{report}");
    let tested =
        report.split("Tested: ").nth(1).and_then(|rest| rest.lines().next()?.trim().parse::<u32>().ok());
    assert!(tested.is_some_and(|tested| tested >= 35), "{report}");
}
