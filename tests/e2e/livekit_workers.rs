//! The scripted workers against the API of a real LiveKit server: its states and webhooks are what this service builds
//! on. LiveKit's own egress and ingress programs are not run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livekit_api::services::egress::{EgressOutput, RoomCompositeOptions};
use livekit_protocol::{
    EgressStatus, EncodedFileOutput, StreamOutput, ingress_state::Status as IngressStatus,
    participant_info::Kind,
};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    media_fixture::{MediaServers, events},
    support::livekit_workers::LiveKitWorkers,
};

#[tokio::test]
async fn recording_reports_each_state_to_the_list_and_as_a_webhook() {
    let servers = MediaServers::start().await;
    servers.workers.script_egresses(json!({"onStart": []})).await;
    let started = servers.record().await;
    let id = started.egress_id.as_str();
    assert_eq!(started.status(), EgressStatus::EgressStarting);
    assert_eq!(servers.listed_egress(id).await.status(), EgressStatus::EgressStarting);
    let recorder = servers.wait_for_participant(id).await;
    assert_eq!(recorder.kind(), Kind::Egress);
    assert!(recorder.permission.is_some_and(|permission| permission.hidden));
    servers.workers.report_egress(id, json!([{"status": "EGRESS_ACTIVE"}])).await;
    assert_eq!(servers.listed_egress(id).await.status(), EgressStatus::EgressActive);
    let file = json!({"filename": "recording.mp4", "size": 4096, "duration": 2_000_000_000_u64});
    let reports = json!([{"status": "EGRESS_ENDING"}, {"status": "EGRESS_COMPLETE", "fileResults": [file]}]);
    servers.workers.script_egress(id, json!({"onStop": reports})).await;
    assert_eq!(servers.egress().stop_egress(id).await.unwrap().status(), EgressStatus::EgressEnding);
    let complete = servers.wait_for_egress(id, EgressStatus::EgressComplete).await;
    assert_eq!((complete.file_results[0].size, complete.file_results[0].duration), (4096, 2_000_000_000));
    servers.wait_until_left(id).await;
    let webhooks = servers.wait_for_webhooks("egressInfo", id, "egress_ended").await;
    let expected = [
        ("egress_started", ""),
        ("egress_updated", "EGRESS_ACTIVE"),
        ("egress_updated", "EGRESS_ENDING"),
        ("egress_ended", "EGRESS_COMPLETE"),
    ];
    assert_eq!(events(&webhooks, "/egressInfo/status"), expected);
    for (method, count) in [("StartEgress", 1), ("StopEgress", 1), ("UpdateStream", 0)] {
        assert_eq!(servers.workers.calls(method).await.len(), count, "{method}");
    }
}

#[tokio::test]
async fn failed_egress_reports_its_error_and_a_late_state_replaces_its_end() {
    let servers = MediaServers::start().await;
    let aborted = json!({"status": "EGRESS_ABORTED", "error": "Start signal not received"});
    servers.workers.script_egresses(json!({"onStart": [aborted]})).await;
    let id = servers.record().await.egress_id;
    assert_eq!(
        servers.wait_for_egress(&id, EgressStatus::EgressAborted).await.error,
        "Start signal not received"
    );
    let webhooks = servers.wait_for_webhooks("egressInfo", &id, "egress_ended").await;
    assert_eq!(
        events(&webhooks, "/egressInfo/error"),
        [("egress_started", ""), ("egress_ended", "Start signal not received")]
    );
    // LiveKit keeps the state that came last.
    let late = json!([{"status": "EGRESS_ACTIVE", "error": ""}, {"status": "EGRESS_ACTIVE"}]);
    servers.workers.report_egress(&id, late).await;
    assert_eq!(servers.listed_egress(&id).await.status(), EgressStatus::EgressActive);
    let webhooks = servers.wait_for_webhooks("egressInfo", &id, "egress_updated").await;
    assert_eq!(events(&webhooks[1..2], "/egressInfo/status"), [("egress_ended", "EGRESS_ABORTED")]);
    servers.workers.script_egresses(json!({"refuse": {"code": "invalid_argument", "message": "no"}})).await;
    let file = EgressOutput::File(EncodedFileOutput { filepath: "x.mp4".to_owned(), ..Default::default() });
    let options = RoomCompositeOptions::default();
    let refused = servers.egress().start_room_composite_egress(&servers.room, vec![file], options).await;
    assert!(format!("{refused:?}").contains("invalid_argument"), "{refused:?}");
}

