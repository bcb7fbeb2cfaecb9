//! Intents and records of recordings and broadcasts, in every store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{
        Change, Egress, EgressChange, EgressFailure, EgressId, EgressKind, EgressOutputs, EgressReport,
        EgressSource, EgressSpec, EgressState, EgressStateTime, EgressStatus, JobId, MediaPath, Rejection,
        RtmpAddress, StartedEgress, StreamRef, Timestamp,
        change::Effect,
        egress_record::{MAX_EGRESS_PLANS, MAX_KEPT_EGRESSES, MAX_RUNNING_EGRESSES},
    },
    store::StoreError,
};

use crate::backend::{Backend, identity, on_every_backend};

on_every_backend!(
    recording_is_told_from_its_start_to_its_end,
    intent_is_renewed_by_its_own_job_only,
    withdrawn_intent_is_not_confirmed,
    running_egresses_and_intents_are_bounded,
    oldest_ended_records_make_room,
    results_after_the_end_of_the_stream_are_recorded_without_an_event,
    failure_without_a_report_ends_the_record,
    recorder_must_be_missing_for_some_time,
);

pub fn address(key: &str) -> RtmpAddress {
    RtmpAddress::parse(format!("rtmp://a.example/live/{key}")).unwrap()
}

/// Outputs of a recording to a file of this name.
pub fn file(name: &str) -> EgressOutputs {
    EgressOutputs { file: Some(MediaPath::reported(name.to_owned())), ..EgressOutputs::default() }
}

pub fn state(status: EgressStatus, seconds: i64) -> EgressState {
    EgressState {
        status,
        error: None,
        started_at: None,
        ended_at: None,
        files: Vec::new(),
        hls: None,
        targets: Vec::new(),
        time: EgressStateTime::of(status, seconds * 1_000_000_000),
    }
}

pub fn report(id: &str, outputs: EgressOutputs, state: EgressState) -> EgressReport {
    let kind = EgressKind::of(&outputs);
    EgressReport { id: id.into(), room_sid: Some("RM_1".into()), kind, outputs, state }
}

pub fn webhook(report: EgressReport) -> Change {
    EgressChange::Report { report, is_listed: false }.into()
}

fn plan(job: JobId, outputs: &EgressOutputs) -> Change {
    EgressChange::Plan { job, outputs: outputs.clone() }.into()
}

fn confirm(job: JobId, id: &str, outputs: &EgressOutputs, targets: Vec<RtmpAddress>) -> Change {
    let report = report(id, outputs.clone(), state(EgressStatus::Starting, 0));
    let spec = EgressSpec { source: Some(EgressSource::Room(None)), ..EgressSpec::default() };
    EgressChange::Confirm(StartedEgress { job, report, spec, targets, by: Some(identity("cy")) }).into()
}

/// Plans and confirms an egress with the outputs of these targets, or a recording without any.
pub async fn start(backend: &Backend, stream: &StreamRef, id: &str, targets: &[RtmpAddress]) -> Egress {
    let mut rtmp: Vec<_> = targets.iter().map(RtmpAddress::fingerprint).collect();
    rtmp.sort();
    let outputs = if targets.is_empty() {
        file(&format!("{id}.mp4"))
    } else {
        EgressOutputs { rtmp, ..EgressOutputs::default() }
    };
    let job = JobId::generate();
    assert_eq!(backend.change(stream, plan(job, &outputs)).await.effect, Effect::Changed);
    let confirm = confirm(job, id, &outputs, targets.to_vec());
    assert_eq!(backend.change(stream, confirm).await.effect, Effect::Changed);
    current(backend, stream, id).await
}

pub async fn current(backend: &Backend, stream: &StreamRef, id: &str) -> Egress {
    backend.store.egress(stream.id, &id.into()).await.unwrap().unwrap()
}

/// The events about recordings and broadcasts.
pub async fn told(backend: &Backend, stream: &StreamRef) -> Vec<Egress> {
    let log = backend.log(stream.id).await;
    log.iter().filter_map(|event| event.draft.egress.as_deref().cloned()).collect()
}

pub async fn refused(backend: &Backend, stream: &StreamRef, change: impl Into<Change>) -> Rejection {
    match backend.apply(stream, change.into()).await {
        Err(StoreError::Rejected(rejection)) => rejection,
        other => panic!("{other:?}"),
    }
}

pub async fn fail(
    backend: &Backend,
    stream: &StreamRef,
    id: &str,
    cause: EgressFailure,
    before: Timestamp,
) -> Effect {
    let change = EgressChange::Fail { id: id.into(), cause, before };
    backend.change(stream, change.into()).await.effect
}

