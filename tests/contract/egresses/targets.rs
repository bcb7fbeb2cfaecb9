//! RTMP targets of broadcasts, in every store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{
        Change, EgressChange, EgressState, EgressStatus, EgressTarget, JobId, Rejection, RtmpAddress,
        RtmpStatus, StreamRef, TargetId, TargetStatus, TargetsPlan, change::Effect, rtmp_target::MAX_TARGETS,
    },
    store::Applied,
};

use super::lifecycle::{address, current, refused, report, start, state, told, webhook};
use crate::backend::{Backend, identity, on_every_backend};

on_every_backend!(
    targets_follow_the_reports_of_livekit,
    address_that_is_there_is_not_added_again,
    removed_target_is_added_again,
    last_output_is_not_removed,
    targets_are_bounded,
    targets_that_livekit_has_not_added_are_dropped,
    targets_end_with_the_broadcast,
    rewritten_address_is_that_of_the_only_waiting_target,
);

const ID: &str = "EG_1";

fn change(add: &[&str], remove: &[u32]) -> Change {
    let add = add.iter().map(|key| address(key)).collect();
    let remove = remove.iter().copied().map(TargetId).collect();
    let plan = TargetsPlan { id: ID.into(), job: JobId::generate(), add, remove, by: Some(identity("cy")) };
    EgressChange::PlanTargets(plan).into()
}

fn reported(key: &str, status: TargetStatus) -> EgressTarget {
    let error = (status == TargetStatus::Failed).then(|| "refused".to_owned());
    EgressTarget { fingerprint: address(key).fingerprint(), url: address(key).masked(), status, error }
}

/// A report of an active broadcast with these targets.
async fn report_targets(
    backend: &Backend,
    stream: &StreamRef,
    seconds: i64,
    targets: Vec<EgressTarget>,
) -> Applied {
    let outputs = current(backend, stream, ID).await.outputs;
    let state = EgressState { targets, ..state(EgressStatus::Active, seconds) };
    backend.change(stream, webhook(report(ID, outputs, state))).await
}

async fn statuses(backend: &Backend, stream: &StreamRef) -> Vec<(u32, RtmpStatus)> {
    current(backend, stream, ID).await.targets.iter().map(|target| (target.id.0, target.status)).collect()
}

async fn addresses(backend: &Backend, stream: &StreamRef) -> Vec<(TargetId, RtmpAddress)> {
    backend.store.egress_addresses(stream.id, &ID.into()).await.unwrap().into_iter().collect()
}

async fn begin(backend: &Backend, name: &str) -> StreamRef {
    let stream = backend.active(name).await;
    start(backend, &stream, ID, &[address("first-key"), address("other-key")]).await;
    stream
}

const ACTIVE: TargetStatus = TargetStatus::Active;
const FINISHED: TargetStatus = TargetStatus::Finished;

async fn targets_follow_the_reports_of_livekit(backend: Backend) {
    let stream = begin(&backend, "follow").await;
    assert_eq!(statuses(&backend, &stream).await, [(1, RtmpStatus::Starting), (2, RtmpStatus::Starting)]);
    let known = addresses(&backend, &stream).await;
    assert_eq!(known, [(TargetId(1), address("first-key")), (TargetId(2), address("other-key"))]);
    let targets = vec![reported("first-key", ACTIVE), reported("other-key", TargetStatus::Failed)];
    report_targets(&backend, &stream, 1, targets).await;
    assert_eq!(statuses(&backend, &stream).await, [(1, RtmpStatus::Active), (2, RtmpStatus::Failed)]);
    let shown = serde_json::to_value(told(&backend, &stream).await.pop().unwrap()).unwrap();
    assert_eq!(shown["rtmp"][1]["error"], "refused");
    assert_eq!(shown["rtmp"][0]["url"], "rtmp://a.example/live/***");
    let found = vec![
        reported("first-key", ACTIVE),
        reported("other-key", TargetStatus::Failed),
        reported("of-another-tool", ACTIVE),
    ];
    report_targets(&backend, &stream, 2, found).await;
    assert_eq!(statuses(&backend, &stream).await[2], (3, RtmpStatus::Active));
    assert_eq!(addresses(&backend, &stream).await.len(), 2);
}

async fn address_that_is_there_is_not_added_again(backend: Backend) {
    let stream = begin(&backend, "again").await;
    assert_eq!(backend.change(&stream, change(&["first-key"], &[])).await.effect, Effect::Unchanged);
    let added = backend.change(&stream, change(&["first-key", "third-key"], &[])).await;
    assert_eq!(added.effect, Effect::Changed);
    assert_eq!(statuses(&backend, &stream).await[2], (3, RtmpStatus::Starting));
    assert_eq!(backend.change(&stream, change(&["third-key"], &[])).await.effect, Effect::Unchanged);
    assert_eq!(backend.log(stream.id).await.last().unwrap().draft.by, Some(identity("cy")));
    assert_eq!(refused(&backend, &stream, change(&[], &[9])).await, Rejection::NoTarget);
    start(&backend, &stream, "EG_2", &[]).await;
    let recording = TargetsPlan {
        id: "EG_2".into(),
        job: JobId::generate(),
        add: vec![address("a")],
        remove: Vec::new(),
        by: None,
    };
    let recording = EgressChange::PlanTargets(recording);
    assert_eq!(refused(&backend, &stream, recording).await, Rejection::NoBroadcast);
}

