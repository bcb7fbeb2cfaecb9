//! Reconciliation of recordings and broadcasts with a fake LiveKit: lost webhooks, dead workers, stuck states, other
//! tools.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    access::Caller,
    domain::{Change, EgressChange, EgressId, EgressKind, EgressOutputs, EgressStatus, JobId, StreamRef},
    media::MediaError,
    store::{Guard, StreamStore},
};

use super::{
    in_livekit::{ROOM, begin, recorded, recording, start},
    lifecycle::{address, file},
};
use crate::instance::{Fixture, LISTING_GRACE};

/// Reconciles twice after everything that was recorded is older than the delay of listings.
async fn settle(fixture: &Fixture) -> u64 {
    fixture.livekit.take_webhooks();
    let mut repairs = 0;
    for _ in 0..2 {
        fixture.livekit.advance(LISTING_GRACE);
        repairs += fixture.reconcile().await;
    }
    repairs
}

async fn status(fixture: &Fixture, stream: &StreamRef, id: &EgressId) -> EgressStatus {
    recorded(fixture, stream, id).await.status
}

async fn active() -> (Fixture, StreamRef, EgressId) {
    let (fixture, stream) = begin().await;
    let id = start(&fixture, &stream, recording()).await.unwrap();
    fixture.livekit.report_egress(&id, EgressStatus::Active);
    fixture.deliver_webhooks().await;
    (fixture, stream, id)
}

#[tokio::test]
async fn lost_webhooks_are_repaired() {
    let (fixture, stream) = begin().await;
    let id = start(&fixture, &stream, recording()).await.unwrap();
    for reported in [EgressStatus::Active, EgressStatus::Ending, EgressStatus::Complete] {
        fixture.livekit.report_egress(&id, reported);
        assert!(settle(&fixture).await > 0, "{reported:?}");
        assert_eq!(status(&fixture, &stream, &id).await, reported);
        assert_eq!(settle(&fixture).await, 0, "nothing is left to repair");
    }
    let known = recorded(&fixture, &stream, &id).await;
    assert_eq!(known.files.len(), 1);
}

#[tokio::test]
async fn egress_of_a_dead_worker_fails() {
    let (fixture, stream, id) = active().await;
    assert_eq!(settle(&fixture).await, 0, "its recorder is in the room");
    fixture.livekit.kill_egress_worker(&id);
    fixture.deliver_webhooks().await;
    fixture.livekit.advance(LISTING_GRACE);
    let report = fixture.orchestrator.reconcile(Duration::ZERO).await.unwrap().unwrap();
    assert_eq!((report.repairs(), report.is_unfinished()), (0, true), "its end may be on its way");
    assert!(settle(&fixture).await > 0);
    let failed = recorded(&fixture, &stream, &id).await;
    assert_eq!(failed.status, EgressStatus::Failed);
    assert!(failed.error.unwrap().contains("recorder"));
    assert_eq!(settle(&fixture).await, 0, "LiveKit goes on calling it active");
    assert!(!fixture.store.get(stream.id).await.unwrap().unwrap().recording);
}

#[tokio::test]
async fn recorder_that_leaves_with_the_end_is_no_failure() {
    let (fixture, stream, id) = active().await;
    fixture.livekit.kill_egress_worker(&id);
    fixture.deliver_webhooks().await;
    fixture.livekit.advance(LISTING_GRACE);
    fixture.reconcile().await;
    // The worker was slow to report.
    fixture.livekit.report_egress(&id, EgressStatus::Complete);
    assert!(settle(&fixture).await > 0);
    assert_eq!(status(&fixture, &stream, &id).await, EgressStatus::Complete);
}

#[tokio::test]
async fn egress_that_does_not_start_fails_and_is_stopped() {
    let (fixture, stream) = begin().await;
    let id = start(&fixture, &stream, recording()).await.unwrap();
    assert_eq!(settle(&fixture).await, 0, "it may still start");
    fixture.livekit.advance(Duration::from_secs(60));
    fixture.livekit.fail_stops(true);
    assert!(settle(&fixture).await > 0);
    let failed = recorded(&fixture, &stream, &id).await;
    assert_eq!(failed.status, EgressStatus::Failed);
    assert!(failed.error.unwrap().contains("started"));
    // Its worker starts it after all.
    fixture.livekit.fail_stops(false);
    fixture.livekit.report_egress(&id, EgressStatus::Active);
    fixture.deliver_webhooks().await;
    assert!(settle(&fixture).await > 0);
    assert!(fixture.livekit.running_egresses().is_empty(), "it was stopped");
    assert_eq!(status(&fixture, &stream, &id).await, EgressStatus::Failed);
    fixture.livekit.report_egress(&id, EgressStatus::Complete);
    fixture.deliver_webhooks().await;
    assert_eq!(status(&fixture, &stream, &id).await, EgressStatus::Complete, "LiveKit's result is the truth");
}

