//! The OpenAPI document: its routes, its grants, and a snapshot that shows every change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeSet, fs, path::Path};

use livestream_orchestrator::{
    access::{Action, Grant},
    domain::ErrorCode,
    error_mapping::ErrorMapping,
    http::{openapi, table},
};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::Pair;

const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];

/// Path, method and operation of every operation.
fn operations() -> Vec<(String, String, &'static Value)> {
    let paths = openapi()["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &'static Value)| {
        let methods = METHODS.iter().filter_map(move |method| Some((*method, item.get(*method)?)));
        methods
            .map(|(method, operation)| (path.clone(), method.to_ascii_uppercase(), operation))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

#[test]
fn openapi_routes_equal_route_table() {
    let documented: BTreeSet<_> = operations().into_iter().map(|(path, method, _)| (path, method)).collect();
    let served: BTreeSet<_> = table(true)
        .iter()
        .flat_map(|path| {
            path.operations.iter().map(|operation| (path.pattern.to_owned(), operation.method.to_string()))
        })
        .collect();
    assert_eq!(documented, served);
    assert!(documented.len() > 30);
}

#[tokio::test]
async fn every_documented_route_is_served_and_refuses_other_methods() {
    let Pair(app, _other) = Pair::start().await;
    for path in openapi()["paths"].as_object().unwrap().keys() {
        let url = path.replace("{id}", "absent").replace("{file}", "absent").replace("{identity}", "absent");
        let url = url.replace("{endpointId}", "absent").replace("{ingressId}", "absent");
        let url = url.replace("{recordingId}", "absent").replace("{broadcastId}", "absent");
        let answer = app.send(Method::TRACE, &url, None).await;
        let documented: Vec<_> =
            METHODS.iter().filter(|method| openapi()["paths"][path].get(**method).is_some()).collect();
        let allow: BTreeSet<_> =
            answer.header("allow").unwrap().split(", ").map(str::to_ascii_lowercase).collect();
        assert_eq!(allow, documented.iter().map(|method| (**method).to_owned()).collect(), "{path}");
        answer.expect_problem(405, "method_not_allowed");
    }
    let served: Value = app.get("/openapi.json").await.expect(StatusCode::OK);
    assert_eq!(&served, openapi());
    for path in ["/docs", "/docs/index.html", "/docs/swagger-ui-bundle.js", "/docs/swagger-initializer.js"] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(answer.header("content-security-policy").unwrap().contains("default-src 'none'"));
        assert!(!answer.text.is_empty());
    }
}

/// Actions of an operation, written independently of the code.
fn actions(id: &str) -> &'static [Action] {
    match id.trim_end_matches("Head") {
        "listStreams" => &[Action::List],
        "createStream" => &[Action::Create],
        "getStream" | "getStreamState" | "listParticipants" | "getParticipant" | "getHistory"
        | "followState" => &[Action::Read],
        "followEvents" | "openWebSocket" => &[Action::Read, Action::FollowAll],
        "patchStream" => &[Action::Update, Action::Stop],
        "stopStream" => &[Action::Stop],
        "patchParticipant" | "muteParticipant" | "muteParticipants" => &[Action::Moderate],
        "raiseHand" | "lowerHand" => &[Action::RaiseHand, Action::Moderate],
        "listBlocks" | "blockParticipant" | "unblockParticipant" => &[Action::Moderate],
        "removeParticipant" => &[Action::Remove],
        "goLive" | "stopLive" => &[Action::SetLive],
        "joinStream" => &[Action::Join],
        "listWebhookEndpoints"
        | "createWebhookEndpoint"
        | "getWebhookEndpoint"
        | "patchWebhookEndpoint"
        | "deleteWebhookEndpoint"
        | "rotateWebhookSecret"
        | "testWebhookEndpoint"
        | "replayWebhookEvents" => &[Action::ManageWebhooks],
        "createIngress" | "deleteIngress" => &[Action::ManageIngresses],
        "listIngresses" | "getIngress" => &[Action::ReadIngresses],
        "startRecording" | "stopRecording" | "startBroadcast" | "patchBroadcast" | "stopBroadcast" => {
            &[Action::Record]
        }
        "listRecordings" | "getRecording" | "listBroadcasts" | "getBroadcast" => &[Action::ReadEgresses],
        "listHistory" | "getHistoryStream" | "listVisits" | "listHistoryEvents" | "getViewers" => {
            &[Action::ReadHistory]
        }
        "erasePerson" => &[Action::ErasePerson],
        "leaveStream" => &[Action::Leave, Action::Remove],
        _ => &[],
    }
}

#[test]
fn openapi_security_matches_permission_table() {
    for (path, method, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        let expected: BTreeSet<_> = actions(id)
            .iter()
            .flat_map(|action| action.permission().grants)
            .map(|grant| grant.as_str())
            .collect();
        let security = operation["security"].as_array().unwrap();
        let found: BTreeSet<_> = security
            .iter()
            .flat_map(|one| one.as_object().unwrap().values())
            .flat_map(|grants| grants.as_array().unwrap().iter().map(|grant| grant.as_str().unwrap()))
            .collect();
        assert_eq!(found, expected, "{method} {path}");
        assert_eq!(
            operation["responses"].get("401").is_some_and(|answer| !answer["content"].is_null()),
            !expected.is_empty() && method != "HEAD" || id.starts_with("receiveWebhook"),
            "{method} {path}"
        );
    }
    assert!(Grant::ALL.iter().all(|grant| openapi().to_string().contains(grant.as_str())));
}

#[test]
fn every_http_error_code_is_documented() {
    let text = openapi()["paths"].to_string();
    for code in ErrorCode::ALL {
        let word = ErrorMapping::of(code).code;
        // These codes occur only at the end of feeds and in gRPC.
        let is_elsewhere =
            ["slow_consumer", "connection_expired", "token_expired", "deadline_exceeded"].contains(&word);
        assert_ne!(text.contains(&format!("`{word}`")), is_elsewhere, "{word}");
    }
}

#[test]
fn openapi_document_equals_snapshot() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let made = serde_json::to_string_pretty(openapi()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differs = made.lines().zip(kept.lines()).position(|(made, kept)| made != kept);
    assert!(
        made == kept,
        "docs/openapi.json differs from line {differs:?} on: review the change for clients, then run this \
        test with UPDATE_SNAPSHOTS=1"
    );
}