async fn removed_target_is_added_again(backend: Backend) {
    let stream = begin(&backend, "revived").await;
    let both = vec![reported("first-key", ACTIVE), reported("other-key", ACTIVE)];
    report_targets(&backend, &stream, 1, both).await;
    let version = backend.store.get(stream.id).await.unwrap().unwrap().version;
    let planned = backend.change(&stream, change(&[], &[1])).await;
    assert_eq!(planned.stream.version, version, "its end is told when LiveKit reports it");
    let removed = vec![reported("first-key", FINISHED), reported("other-key", ACTIVE)];
    report_targets(&backend, &stream, 2, removed.clone()).await;
    assert_eq!(statuses(&backend, &stream).await[0], (1, RtmpStatus::Finished));
    assert_eq!(backend.change(&stream, change(&[], &[1])).await.effect, Effect::Unchanged, "again");
    backend.change(&stream, change(&["first-key"], &[])).await;
    assert_eq!(statuses(&backend, &stream).await[0], (1, RtmpStatus::Starting), "the same id");
    report_targets(&backend, &stream, 3, removed).await;
    assert_eq!(statuses(&backend, &stream).await[0], (1, RtmpStatus::Starting), "an entry of its own");
    let revived =
        vec![reported("first-key", FINISHED), reported("other-key", ACTIVE), reported("first-key", ACTIVE)];
    report_targets(&backend, &stream, 4, revived).await;
    assert_eq!(statuses(&backend, &stream).await, [(1, RtmpStatus::Active), (2, RtmpStatus::Active)]);
}

async fn last_output_is_not_removed(backend: Backend) {
    let stream = begin(&backend, "last").await;
    assert_eq!(refused(&backend, &stream, change(&[], &[1, 2])).await, Rejection::LastTarget);
    backend.change(&stream, change(&[], &[1])).await;
    assert_eq!(refused(&backend, &stream, change(&[], &[2])).await, Rejection::LastTarget, "1 goes already");
    backend.change(&stream, change(&["third-key"], &[2])).await;
}

async fn targets_are_bounded(backend: Backend) {
    let stream = begin(&backend, "bound").await;
    let keys: Vec<_> = (0..MAX_TARGETS - 2).map(|number| format!("key-{number}-of-many")).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    backend.change(&stream, change(&keys, &[])).await;
    assert_eq!(refused(&backend, &stream, change(&["one-more"], &[])).await, Rejection::TooManyTargets);
    assert_eq!(statuses(&backend, &stream).await.len(), MAX_TARGETS);
    assert_eq!(addresses(&backend, &stream).await.len(), MAX_TARGETS);
}

async fn targets_that_livekit_has_not_added_are_dropped(backend: Backend) {
    let stream = begin(&backend, "dropped").await;
    report_targets(&backend, &stream, 1, vec![reported("first-key", ACTIVE), reported("other-key", ACTIVE)])
        .await;
    backend.change(&stream, change(&["third-key"], &[])).await;
    let at = current(&backend, &stream, ID).await.targets[2].planned_at;
    let drop =
        |before| EgressChange::DropTargets { id: ID.into(), targets: vec![TargetId(3)], before }.into();
    assert_eq!(backend.change(&stream, drop(Some(at))).await.effect, Effect::Unchanged, "too recent");
    let later = Some(at.plus(Duration::from_millis(1)));
    assert_eq!(backend.change(&stream, drop(later)).await.effect, Effect::Changed);
    assert_eq!(statuses(&backend, &stream).await.len(), 2);
    assert_eq!(addresses(&backend, &stream).await.len(), 2);
    backend.change(&stream, change(&["third-key"], &[])).await;
    assert_eq!(statuses(&backend, &stream).await[2], (4, RtmpStatus::Starting), "ids are not used again");
}

async fn targets_end_with_the_broadcast(backend: Backend) {
    let stream = begin(&backend, "end").await;
    report_targets(&backend, &stream, 1, vec![reported("first-key", ACTIVE)]).await;
    let outputs = current(&backend, &stream, ID).await.outputs;
    let failed = EgressState { targets: Vec::new(), ..state(EgressStatus::Failed, 2) };
    backend.change(&stream, webhook(report(ID, outputs, failed))).await;
    assert_eq!(statuses(&backend, &stream).await, [(1, RtmpStatus::Finished), (2, RtmpStatus::Failed)]);
    assert!(addresses(&backend, &stream).await.is_empty(), "a secret is not kept longer than necessary");
    assert_eq!(refused(&backend, &stream, change(&["x"], &[])).await, Rejection::BroadcastEnded);
}

async fn rewritten_address_is_that_of_the_only_waiting_target(backend: Backend) {
    let stream = begin(&backend, "rewritten").await;
    let rewritten = vec![reported("first-key", ACTIVE), reported("rewritten-by-livekit", ACTIVE)];
    report_targets(&backend, &stream, 1, rewritten.clone()).await;
    assert_eq!(statuses(&backend, &stream).await, [(1, RtmpStatus::Active), (2, RtmpStatus::Active)]);
    let known = current(&backend, &stream, ID).await;
    assert_eq!(known.targets[1].fingerprint, rewritten[1].fingerprint);
    assert_eq!(addresses(&backend, &stream).await[1].1, address("other-key"));
}
