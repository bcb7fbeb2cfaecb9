//! Intents and records of ingresses, in every store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{
        Change, EventKind, Ingress, IngressKind, IngressReport, IngressState, IngressStatus, JobId,
        MaskedUrl, Rejection, StreamRef, change::Effect, ingress::MAX_INGRESSES,
    },
    store::StoreError,
};

use crate::backend::{Backend, identity, on_every_backend};

on_every_backend!(
    ingress_is_told_when_it_is_confirmed_and_when_it_is_removed,
    intent_is_renewed_by_its_own_job_only,
    identity_has_one_ingress,
    blocked_identity_gets_no_ingress,
    withdrawn_intent_is_not_confirmed,
    ingresses_are_bounded,
    ingresses_end_with_the_stream,
);

pub fn report(id: &str, who: &str) -> IngressReport {
    IngressReport {
        id: id.into(),
        mark: None,
        kind: IngressKind::Rtmp,
        identity: identity(who),
        name: None,
        url: Some(MaskedUrl::public("rtmp://a.example/live".to_owned())),
        state: IngressState::default(),
    }
}

fn plan(job: JobId, who: &str) -> Change {
    Change::PlanIngress { job, identity: identity(who) }
}

fn confirm(job: JobId, id: &str, who: &str) -> Change {
    Change::ConfirmIngress { job, report: report(id, who), by: Some(identity("cy")) }
}

/// Plans and confirms an ingress.
pub async fn create(backend: &Backend, stream: &StreamRef, id: &str, who: &str) -> Ingress {
    let job = JobId::generate();
    assert_eq!(backend.change(stream, plan(job, who)).await.effect, Effect::Changed);
    assert_eq!(backend.change(stream, confirm(job, id, who)).await.effect, Effect::Changed);
    backend.store.ingress(stream.id, &id.into()).await.unwrap().unwrap()
}

/// The events about ingresses.
pub async fn told(backend: &Backend, stream: &StreamRef) -> Vec<Ingress> {
    let log = backend.log(stream.id).await;
    let about = log.iter().filter(|event| event.draft.kind == EventKind::IngressUpdated);
    about.map(|event| *event.draft.ingress.clone().unwrap()).collect()
}

async fn refused(backend: &Backend, stream: &StreamRef, change: Change) -> Rejection {
    match backend.apply(stream, change).await {
        Err(StoreError::Rejected(rejection)) => rejection,
        other => panic!("{other:?}"),
    }
}

async fn ingress_is_told_when_it_is_confirmed_and_when_it_is_removed(backend: Backend) {
    let stream = backend.active("told").await;
    let version = backend.store.get(stream.id).await.unwrap().unwrap().version;
    let job = JobId::generate();
    let planned = backend.change(&stream, plan(job, "obs")).await;
    assert_eq!((planned.effect, planned.stream.version), (Effect::Changed, version), "no event");
    assert_eq!(planned.stream.ingresses, 0);

    let confirmed = backend.change(&stream, confirm(job, "IN_1", "obs")).await;
    assert_eq!((confirmed.stream.version, confirmed.stream.ingresses), (version + 1, 1));
    let all = backend.store.ingresses(stream.id).await.unwrap();
    assert!(all.plans.is_empty());
    let known = backend.store.ingress(stream.id, &"IN_1".into()).await.unwrap().unwrap();
    assert_eq!(all.ingresses, std::slice::from_ref(&known));
    assert_eq!((known.job, known.status), (Some(job), IngressStatus::Inactive));
    assert_eq!(backend.change(&stream, confirm(job, "IN_1", "obs")).await.effect, Effect::Unchanged);
    assert_eq!(backend.change(&stream, plan(job, "obs")).await.effect, Effect::Unchanged);

    let remove = Change::RemoveIngress { id: "IN_1".into(), before: None, by: Some(identity("di")) };
    assert_eq!(backend.change(&stream, remove.clone()).await.stream.ingresses, 0);
    assert_eq!(backend.change(&stream, remove).await.effect, Effect::Unchanged);
    assert_eq!(backend.store.ingress(stream.id, &"IN_1".into()).await.unwrap(), None);
    let told = told(&backend, &stream).await;
    assert_eq!(told[0], known);
    assert_eq!(told[1], Ingress { deleted: true, changed_at: told[1].changed_at, ..known });
    let log = backend.log(stream.id).await;
    let by: Vec<_> = log.iter().rev().take(2).map(|event| event.draft.by.clone().unwrap()).collect();
    assert_eq!(by, [identity("di"), identity("cy")]);
}

