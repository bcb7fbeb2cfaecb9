//! What LiveKit reports of recordings and broadcasts, in every store: webhooks that are lost, late, doubled and
//! permuted, and lists that show egresses of other tools.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::domain::{
    Change, EgressChange, EgressKind, EgressOutputs, EgressReport, EgressState, EgressStatus, EgressTarget,
    JobId, RtmpStatus, TargetStatus, change::Effect,
};
use proptest::{prelude::*, sample::subsequence};

use super::lifecycle::{address, current, file, report, start, state, told, webhook};
use crate::{
    backend::{Backend, RETENTION, on_every_backend},
    support::unique,
};

on_every_backend!(
    late_state_changes_nothing,
    list_shows_egresses_of_other_tools,
    list_does_not_show_what_is_planned_or_of_another_room,
);

fn listed(report: EgressReport) -> Change {
    EgressChange::Report { report, is_listed: true }.into()
}

async fn late_state_changes_nothing(backend: Backend) {
    let stream = backend.active("late").await;
    let outputs = start(&backend, &stream, "EG_1", &[]).await.outputs;
    let at = |status, seconds| webhook(report("EG_1", outputs.clone(), state(status, seconds)));
    assert_eq!(backend.change(&stream, at(EgressStatus::Aborted, 5)).await.effect, Effect::Changed);
    for late in [at(EgressStatus::Active, 90), at(EgressStatus::Starting, 0), at(EgressStatus::Failed, 4)] {
        assert_eq!(backend.change(&stream, late).await.effect, Effect::Unchanged);
    }
    assert_eq!(current(&backend, &stream, "EG_1").await.status, EgressStatus::Aborted);
    let unknown = webhook(report("EG_2", file("x.mp4"), state(EgressStatus::Active, 1)));
    assert_eq!(backend.change(&stream, unknown).await.effect, Effect::Unchanged);
}

async fn list_shows_egresses_of_other_tools(backend: Backend) {
    let stream = backend.active("others").await;
    let targets = vec![EgressTarget {
        fingerprint: address("one").fingerprint(),
        url: address("one").masked(),
        status: TargetStatus::Active,
        error: None,
    }];
    let active = EgressState { targets, ..state(EgressStatus::Active, 1) };
    let found = report("EG_1", EgressOutputs::default(), active);
    let shown = backend.change(&stream, listed(found.clone())).await;
    assert_eq!((shown.stream.recording, shown.stream.broadcasting), (false, true));
    assert_eq!(backend.change(&stream, listed(found)).await.effect, Effect::Unchanged);
    let known = current(&backend, &stream, "EG_1").await;
    assert_eq!((known.kind, known.job, known.targets.len()), (EgressKind::Broadcast, None, 1));
    assert_eq!(known.targets[0].status, RtmpStatus::Active);
    let recording = report("EG_2", file("x.mp4"), state(EgressStatus::Starting, 0));
    assert!(backend.change(&stream, listed(recording)).await.stream.recording);
    let ended = report("EG_3", file("y.mp4"), state(EgressStatus::Complete, 1));
    assert_eq!(backend.change(&stream, listed(ended)).await.effect, Effect::Unchanged);
}

async fn list_does_not_show_what_is_planned_or_of_another_room(backend: Backend) {
    let stream = backend.active("planned").await;
    let plan = EgressChange::Plan { job: JobId::generate(), outputs: file("a.mp4") };
    backend.change(&stream, plan.into()).await;
    let planned = report("EG_1", file("a.mp4"), state(EgressStatus::Active, 1));
    let other_room = EgressReport {
        room_sid: Some("RM_2".into()),
        ..report("EG_2", file("b.mp4"), state(EgressStatus::Active, 1))
    };
    for report in [planned, other_room] {
        assert_eq!(backend.change(&stream, listed(report)).await.effect, Effect::Unchanged);
    }
    assert!(told(&backend, &stream).await.is_empty());
}

/// States of one egress in LiveKit's order, some with the same time.
fn states() -> Vec<EgressState> {
    [
        (EgressStatus::Starting, 0),
        (EgressStatus::Starting, 1),
        (EgressStatus::Active, 2),
        (EgressStatus::Active, 3),
        (EgressStatus::Ending, 3),
        (EgressStatus::Ending, 9),
        (EgressStatus::Failed, 9),
        (EgressStatus::Complete, 11),
    ]
    .map(|(status, seconds)| state(status, seconds))
    .into()
}

async fn deliver(backend: &Backend, webhooks: &[EgressState]) {
    let stream = backend.active("permuted").await;
    let outputs = start(backend, &stream, "EG_1", &[]).await.outputs;
    for state in webhooks {
        backend.change(&stream, webhook(report("EG_1", outputs.clone(), state.clone()))).await;
    }
    let newest = webhooks.iter().max_by_key(|state| state.time).unwrap();
    let recorded = current(backend, &stream, "EG_1").await;
    assert_eq!((recorded.status, recorded.state_time), (newest.status, newest.time));
    let told = told(backend, &stream).await;
    let phases: Vec<_> = told.iter().map(|one| one.state_time).collect();
    assert!(phases.windows(2).all(|pair| pair[0] < pair[1]), "no state is told late: {phases:?}");
    let is_running = backend.store.get(stream.id).await.unwrap().unwrap().recording;
    assert_eq!(is_running, !newest.status.is_over());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn newest_state_wins_whatever_webhooks_are_lost_doubled_and_permuted(
        delivered in subsequence(states(), 1..=8).prop_shuffle(),
        again in subsequence(states(), 0..=8),
    ) {
        let webhooks: Vec<_> =
            delivered.iter().cloned().chain(again.into_iter().filter(|one| delivered.contains(one))).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            deliver(&Backend::memory(RETENTION), &webhooks).await;
            deliver(&Backend::redis(&unique("permuted"), RETENTION), &webhooks).await;
        });
    }
}
