//! Requests about ingresses with a fake LiveKit: repeated requests, failures, blocks and the end of the stream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    access::Caller,
    domain::{
        Change, IngressId, IngressKind, JobId, JobMark, Rejection, StreamRef, StreamStatus,
        ingress::INGRESS_PLAN_TTL,
    },
    media::MediaError,
    orchestrator::{BlockRequest, Error, IngressRequest},
    rooms::RoomsError,
    store::{Guard, StoreError, StreamStore},
};
use secrecy::ExposeSecret;

use crate::{backend::identity, instance::Fixture};

pub const ROOM: &str = "room";

pub fn request(who: &str) -> IngressRequest {
    IngressRequest {
        kind: IngressKind::Rtmp,
        identity: identity(who),
        name: None,
        source: None,
        job: Some(JobId::generate()),
        dedup_key: None,
        is_made: false,
    }
}

pub async fn create(
    fixture: &Fixture,
    stream: &StreamRef,
    request: IngressRequest,
) -> Result<IngressId, Error> {
    let created = fixture.orchestrator.create_ingress(&Caller::unrestricted(), stream, request).await?;
    assert!(created.stream_key.unwrap().expose_secret().starts_with("key of IN_"));
    Ok(created.ingress.id)
}

async fn start() -> (Fixture, StreamRef) {
    let fixture = Fixture::new();
    let stream = fixture.create(ROOM).await.reference();
    (fixture, stream)
}

fn present(fixture: &Fixture) -> usize {
    fixture.livekit.ingresses_present().len()
}

#[tokio::test]
async fn repeated_request_returns_the_first_ingress() {
    let (fixture, stream) = start().await;
    let request = request("obs");
    let first = create(&fixture, &stream, request.clone()).await.unwrap();
    assert_eq!(create(&fixture, &stream, request.clone()).await.unwrap(), first);
    assert_eq!(present(&fixture), 1);
    fixture
        .orchestrator
        .delete_ingress(&Caller::unrestricted(), &stream, &first, Guard::default())
        .await
        .unwrap();
    let is_made = IngressRequest { is_made: true, ..request };
    let gone = create(&fixture, &stream, is_made).await.unwrap_err();
    assert!(matches!(gone, Error::IngressNotFound), "a deleted ingress is not created again: {gone}");
    assert_eq!(present(&fixture), 0);
}

#[tokio::test]
async fn attempt_after_a_crash_takes_over_what_the_first_has_created() {
    let (fixture, stream) = start().await;
    let request = request("obs");
    let job = request.job.unwrap();
    let plan = Change::PlanIngress { job, identity: identity("obs") };
    fixture.store.apply(&stream, plan, Guard::default()).await.unwrap();
    let mark = JobMark { stream: stream.id, job };
    let made = fixture.livekit.create_foreign_ingress(ROOM, "obs", Some(mark));
    assert_eq!(create(&fixture, &stream, request).await.unwrap(), made);
    assert_eq!(present(&fixture), 1);
}

#[tokio::test]
async fn intent_of_a_request_that_died_does_not_keep_its_identity() {
    let (fixture, stream) = start().await;
    let plan = Change::PlanIngress { job: JobId::generate(), identity: identity("obs") };
    fixture.store.apply(&stream, plan, Guard::default()).await.unwrap();
    let refused = create(&fixture, &stream, request("obs")).await.unwrap_err();
    assert!(matches!(refused, Error::Store(StoreError::Rejected(Rejection::IngressExists))), "{refused}");
    fixture.livekit.advance(INGRESS_PLAN_TTL + Duration::from_millis(1));
    create(&fixture, &stream, request("obs")).await.unwrap();
    assert!(fixture.store.ingresses(stream.id).await.unwrap().plans.is_empty());
}

#[tokio::test]
async fn failed_creation_leaves_nothing_and_may_be_repeated() {
    let (fixture, stream) = start().await;
    let failures = [
        MediaError::Unsupported,
        MediaError::Unavailable("x".to_owned()),
        MediaError::Refused("x".to_owned()),
    ];
    for failure in failures {
        fixture.livekit.fail_media(Some(failure));
        let failed = create(&fixture, &stream, request("obs")).await.unwrap_err();
        assert!(matches!(failed, Error::Ingress(_)), "{failed}");
        assert!(fixture.store.ingresses(stream.id).await.unwrap().plans.is_empty());
    }
    fixture.livekit.fail_media(None);
    create(&fixture, &stream, request("obs")).await.unwrap();
}

