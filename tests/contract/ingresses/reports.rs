//! What LiveKit reports of ingresses, in every store: webhooks that are late, doubled and permuted, and lists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::domain::{
    Change, Ingress, IngressReport, IngressState, IngressStatus, StreamRef, Timestamp, change::Effect,
};
use proptest::{prelude::*, sample::subsequence};

use super::lifecycle::{create, report, told};
use crate::{
    backend::{Backend, RETENTION, on_every_backend},
    fake_livekit::reported_state,
    support::unique,
};

on_every_backend!(
    later_state_replaces_an_earlier_one,
    list_corrects_what_was_recorded_before_it,
    list_shows_ingresses_of_other_tools,
    deleted_ingress_does_not_come_back,
);

fn with_state(state: IngressState) -> IngressReport {
    IngressReport { state, ..report("IN_1", "obs") }
}

fn webhook(state: IngressState) -> Change {
    Change::ReportIngress { report: with_state(state), before: None }
}

async fn current(backend: &Backend, stream: &StreamRef) -> Ingress {
    backend.store.ingress(stream.id, &"IN_1".into()).await.unwrap().unwrap()
}

async fn later_state_replaces_an_earlier_one(backend: Backend) {
    let stream = backend.active("later").await;
    create(&backend, &stream, "IN_1", "obs").await;
    let publishing = webhook(reported_state(IngressStatus::Publishing, 10, 11));
    assert_eq!(backend.change(&stream, publishing.clone()).await.effect, Effect::Changed);
    let ended = webhook(reported_state(IngressStatus::Inactive, 10, 20));
    assert_eq!(backend.change(&stream, ended).await.effect, Effect::Changed);
    assert_eq!(backend.change(&stream, publishing).await.effect, Effect::Unchanged, "late and doubled");
    let unknown = Change::ReportIngress { report: report("IN_2", "eve"), before: None };
    assert_eq!(backend.change(&stream, unknown).await.effect, Effect::Unchanged);
    let states: Vec<_> = told(&backend, &stream).await.into_iter().map(|one| one.status).collect();
    assert_eq!(states, [IngressStatus::Inactive, IngressStatus::Publishing, IngressStatus::Inactive]);
}

async fn list_corrects_what_was_recorded_before_it(backend: Backend) {
    let stream = backend.active("lists").await;
    create(&backend, &stream, "IN_1", "obs").await;
    let publishing = reported_state(IngressStatus::Publishing, 10, 11);
    backend.change(&stream, webhook(publishing)).await;
    let recorded = current(&backend, &stream).await;
    let inactive = with_state(reported_state(IngressStatus::Inactive, 10, 11));
    let list = |before: Timestamp| Change::ReportIngress { report: inactive.clone(), before: Some(before) };
    assert_eq!(backend.change(&stream, list(recorded.changed_at)).await.effect, Effect::Unchanged);
    let later = recorded.changed_at.plus(Duration::from_millis(1));
    assert_eq!(backend.change(&stream, list(later)).await.effect, Effect::Changed);
    assert_eq!(current(&backend, &stream).await.status, IngressStatus::Inactive);

    let recorded = current(&backend, &stream).await;
    let missing = |before| Change::RemoveIngress { id: "IN_1".into(), before: Some(before), by: None };
    assert_eq!(backend.change(&stream, missing(recorded.changed_at)).await.effect, Effect::Unchanged);
    let later = recorded.changed_at.plus(Duration::from_millis(1));
    assert_eq!(backend.change(&stream, missing(later)).await.effect, Effect::Changed);
}

async fn list_shows_ingresses_of_other_tools(backend: Backend) {
    let stream = backend.active("others").await;
    let now = backend.store.time_of(stream.id).await.unwrap();
    let found = Change::ReportIngress { report: report("IN_1", "obs"), before: Some(now) };
    assert_eq!(backend.change(&stream, found.clone()).await.stream.ingresses, 1);
    assert_eq!(backend.change(&stream, found).await.effect, Effect::Unchanged);
    assert_eq!(current(&backend, &stream).await.job, None);
}

async fn deleted_ingress_does_not_come_back(backend: Backend) {
    let stream = backend.active("deleted").await;
    create(&backend, &stream, "IN_1", "obs").await;
    let before_deletion = backend.store.time_of(stream.id).await.unwrap();
    backend.change(&stream, Change::RemoveIngress { id: "IN_1".into(), before: None, by: None }).await;
    let list = |before| Change::ReportIngress { report: report("IN_1", "obs"), before: Some(before) };
    assert_eq!(backend.change(&stream, list(before_deletion)).await.effect, Effect::Unchanged, "older list");
    // LiveKit still has the ingress, although its deletion was recorded.
    let later = backend.store.time_of(stream.id).await.unwrap().plus(Duration::from_secs(1));
    assert_eq!(backend.change(&stream, list(later)).await.effect, Effect::Changed);
}

/// The states of three sessions in LiveKit's order.
fn states() -> Vec<IngressState> {
    let mut all = Vec::new();
    for session in [10, 20, 30] {
        all.push(reported_state(IngressStatus::Buffering, session, session));
        all.push(reported_state(IngressStatus::Publishing, session, session + 1));
        all.push(reported_state(IngressStatus::Inactive, session, session + 5));
    }
    all
}

async fn deliver(backend: &Backend, webhooks: &[IngressState]) {
    let stream = backend.active("permuted").await;
    create(backend, &stream, "IN_1", "obs").await;
    for state in webhooks {
        backend.change(&stream, webhook(state.clone())).await;
    }
    let newest = webhooks.iter().max_by_key(|state| state.time).unwrap();
    let recorded = current(backend, &stream).await;
    assert_eq!((recorded.status, recorded.state_time), (newest.status, newest.time));
    let told = told(backend, &stream).await;
    assert!(told.windows(2).all(|pair| pair[0].state_time < pair[1].state_time), "no state is told late");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn newest_state_wins_whatever_webhooks_are_lost_doubled_and_permuted(
        delivered in subsequence(states(), 1..=9).prop_shuffle(),
        again in subsequence(states(), 0..=9),
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