async fn recording_is_told_from_its_start_to_its_end(backend: Backend) {
    let stream = backend.active("told").await;
    let version = backend.store.get(stream.id).await.unwrap().unwrap().version;
    let (job, outputs) = (JobId::generate(), file("a.mp4"));
    let planned = backend.change(&stream, plan(job, &outputs)).await;
    assert_eq!((planned.stream.version, planned.stream.recording), (version, false), "no event");
    let confirmed = backend.change(&stream, confirm(job, "EG_1", &outputs, Vec::new())).await;
    assert_eq!((confirmed.stream.version, confirmed.stream.recording), (version + 1, true));
    assert!(!confirmed.stream.broadcasting);
    assert!(backend.store.egresses(stream.id).await.unwrap().plans.is_empty());
    let again = backend.change(&stream, confirm(job, "EG_1", &outputs, Vec::new())).await;
    assert_eq!(again.effect, Effect::Unchanged);
    assert_eq!(backend.change(&stream, plan(job, &outputs)).await.effect, Effect::Unchanged);

    for (status, is_running) in
        [(EgressStatus::Active, true), (EgressStatus::Ending, true), (EgressStatus::Complete, false)]
    {
        let reported = report("EG_1", outputs.clone(), state(status, 10));
        let changed = backend.change(&stream, webhook(reported.clone())).await;
        assert_eq!((changed.effect, changed.stream.recording), (Effect::Changed, is_running), "{status:?}");
        assert_eq!(backend.change(&stream, webhook(reported)).await.effect, Effect::Unchanged, "doubled");
    }
    let told = told(&backend, &stream).await;
    let statuses: Vec<_> = told.iter().map(|one| one.status).collect();
    let expected =
        [EgressStatus::Starting, EgressStatus::Active, EgressStatus::Ending, EgressStatus::Complete];
    assert_eq!(statuses, expected);
    assert_eq!(told.last(), Some(&current(&backend, &stream, "EG_1").await));
    let by = backend.log(stream.id).await.iter().rev().nth(3).unwrap().draft.by.clone();
    assert_eq!(by, Some(identity("cy")));
}

async fn intent_is_renewed_by_its_own_job_only(backend: Backend) {
    let stream = backend.active("intents").await;
    let (job, other, outputs) = (JobId::generate(), JobId::generate(), file("a.mp4"));
    assert_eq!(backend.change(&stream, plan(job, &outputs)).await.effect, Effect::Changed);
    assert_eq!(backend.change(&stream, plan(other, &outputs)).await.effect, Effect::Changed);
    let abandon: Change = EgressChange::AbandonPlan { job }.into();
    assert_eq!(backend.change(&stream, abandon.clone()).await.effect, Effect::Changed);
    assert_eq!(backend.change(&stream, abandon).await.effect, Effect::Unchanged);
    let plans = async || {
        let mut plans = backend.store.egresses(stream.id).await.unwrap().plans;
        plans.sort_by_key(|plan| plan.job);
        plans
    };
    assert_eq!(plans().await.iter().map(|plan| plan.is_abandoned).collect::<Vec<_>>(), [true, false]);
    assert_eq!(backend.change(&stream, plan(job, &outputs)).await.effect, Effect::Unchanged);
    assert!(plans().await.iter().all(|plan| !plan.is_abandoned), "the next attempt waits for it again");
    let at = plans().await[0].planned_at;
    for (before, effect) in [(at, Effect::Unchanged), (at.plus(Duration::from_millis(1)), Effect::Changed)] {
        let drop = EgressChange::DropPlan { job, before: Some(before) };
        assert_eq!(backend.change(&stream, drop.into()).await.effect, effect);
    }
    assert_eq!(plans().await.len(), 1);
}

async fn withdrawn_intent_is_not_confirmed(backend: Backend) {
    let stream = backend.active("withdrawn").await;
    let (job, outputs) = (JobId::generate(), file("a.mp4"));
    backend.change(&stream, plan(job, &outputs)).await;
    backend.change(&stream, EgressChange::DropPlan { job, before: None }.into()).await;
    let late = confirm(job, "EG_1", &outputs, Vec::new());
    assert_eq!(refused(&backend, &stream, late).await, Rejection::NoEgressPlan);
    assert!(told(&backend, &stream).await.is_empty());
}

async fn running_egresses_and_intents_are_bounded(backend: Backend) {
    let stream = backend.active("bound").await;
    for number in 0..MAX_RUNNING_EGRESSES - 1 {
        start(&backend, &stream, &format!("EG_{number}"), &[]).await;
    }
    let (job, outputs) = (JobId::generate(), file("last.mp4"));
    backend.change(&stream, plan(job, &outputs)).await;
    let more = || plan(JobId::generate(), &file("more.mp4"));
    assert_eq!(refused(&backend, &stream, more()).await, Rejection::TooManyEgresses);
    assert_eq!(backend.change(&stream, plan(job, &outputs)).await.effect, Effect::Unchanged, "its own");
    // An abandoned intent takes no place, up to a bound.
    let mut abandoned = job;
    for _ in 0..MAX_EGRESS_PLANS {
        backend.change(&stream, EgressChange::AbandonPlan { job: abandoned }.into()).await;
        abandoned = JobId::generate();
        if backend.apply(&stream, plan(abandoned, &outputs)).await.is_err() {
            break;
        }
    }
    assert_eq!(backend.store.egresses(stream.id).await.unwrap().plans.len(), MAX_EGRESS_PLANS);
    assert_eq!(refused(&backend, &stream, more()).await, Rejection::TooManyEgresses);
}

