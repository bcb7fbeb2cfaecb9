//! Reconciliation of ingresses with a fake LiveKit: lost webhooks, dead workers, abandoned creations, other tools.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::{
    access::Caller,
    domain::{Change, Ingress, IngressId, IngressKind, IngressStatus, JobId, JobMark, StreamRef},
    media::{MediaError, MediaJobs},
    orchestrator::IngressRequest,
    store::{Guard, StreamStore},
};

use super::in_livekit::{ROOM, create, request};
use crate::{
    backend::identity,
    instance::{Fixture, LISTING_GRACE},
};

async fn start() -> (Fixture, StreamRef, IngressId) {
    let fixture = Fixture::new();
    let stream = fixture.create(ROOM).await.reference();
    let id = create(&fixture, &stream, request("obs")).await.unwrap();
    (fixture, stream, id)
}

/// Reconciles after everything that was recorded is older than the delay of listings.
async fn settle(fixture: &Fixture) -> u64 {
    fixture.livekit.take_webhooks();
    fixture.livekit.advance(LISTING_GRACE);
    let repairs = fixture.reconcile().await;
    fixture.livekit.advance(LISTING_GRACE);
    repairs + fixture.reconcile().await
}

async fn recorded(fixture: &Fixture, stream: &StreamRef, id: &IngressId) -> Option<Ingress> {
    fixture.store.ingress(stream.id, id).await.unwrap()
}

async fn status(fixture: &Fixture, stream: &StreamRef, id: &IngressId) -> IngressStatus {
    recorded(fixture, stream, id).await.unwrap().status
}

#[tokio::test]
async fn lost_webhooks_are_repaired() {
    let (fixture, stream, id) = start().await;
    fixture.livekit.push(&id);
    assert!(settle(&fixture).await > 0);
    assert_eq!(status(&fixture, &stream, &id).await, IngressStatus::Publishing);
    fixture.livekit.stop_pushing(&id);
    assert!(settle(&fixture).await > 0);
    assert_eq!(status(&fixture, &stream, &id).await, IngressStatus::Inactive);
    assert_eq!(settle(&fixture).await, 0, "nothing is left to repair");
}

#[tokio::test]
async fn ingress_of_a_dead_worker_is_not_publishing() {
    for (kind, ended) in
        [(IngressKind::Rtmp, IngressStatus::Inactive), (IngressKind::Url, IngressStatus::Error)]
    {
        let fixture = Fixture::new();
        let stream = fixture.create(ROOM).await.reference();
        let source = (kind == IngressKind::Url).then(|| "https://a.example/one.m3u8".into());
        let request = IngressRequest { kind, source, ..request("obs") };
        let caller = Caller::unrestricted();
        let created = fixture.orchestrator.create_ingress(&caller, &stream, request).await.unwrap();
        let id = created.ingress.id;
        fixture.livekit.push(&id);
        fixture.deliver_webhooks().await;
        assert_eq!(settle(&fixture).await, 0, "its participant is there");
        fixture.livekit.kill_worker(&id);
        fixture.deliver_webhooks().await;
        assert!(settle(&fixture).await > 0);
        let known = recorded(&fixture, &stream, &id).await.unwrap();
        assert_eq!((known.status, known.error.is_some()), (ended, kind == IngressKind::Url));
        assert_eq!(settle(&fixture).await, 0, "LiveKit goes on calling it publishing");
        fixture.livekit.push(&id);
        fixture.deliver_webhooks().await;
        assert_eq!(status(&fixture, &stream, &id).await, IngressStatus::Publishing);
        assert_eq!(settle(&fixture).await, 0);
    }
}

#[tokio::test]
async fn ingress_that_livekit_lost_is_deleted() {
    let (fixture, stream, id) = start().await;
    fixture.livekit.delete_ingress(&id).await.unwrap();
    assert!(settle(&fixture).await > 0);
    assert_eq!(recorded(&fixture, &stream, &id).await, None);
}