#[tokio::test]
async fn egress_that_does_not_end_fails() {
    let (fixture, stream, id) = active().await;
    fixture.livekit.report_egress(&id, EgressStatus::Ending);
    fixture.deliver_webhooks().await;
    fixture.livekit.advance(Duration::from_secs(590));
    fixture.reconcile().await;
    assert_eq!(status(&fixture, &stream, &id).await, EgressStatus::Ending);
    assert!(settle(&fixture).await > 0);
    assert_eq!(status(&fixture, &stream, &id).await, EgressStatus::Failed);
}

#[tokio::test]
async fn egress_that_livekit_has_forgotten_fails() {
    let (fixture, stream, id) = active().await;
    fixture.livekit.forget_egress(&id);
    assert!(settle(&fixture).await > 0);
    assert_eq!(status(&fixture, &stream, &id).await, EgressStatus::Failed);
}

#[tokio::test]
async fn egress_of_another_tool_is_taken_over_by_its_kind() {
    let (fixture, stream) = begin().await;
    let rtmp = vec![address("one-key").fingerprint()];
    let broadcast = EgressOutputs { rtmp, ..EgressOutputs::default() };
    let foreign =
        [file("x.mp4"), broadcast].map(|outputs| fixture.livekit.start_foreign_egress(ROOM, outputs));
    fixture.livekit.start_foreign_egress("another room", file("y.mp4"));
    assert!(settle(&fixture).await > 0);
    let kinds = [EgressKind::Recording, EgressKind::Broadcast];
    for (id, kind) in foreign.iter().zip(kinds) {
        assert_eq!(recorded(&fixture, &stream, id).await.kind, kind);
    }
    assert_eq!(fixture.store.egresses(stream.id).await.unwrap().egresses.len(), 2);
    fixture.livekit.report_egress(&foreign[0], EgressStatus::Active);
    fixture.deliver_webhooks().await;
    assert_eq!(status(&fixture, &stream, &foreign[0]).await, EgressStatus::Active);
    let caller = Caller::unrestricted();
    let target = (EgressKind::Recording, &foreign[0]);
    let stopped = fixture.orchestrator.stop_egress(&caller, &stream, target, Guard::default()).await.unwrap();
    assert_eq!(stopped.egress.status, EgressStatus::Ending);
}

#[tokio::test]
async fn intent_of_an_instance_that_has_died_is_undone() {
    let (fixture, stream) = begin().await;
    let plan = EgressChange::Plan { job: JobId::generate(), outputs: file("x.mp4") };
    fixture.store.apply(&stream, plan.into(), Guard::default()).await.unwrap();
    fixture.livekit.start_foreign_egress(ROOM, file("x.mp4"));
    fixture.livekit.take_webhooks();
    for why in ["it may still be confirmed", "a repetition with the same key may take it over"] {
        fixture.reconcile().await;
        assert_eq!(fixture.livekit.running_egresses().len(), 1, "{why}");
        fixture.livekit.advance(LISTING_GRACE);
    }
    settle(&fixture).await;
    assert!(fixture.livekit.running_egresses().is_empty());
    assert!(fixture.store.egresses(stream.id).await.unwrap().plans.is_empty());
}

#[tokio::test]
async fn egress_that_starts_after_the_end_of_its_stream_is_stopped() {
    let (fixture, stream) = begin().await;
    let current = fixture.store.get(stream.id).await.unwrap().unwrap();
    let late = fixture.livekit.start_foreign_egress(ROOM, file("x.mp4"));
    let begin =
        Change::BeginStop { reason: livestream_orchestrator::domain::StopReason::Requested, room_sid: None };
    for change in [begin, Change::Close] {
        fixture.store.apply(&current.reference(), change, Guard::default()).await.unwrap();
    }
    fixture.livekit.lose_room(ROOM);
    assert_eq!(fixture.livekit.running_egresses(), [late]);
    settle(&fixture).await;
    assert!(fixture.livekit.running_egresses().is_empty());
}

#[tokio::test]
async fn presence_is_reconciled_while_egresses_cannot_be_listed() {
    for failure in [MediaError::Unsupported, MediaError::Unavailable("x".to_owned())] {
        let (fixture, stream, id) = active().await;
        fixture.livekit.fail_media(Some(failure));
        fixture.livekit.connect(ROOM, "ann");
        assert!(settle(&fixture).await > 0);
        let current = fixture.store.get(stream.id).await.unwrap().unwrap();
        assert_eq!(current.participant_count(), 1);
        assert_eq!(status(&fixture, &stream, &id).await, EgressStatus::Active, "no answer proves nothing");
    }
}