async fn oldest_ended_records_make_room(backend: Backend) {
    let stream = backend.active("kept").await;
    let first = start(&backend, &stream, "EG_running", &[]).await;
    for number in 0..MAX_KEPT_EGRESSES + 3 {
        let id = format!("EG_{number:03}");
        let outputs = start(&backend, &stream, &id, &[]).await.outputs;
        backend.change(&stream, webhook(report(&id, outputs, state(EgressStatus::Complete, 1)))).await;
        crate::lua_scripts::next_millisecond();
    }
    let mut known = backend.store.egresses(stream.id).await.unwrap().egresses;
    known.sort_by_cached_key(Egress::list_key);
    assert_eq!(known.len(), MAX_KEPT_EGRESSES);
    assert_eq!(known[0].id, first.id, "one that runs stays");
    assert_eq!(known[1].id, EgressId::from("EG_004"));
}

async fn results_after_the_end_of_the_stream_are_recorded_without_an_event(backend: Backend) {
    let stream = backend.active("end").await;
    let outputs = start(&backend, &stream, "EG_1", &[]).await.outputs;
    backend.change(&stream, plan(JobId::generate(), &file("b.mp4"))).await;
    let stopped = backend.stop(&stream).await;
    assert_eq!((stopped.recording, stopped.broadcasting), (false, false));
    assert!(backend.store.egresses(stream.id).await.unwrap().plans.is_empty());
    let log = backend.log(stream.id).await.len();
    let complete = webhook(report("EG_1", outputs, state(EgressStatus::Complete, 5)));
    assert_eq!(backend.change(&stream, complete.clone()).await.effect, Effect::Changed);
    assert_eq!(backend.change(&stream, complete).await.effect, Effect::Unchanged);
    assert_eq!(current(&backend, &stream, "EG_1").await.status, EgressStatus::Complete);
    let after = backend.store.get(stream.id).await.unwrap().unwrap();
    assert_eq!(after, stopped, "the stream stays as it was");
    assert_eq!(backend.log(stream.id).await.len(), log);
    let late = refused(&backend, &stream, plan(JobId::generate(), &file("c.mp4"))).await;
    assert!(matches!(late, Rejection::NotActive { .. }));
}

async fn failure_without_a_report_ends_the_record(backend: Backend) {
    let stream = backend.active("failure").await;
    let started = start(&backend, &stream, "EG_1", &[]).await;
    let later = started.status_since.plus(Duration::from_millis(1));
    for cause in [EgressFailure::NotEnded, EgressFailure::RecorderGone] {
        assert_eq!(fail(&backend, &stream, "EG_1", cause, later).await, Effect::Unchanged, "{cause:?}");
    }
    let early = fail(&backend, &stream, "EG_1", EgressFailure::NotStarted, started.status_since).await;
    assert_eq!(early, Effect::Unchanged);
    assert_eq!(fail(&backend, &stream, "EG_1", EgressFailure::NotStarted, later).await, Effect::Changed);
    let failed = current(&backend, &stream, "EG_1").await;
    assert_eq!((failed.status, failed.error.is_some()), (EgressStatus::Failed, true));
    assert!(!backend.store.get(stream.id).await.unwrap().unwrap().recording);
    // A late state of the start changes nothing, and LiveKit's result is the truth.
    let late = webhook(report("EG_1", started.outputs.clone(), state(EgressStatus::Active, 50)));
    assert_eq!(backend.change(&stream, late).await.effect, Effect::Unchanged);
    let complete = webhook(report("EG_1", started.outputs, state(EgressStatus::Complete, 60)));
    assert_eq!(backend.change(&stream, complete).await.effect, Effect::Changed);
    assert_eq!(current(&backend, &stream, "EG_1").await.error, None);
}

async fn recorder_must_be_missing_for_some_time(backend: Backend) {
    let stream = backend.active("recorder").await;
    let outputs = start(&backend, &stream, "EG_1", &[]).await.outputs;
    backend.change(&stream, webhook(report("EG_1", outputs, state(EgressStatus::Active, 1)))).await;
    let version = backend.store.get(stream.id).await.unwrap().unwrap().version;
    let gone = async |before| fail(&backend, &stream, "EG_1", EgressFailure::RecorderGone, before).await;
    let far = Timestamp::from_millis(i64::MAX / 2_000_000);
    assert_eq!(gone(far).await, Effect::Unchanged, "the first time");
    let since = current(&backend, &stream, "EG_1").await.recorder_missing_since.unwrap();
    assert_eq!(gone(since).await, Effect::Unchanged);
    let found: Change = EgressChange::FindRecorder { id: "EG_1".into() }.into();
    assert_eq!(backend.change(&stream, found.clone()).await.effect, Effect::Changed);
    assert_eq!(backend.change(&stream, found).await.effect, Effect::Unchanged);
    assert_eq!(gone(far).await, Effect::Unchanged, "it was there in between");
    assert_eq!(backend.store.get(stream.id).await.unwrap().unwrap().version, version, "no event");
    assert_eq!(gone(far).await, Effect::Changed);
    assert_eq!(current(&backend, &stream, "EG_1").await.status, EgressStatus::Failed);
}