#[tokio::test]
async fn block_deletes_the_ingresses_of_its_identity() {
    let (fixture, stream) = start().await;
    let (obs, other) = (request("obs"), request("other"));
    let id = create(&fixture, &stream, obs).await.unwrap();
    create(&fixture, &stream, other).await.unwrap();
    fixture.livekit.push(&id);
    fixture.deliver_webhooks().await;
    let block = BlockRequest::of(identity("obs"));
    let caller = Caller::unrestricted();
    fixture.orchestrator.block(&caller, &stream, block).await.unwrap();
    assert_eq!(fixture.livekit.ingresses_present(), [(ROOM.to_owned(), "other".to_owned())]);
    assert_eq!(fixture.store.ingress(stream.id, &id).await.unwrap(), None);
    assert!(fixture.livekit.room_state(ROOM).unwrap().present.is_empty());
}

#[tokio::test]
async fn stop_deletes_the_ingresses_before_the_room() {
    let (fixture, stream) = start().await;
    create(&fixture, &stream, request("obs")).await.unwrap();
    fixture.livekit.create_foreign_ingress(ROOM, "of another tool", None);
    fixture.livekit.create_foreign_ingress("another room", "obs", None);
    let current = fixture.store.get(stream.id).await.unwrap().unwrap();
    let caller = Caller::unrestricted();
    fixture.livekit.fail_media(Some(MediaError::Unavailable("x".to_owned())));
    let failed = fixture.orchestrator.stop(&caller, &current, Guard::default()).await.unwrap_err();
    assert!(matches!(failed, Error::Rooms(RoomsError::Unavailable(_))), "{failed}");
    assert!(fixture.livekit.room_state(ROOM).is_some(), "the room is not deleted before its ingresses");
    fixture.livekit.fail_media(None);
    let stopped = fixture.orchestrator.stop(&caller, &current, Guard::default()).await.unwrap();
    assert_eq!((stopped.status, stopped.ingresses), (StreamStatus::Stopped, 0));
    assert_eq!(fixture.livekit.ingresses_present(), [("another room".to_owned(), "obs".to_owned())]);
}

#[tokio::test]
async fn end_of_the_room_deletes_its_ingresses() {
    let (fixture, stream) = start().await;
    create(&fixture, &stream, request("obs")).await.unwrap();
    fixture.livekit.close_room(ROOM);
    fixture.deliver_webhooks().await;
    assert_eq!(fixture.store.get(stream.id).await.unwrap().unwrap().status, StreamStatus::Stopped);
    assert_eq!(present(&fixture), 0);
}

#[tokio::test]
async fn stop_without_redis_in_livekit_needs_no_ingresses() {
    let (fixture, stream) = start().await;
    fixture.livekit.fail_media(Some(MediaError::Unsupported));
    let current = fixture.store.get(stream.id).await.unwrap().unwrap();
    let stopped =
        fixture.orchestrator.stop(&Caller::unrestricted(), &current, Guard::default()).await.unwrap();
    assert_eq!(stopped.status, StreamStatus::Stopped);
}

#[tokio::test]
async fn deletion_in_an_ended_stream_deletes_nothing_of_its_rooms_next_stream() {
    let (fixture, ended) = start().await;
    let current = fixture.store.get(ended.id).await.unwrap().unwrap();
    let caller = Caller::unrestricted();
    fixture.orchestrator.stop(&caller, &current, Guard::default()).await.unwrap();
    let next = fixture.create(ROOM).await.reference();
    let id = create(&fixture, &next, request("obs")).await.unwrap();
    fixture.orchestrator.delete_ingress(&caller, &ended, &id, Guard::default()).await.unwrap();
    assert_eq!(present(&fixture), 1);
}

#[tokio::test]
async fn deletion_of_an_unknown_ingress_deletes_only_in_the_streams_room() {
    let (fixture, stream) = start().await;
    let delete = async |id: &IngressId| {
        let caller = Caller::unrestricted();
        fixture.orchestrator.delete_ingress(&caller, &stream, id, Guard::default()).await.unwrap();
    };
    let elsewhere = fixture.livekit.create_foreign_ingress("another room", "obs", None);
    let here = fixture.livekit.create_foreign_ingress(ROOM, "obs", None);
    for id in [&elsewhere, &here, &"IN_absent".into()] {
        delete(id).await;
    }
    assert_eq!(fixture.livekit.ingresses_present(), [("another room".to_owned(), "obs".to_owned())]);
}
