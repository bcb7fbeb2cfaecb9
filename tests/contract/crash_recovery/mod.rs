//! Recovery after a crash between any two steps of each use case: one sweep and one reconciliation restore consistency.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fixture;
mod use_cases;

use std::time::Duration;

use livestream_orchestrator::{
    access::Caller,
    domain::MetadataPatch,
    orchestrator::{LeaveRequest, Patch},
    rooms::Rooms,
    store::PreviousAttempt,
};

use self::{
    fixture::{Fixture, ROOM, new_ingress, new_recording},
    use_cases::USE_CASES,
};
use crate::{
    backend::identity,
    crashing_process::{CrashPoint, Process},
    service::Service,
};

#[tokio::test]
async fn crash_between_any_two_steps_is_recovered() {
    for use_case in USE_CASES {
        for after in [false, true] {
            for call in 0.. {
                let fixture = Fixture::new();
                let stream = fixture.prepare(use_case).await;
                let process = Process::crashing_at(CrashPoint { call, after });
                let orchestrator = fixture.crashing_instance(&process);
                let finished = process.run(fixture.run(&orchestrator, use_case, stream)).await;
                fixture.recover().await;
                fixture
                    .assert_consistent(&format!(
                        "{use_case:?}, crash {} call {call}",
                        if after { "after" } else { "before" }
                    ))
                    .await;
                if finished {
                    // The process finished before the crash point. Every use case has at least one call.
                    assert!(call >= 1, "{use_case:?}");
                    break;
                }
            }
        }
    }
}

/// The next attempt of a request has the same job.
#[tokio::test]
async fn creation_of_ingress_that_crashed_at_any_step_is_made_once_by_its_retry() {
    for (after, is_late) in [(false, false), (true, false), (false, true), (true, true)] {
        for call in 0.. {
            let fixture = Fixture::new();
            let stream = fixture.stream().await.reference();
            let process = Process::crashing_at(CrashPoint { call, after });
            let (crashing, caller) = (fixture.crashing_instance(&process), Caller::unrestricted());
            let create = async |service: &Service| {
                service.create_ingress(&caller, &stream, new_ingress("obs")).await.unwrap().ingress.id
            };
            let finished = process.run(async { drop(create(&crashing).await) }).await;
            if is_late {
                fixture.recover().await;
            }
            let id = create(&fixture.healthy_instance()).await;
            let context = format!("crash at call {call}, after: {after}, late: {is_late}");
            let known = fixture.store.ingresses(stream.id).await.unwrap().ingresses;
            assert_eq!(known.into_iter().map(|one| one.id).collect::<Vec<_>>(), [id], "{context}");
            fixture.recover().await;
            fixture.assert_consistent(&context).await;
            if finished {
                break;
            }
        }
    }
}

/// LiveKit's egress has no mark, so that the next attempt finds it by its outputs.
#[tokio::test]
async fn start_of_recording_that_crashed_at_any_step_is_made_once_by_its_retry() {
    for (after, is_late) in [(false, false), (true, false), (false, true), (true, true)] {
        for call in 0.. {
            let fixture = Fixture::new();
            let stream = fixture.stream().await.reference();
            let process = Process::crashing_at(CrashPoint { call, after });
            let (crashing, caller) = (fixture.crashing_instance(&process), Caller::unrestricted());
            let start = async |service: &Service| {
                service.start_egress(&caller, &stream, new_recording()).await.unwrap().egress.id
            };
            let finished = process.run(async { drop(start(&crashing).await) }).await;
            if is_late {
                fixture.recover().await;
            }
            let id = start(&fixture.healthy_instance()).await;
            let context = format!("crash at call {call}, after: {after}, late: {is_late}");
            let known = fixture.store.egresses(stream.id).await.unwrap().egresses;
            let known: Vec<_> = known.iter().map(|one| &one.id).collect();
            assert_eq!(known, [&id], "{context}");
            let running = fixture.livekit.running_egresses();
            assert!(running.iter().all(|running| *running == id), "{context}: {running:?}");
            fixture.recover().await;
            fixture.assert_consistent(&context).await;
            if finished {
                break;
            }
        }
    }
}

#[tokio::test]
async fn acknowledged_change_survives_crash() {
    let fixture = Fixture::new();
    let stream = fixture.stream().await;
    let patch =
        Patch { metadata: Some(MetadataPatch::parse(r#"{"title":"kept"}"#).unwrap()), ..Patch::default() };
    fixture.healthy_instance().patch(&Caller::unrestricted(), stream.clone(), patch).await.unwrap();
    fixture.recover().await;
    let kept = fixture.store.get(stream.id).await.unwrap().unwrap();
    assert_eq!(kept.metadata.as_text(), r#"{"title":"kept"}"#);
    fixture.assert_consistent("after a patch").await;
}

/// The first attempt crashes between LiveKit and the store. A repeated request must not remove a newer session.
#[tokio::test]
async fn repeated_leave_after_crash_keeps_newer_session() {
    let fixture = Fixture::new();
    let stream = fixture.stream().await;
    let since = fixture.livekit.now();
    fixture.livekit.advance(Duration::from_secs(1));
    fixture.livekit.remove_participant(&stream.room_name, &identity("ann")).await.unwrap();
    fixture.livekit.advance(Duration::from_secs(1));
    let leave = async || {
        let previous = Some(PreviousAttempt { since, changed_stream: None });
        let request = LeaveRequest { previous, ..LeaveRequest::of(identity("ann")) };
        fixture
            .healthy_instance()
            .leave(&Caller::unrestricted(), stream.clone(), request)
            .await
            .unwrap()
            .participant
            .unwrap()
    };
    fixture.livekit.connect(ROOM, "ann");
    fixture.deliver_webhooks().await;
    assert!(leave().await.is_active(), "the newer session stays");

    let stayed = PreviousAttempt { since: fixture.livekit.now(), changed_stream: None };
    let request = LeaveRequest { previous: Some(stayed), ..LeaveRequest::of(identity("ann")) };
    let left =
        fixture.healthy_instance().leave(&Caller::unrestricted(), stream.clone(), request).await.unwrap();
    assert!(!left.participant.unwrap().is_active(), "the session of the first request is removed");
}