async fn intent_is_renewed_by_its_own_job_only(backend: Backend) {
    let stream = backend.active("intents").await;
    let job = JobId::generate();
    backend.change(&stream, plan(job, "obs")).await;
    assert_eq!(backend.change(&stream, plan(job, "obs")).await.effect, Effect::Unchanged);
    let other = refused(&backend, &stream, plan(JobId::generate(), "obs")).await;
    assert_eq!(other, Rejection::IngressExists);
    let plans = backend.store.ingresses(stream.id).await.unwrap().plans;
    assert_eq!((plans.len(), plans[0].job), (1, job));
    let recent = Change::DropIngressPlan { job, before: Some(plans[0].planned_at) };
    assert_eq!(backend.change(&stream, recent).await.effect, Effect::Unchanged);
    let due =
        Change::DropIngressPlan { job, before: Some(plans[0].planned_at.plus(Duration::from_millis(1))) };
    assert_eq!(backend.change(&stream, due).await.effect, Effect::Changed);
    assert!(backend.store.ingresses(stream.id).await.unwrap().plans.is_empty());
}

async fn identity_has_one_ingress(backend: Backend) {
    let stream = backend.active("identity").await;
    create(&backend, &stream, "IN_1", "obs").await;
    let other = refused(&backend, &stream, plan(JobId::generate(), "obs")).await;
    assert_eq!(other, Rejection::IngressExists);
    backend.change(&stream, Change::RemoveIngress { id: "IN_1".into(), before: None, by: None }).await;
    create(&backend, &stream, "IN_2", "obs").await;
}

async fn blocked_identity_gets_no_ingress(backend: Backend) {
    let stream = backend.active("blocked").await;
    let job = JobId::generate();
    backend.change(&stream, plan(job, "obs")).await;
    let block = Change::Block { identity: identity("obs"), reason: None, expires_in: None, by: None };
    backend.change(&stream, block).await;
    assert_eq!(refused(&backend, &stream, confirm(job, "IN_1", "obs")).await, Rejection::Blocked);
    assert_eq!(refused(&backend, &stream, plan(JobId::generate(), "obs")).await, Rejection::Blocked);
}

async fn withdrawn_intent_is_not_confirmed(backend: Backend) {
    let stream = backend.active("withdrawn").await;
    let job = JobId::generate();
    backend.change(&stream, plan(job, "obs")).await;
    backend.change(&stream, Change::DropIngressPlan { job, before: None }).await;
    assert_eq!(refused(&backend, &stream, confirm(job, "IN_1", "obs")).await, Rejection::NoIngressPlan);
    assert!(told(&backend, &stream).await.is_empty());
}

async fn ingresses_are_bounded(backend: Backend) {
    let stream = backend.active("bound").await;
    for number in 0..MAX_INGRESSES - 1 {
        create(&backend, &stream, &format!("IN_{number}"), &format!("p-{number}")).await;
    }
    let job = JobId::generate();
    backend.change(&stream, plan(job, "last")).await;
    assert_eq!(
        refused(&backend, &stream, plan(JobId::generate(), "more")).await,
        Rejection::TooManyIngresses
    );
    assert_eq!(backend.change(&stream, plan(job, "last")).await.effect, Effect::Unchanged, "its own intent");
    backend.change(&stream, confirm(job, "IN_last", "last")).await;
    assert_eq!(backend.stop(&stream).await.ingresses, 0, "the end of all is told in one change");
    assert_eq!(told(&backend, &stream).await.len(), 2 * MAX_INGRESSES);
}

async fn ingresses_end_with_the_stream(backend: Backend) {
    let stream = backend.active("end").await;
    create(&backend, &stream, "IN_1", "obs").await;
    backend.change(&stream, plan(JobId::generate(), "second")).await;
    let stopped = backend.stop(&stream).await;
    assert_eq!(stopped.ingresses, 0);
    let all = backend.store.ingresses(stream.id).await.unwrap();
    assert!(all.ingresses.is_empty() && all.plans.is_empty());
    let last = told(&backend, &stream).await.pop().unwrap();
    assert!(last.deleted);
    assert!(backend.log(stream.id).await.last().unwrap().is_last());
    let late = refused(&backend, &stream, confirm(JobId::generate(), "IN_2", "second")).await;
    assert!(matches!(late, Rejection::NotActive { .. }));
    let report = Change::ReportIngress { report: report("IN_1", "obs"), before: None };
    assert_eq!(backend.change(&stream, report).await.effect, Effect::Unchanged);
}