#[tokio::test]
async fn rtmp_outputs_are_added_and_removed_while_the_egress_runs() {
    let servers = MediaServers::start().await;
    let [first, second] = ["first-key", "other-key"].map(|key| format!("rtmp://127.0.0.1/app/{key}"));
    let urls = vec![first.clone()];
    let id = servers
        .start_egress(EgressOutput::Stream(StreamOutput { urls, ..Default::default() }))
        .await
        .egress_id;
    servers.wait_for_egress(&id, EgressStatus::EgressActive).await;
    let egress = servers.egress();
    egress.update_stream(&id, vec![second.clone()], Vec::new()).await.unwrap();
    let updated = egress.update_stream(&id, Vec::new(), vec![first.clone()]).await.unwrap();
    let shown: Vec<_> =
        updated.stream_results.iter().map(|one| (one.url.as_str(), one.status().as_str_name())).collect();
    let expected =
        [("rtmp://127.0.0.1/app/{fir...key}", "FINISHED"), ("rtmp://127.0.0.1/app/{oth...key}", "ACTIVE")];
    assert_eq!(shown, expected);
    assert!(egress.update_stream(&id, Vec::new(), vec![first]).await.is_err());
    assert_eq!(servers.workers.calls("UpdateStream").await.len(), 3);
}

/// A crashed worker cannot report: LiveKit lists its egress as active although the recorder has left.
#[tokio::test]
async fn egress_of_a_killed_worker_stays_active_without_its_recorder() {
    let mut servers = MediaServers::start().await;
    let id = servers.record().await.egress_id;
    servers.wait_for_egress(&id, EgressStatus::EgressActive).await;
    servers.wait_for_participant(&id).await;
    let other = LiveKitWorkers::start(&servers.livekit, &servers.redis);
    std::mem::replace(&mut servers.workers, other).kill();
    servers.wait_until_left(&id).await;
    assert_eq!(servers.listed_egress(&id).await.status(), EgressStatus::EgressActive);
    assert!(servers.egress().stop_egress(&id).await.is_err());
    assert_eq!(servers.listed_egress(&id).await.status(), EgressStatus::EgressActive);
    // The same for a recorder that leaves while its worker lives.
    let id = servers.record().await.egress_id;
    servers.wait_for_egress(&id, EgressStatus::EgressActive).await;
    servers.workers.remove_recorder(&id).await;
    servers.wait_until_left(&id).await;
    assert_eq!(servers.listed_egress(&id).await.status(), EgressStatus::EgressActive);
}

#[tokio::test]
async fn rtmp_ingress_reports_each_state_until_it_is_deleted() {
    let servers = MediaServers::start().await;
    let created = servers.create_rtmp_ingress("obs").await;
    let (id, key) = (created.ingress_id.as_str(), created.stream_key.as_str());
    assert_eq!(servers.workers.push("another-key").await, StatusCode::FORBIDDEN);
    servers.workers.script_ingresses(json!({"onPush": [{"status": "ENDPOINT_BUFFERING"}]})).await;
    assert_eq!(servers.workers.push(key).await, StatusCode::OK);
    servers.wait_for_ingress(id, IngressStatus::EndpointBuffering).await;
    assert_eq!(servers.workers.push(key).await, StatusCode::CONFLICT);
    servers.workers.report_ingress(id, json!([{"status": "ENDPOINT_PUBLISHING"}])).await;
    servers.wait_for_ingress(id, IngressStatus::EndpointPublishing).await;
    assert_eq!(servers.wait_for_participant("obs").await.kind(), Kind::Ingress);
    servers.workers.end_push(key).await;
    servers.wait_for_ingress(id, IngressStatus::EndpointInactive).await;
    servers.wait_until_left("obs").await;
    let webhooks = servers.wait_for_webhooks("ingressInfo", id, "ingress_ended").await;
    assert_eq!(
        events(&webhooks, "/ingressInfo/state/status"),
        [("ingress_started", "ENDPOINT_PUBLISHING"), ("ingress_ended", "")]
    );
    let error = json!([{"status": "ENDPOINT_ERROR", "error": "codec not supported"}]);
    servers.workers.report_ingress(id, error).await;
    let failed = servers.wait_for_ingress(id, IngressStatus::EndpointError).await;
    assert_eq!(failed.state.unwrap().error, "codec not supported");
    servers.ingress().delete_ingress(id).await.unwrap();
    assert_eq!(servers.workers.push(key).await, StatusCode::FORBIDDEN);
}