#[tokio::test]
async fn ingress_of_another_tool_is_taken_over() {
    let (fixture, stream, _) = start().await;
    let foreign = fixture.livekit.create_foreign_ingress(ROOM, "studio", None);
    fixture.livekit.create_foreign_ingress("another room", "studio", None);
    assert!(settle(&fixture).await > 0);
    assert_eq!(recorded(&fixture, &stream, &foreign).await.unwrap().identity, identity("studio"));
    assert_eq!(fixture.store.get(stream.id).await.unwrap().unwrap().ingresses, 2);
    assert_eq!(fixture.livekit.ingresses_present().len(), 3);
}

#[tokio::test]
async fn abandoned_creation_is_undone() {
    let (fixture, stream, _) = start().await;
    // One whose answer was lost before its intent was withdrawn, and one whose instance has died.
    let withdrawn = JobMark { stream: stream.id, job: JobId::generate() };
    fixture.livekit.create_foreign_ingress(ROOM, "late", Some(withdrawn));
    let planned = JobMark { stream: stream.id, job: JobId::generate() };
    let plan = Change::PlanIngress { job: planned.job, identity: identity("dead") };
    fixture.store.apply(&stream, plan, Guard::default()).await.unwrap();
    fixture.livekit.create_foreign_ingress(ROOM, "dead", Some(planned));
    fixture.reconcile().await;
    assert_eq!(fixture.livekit.ingresses_present().len(), 2, "a recent intent may still be confirmed");
    settle(&fixture).await;
    assert_eq!(fixture.livekit.ingresses_present(), [(ROOM.to_owned(), "obs".to_owned())]);
    assert!(fixture.store.ingresses(stream.id).await.unwrap().plans.is_empty());
}

#[tokio::test]
async fn ingress_that_was_created_after_the_end_is_deleted() {
    let (fixture, stream, _) = start().await;
    let current = fixture.store.get(stream.id).await.unwrap().unwrap();
    fixture.orchestrator.stop(&Caller::unrestricted(), &current, Guard::default()).await.unwrap();
    let late = JobMark { stream: stream.id, job: JobId::generate() };
    fixture.livekit.create_foreign_ingress(ROOM, "late", Some(late));
    let unknown = JobMark { stream: "01960000-0000-7000-8000-000000000001".parse().unwrap(), ..late };
    fixture.livekit.create_foreign_ingress("of another deployment", "late", Some(unknown));
    settle(&fixture).await;
    let left = fixture.livekit.ingresses_present();
    assert_eq!(left, [("of another deployment".to_owned(), "late".to_owned())]);
}

#[tokio::test]
async fn ingress_of_a_blocked_identity_is_deleted() {
    let (fixture, stream, id) = start().await;
    fixture.livekit.fail_media(Some(MediaError::Unavailable("x".to_owned())));
    let block = Change::Block { identity: identity("obs"), reason: None, expires_in: None, by: None };
    fixture.store.apply(&stream, block, Guard::default()).await.unwrap();
    fixture.livekit.fail_media(None);
    settle(&fixture).await;
    assert_eq!(recorded(&fixture, &stream, &id).await, None);
    assert!(fixture.livekit.ingresses_present().is_empty());
}

#[tokio::test]
async fn presence_is_reconciled_while_ingresses_cannot_be_listed() {
    for failure in [MediaError::Unsupported, MediaError::Unavailable("x".to_owned())] {
        let (fixture, stream, id) = start().await;
        fixture.livekit.fail_media(Some(failure));
        fixture.livekit.connect(ROOM, "ann");
        assert!(settle(&fixture).await > 0);
        let current = fixture.store.get(stream.id).await.unwrap().unwrap();
        assert_eq!(current.participant_count(), 1);
        assert!(recorded(&fixture, &stream, &id).await.is_some(), "no answer proves nothing");
    }
}
