//! Stop of recordings and broadcasts with a fake LiveKit: by a caller, with their stream and with their room.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::{
    access::Caller,
    domain::{EgressId, EgressKind, EgressStatus, EventKind, StreamRef, StreamStatus, Topic},
    media::MediaError,
    orchestrator::Error,
    store::{EventFeed, Guard, LogRead, StreamStore},
};

use super::{
    in_livekit::{ROOM, begin, broadcast, recorded, recording, start},
    lifecycle::file,
};
use crate::instance::Fixture;

async fn stop(fixture: &Fixture, stream: &StreamRef, id: &EgressId) -> Result<EgressStatus, Error> {
    let caller = Caller::unrestricted();
    let target = (EgressKind::Recording, id);
    let stopped = fixture.orchestrator.stop_egress(&caller, stream, target, Guard::default()).await?;
    Ok(stopped.egress.status)
}

async fn stop_stream(fixture: &Fixture, stream: &StreamRef) -> StreamStatus {
    let current = fixture.store.get(stream.id).await.unwrap().unwrap();
    let caller = Caller::unrestricted();
    fixture.orchestrator.stop(&caller, &current, Guard::default()).await.unwrap().status
}

async fn log(fixture: &Fixture, stream: &StreamRef) -> Vec<EventKind> {
    let (topic, origin) = (Topic::Stream(stream.id), livestream_orchestrator::domain::Cursor::ORIGIN);
    let LogRead::Events { events, .. } = fixture.store.read_after(topic, origin, 1_000).await.unwrap() else {
        panic!("the log is kept")
    };
    events.iter().map(|event| event.draft.kind).collect()
}

#[tokio::test]
async fn stop_is_recorded_at_once_and_again_changes_nothing() {
    let (fixture, stream) = begin().await;
    let id = start(&fixture, &stream, recording()).await.unwrap();
    fixture.livekit.report_egress(&id, EgressStatus::Active);
    fixture.deliver_webhooks().await;
    assert_eq!(stop(&fixture, &stream, &id).await.unwrap(), EgressStatus::Ending);
    fixture.livekit.report_egress(&id, EgressStatus::Complete);
    fixture.deliver_webhooks().await;
    let told = log(&fixture, &stream).await.len();
    assert_eq!(stop(&fixture, &stream, &id).await.unwrap(), EgressStatus::Complete);
    assert_eq!(log(&fixture, &stream).await.len(), told);
    let other = (EgressKind::Broadcast, &id);
    let caller = Caller::unrestricted();
    let absent = fixture.orchestrator.stop_egress(&caller, &stream, other, Guard::default()).await;
    assert!(matches!(absent, Err(Error::BroadcastNotFound)), "a recording is no broadcast");
    let absent = stop(&fixture, &stream, &"EG_absent".into()).await;
    assert!(matches!(absent, Err(Error::RecordingNotFound)));
}

#[tokio::test]
async fn stop_that_livekit_does_not_make_is_not_claimed() {
    let (fixture, stream) = begin().await;
    let id = start(&fixture, &stream, recording()).await.unwrap();
    fixture.livekit.fail_media(Some(MediaError::Unavailable("x".to_owned())));
    assert!(matches!(stop(&fixture, &stream, &id).await, Err(Error::Egress(_))));
    assert_eq!(recorded(&fixture, &stream, &id).await.status, EgressStatus::Starting);
}

#[tokio::test]
async fn stream_ends_after_the_results_of_its_egresses() {
    let (fixture, stream) = begin().await;
    fixture.livekit.complete_stops(true);
    let ours = start(&fixture, &stream, recording()).await.unwrap();
    start(&fixture, &stream, broadcast(&["one-key"])).await.unwrap();
    fixture.livekit.start_foreign_egress(ROOM, file("of-another-tool.mp4"));
    fixture.livekit.start_foreign_egress("another room", file("y.mp4"));
    assert_eq!(stop_stream(&fixture, &stream).await, StreamStatus::Stopped);
    assert_eq!(fixture.livekit.running_egresses().len(), 1, "that of another room");
    assert_eq!(recorded(&fixture, &stream, &ours).await.status, EgressStatus::Complete);
    let told = log(&fixture, &stream).await;
    assert_eq!(told.last(), Some(&EventKind::StreamStopped));
    let ends = told.iter().filter(|kind| **kind == EventKind::RecordingUpdated).count();
    assert!(ends >= 2, "{told:?}");
}

#[tokio::test]
async fn stream_does_not_wait_for_an_egress_for_ever() {
    let (fixture, stream) = begin().await;
    let id = start(&fixture, &stream, recording()).await.unwrap();
    assert_eq!(stop_stream(&fixture, &stream).await, StreamStatus::Stopped);
    let told = log(&fixture, &stream).await.len();
    assert_eq!(recorded(&fixture, &stream, &id).await.status, EgressStatus::Ending);
    fixture.livekit.report_egress(&id, EgressStatus::Complete);
    fixture.livekit.take_webhooks();
    // The webhook is lost, and a read asks LiveKit.
    let caller = Caller::unrestricted();
    let room = stream.id.to_string();
    let read = fixture.orchestrator.egress(&caller, &room, EgressKind::Recording, &id).await.unwrap();
    assert_eq!((read.egress.status, read.egress.files.len()), (EgressStatus::Complete, 1));
    assert_eq!(log(&fixture, &stream).await.len(), told, "nothing follows the last event");
}

#[tokio::test]
async fn stream_stops_although_livekit_refuses_to_stop_its_egress() {
    let (fixture, stream) = begin().await;
    start(&fixture, &stream, recording()).await.unwrap();
    fixture.livekit.fail_stops(true);
    assert_eq!(stop_stream(&fixture, &stream).await, StreamStatus::Stopped);
}

#[tokio::test]
async fn end_of_the_room_ends_its_egresses() {
    let (fixture, stream) = begin().await;
    fixture.livekit.complete_stops(true);
    let id = start(&fixture, &stream, recording()).await.unwrap();
    fixture.livekit.close_room(ROOM);
    fixture.deliver_webhooks().await;
    assert_eq!(fixture.store.get(stream.id).await.unwrap().unwrap().status, StreamStatus::Stopped);
    assert_eq!(recorded(&fixture, &stream, &id).await.status, EgressStatus::Complete);
}
