//! Starts of recordings and broadcasts with a fake LiveKit: repeated requests, failures, late starts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    access::Caller,
    domain::{
        Egress, EgressChange, EgressId, EgressKind, EgressOutputs, EgressStatus, JobId, MediaPath, Rejection,
        RtmpAddress, StreamRef, TrackSource, egress_record::EGRESS_PLAN_TTL,
    },
    media::MediaError,
    orchestrator::{
        BroadcastOrder, EgressOrder, EgressRequest, Error, HlsOrder, RecordedSource, RecordingOrder,
    },
    store::{Guard, StoreError, StreamStore},
};

use tokio::time::timeout;

use super::lifecycle::{address, file};
use crate::{
    backend::identity,
    instance::{Fixture, LISTING_GRACE},
};

pub const ROOM: &str = "room";

/// Maximum time of a response.
const RESPONSE: Duration = Duration::from_secs(5);

pub fn request(order: EgressOrder) -> EgressRequest {
    EgressRequest { order, job: Some(JobId::generate()), dedup_key: None, is_made: false }
}

pub fn recording_of(source: RecordedSource) -> EgressRequest {
    let order = RecordingOrder { source, audio_only: false, preset: None, path: None };
    request(EgressOrder::Recording(order))
}

pub fn recording() -> EgressRequest {
    recording_of(RecordedSource::Room(None))
}

pub fn broadcast(keys: &[&str]) -> EgressRequest {
    let rtmp = keys.iter().map(|key| address(key)).collect();
    request(EgressOrder::Broadcast(BroadcastOrder { hls: None, rtmp }))
}

pub async fn start(fixture: &Fixture, stream: &StreamRef, request: EgressRequest) -> Result<EgressId, Error> {
    let started = fixture.orchestrator.start_egress(&Caller::unrestricted(), stream, request).await?;
    Ok(started.egress.id)
}

pub async fn begin() -> (Fixture, StreamRef) {
    let fixture = Fixture::new();
    let stream = fixture.create(ROOM).await.reference();
    (fixture, stream)
}

pub async fn recorded(fixture: &Fixture, stream: &StreamRef, id: &EgressId) -> Egress {
    fixture.store.egress(stream.id, id).await.unwrap().unwrap()
}

async fn plans(fixture: &Fixture, stream: &StreamRef) -> usize {
    fixture.store.egresses(stream.id).await.unwrap().plans.len()
}

#[tokio::test]
async fn recording_takes_the_room_a_participant_or_a_track() {
    let (fixture, stream) = begin().await;
    fixture.livekit.connect(ROOM, "ann");
    fixture.livekit.publish(ROOM, "ann", TrackSource::Microphone);
    fixture.deliver_webhooks().await;
    let room = fixture.livekit.room_state(ROOM).unwrap();
    let track = room.present[0].2.as_slice()[0].sid.clone();
    for source in [
        RecordedSource::Room(Some("grid".parse().unwrap())),
        RecordedSource::Participant(identity("ann")),
        RecordedSource::Track(track.clone()),
    ] {
        let id = start(&fixture, &stream, recording_of(source)).await.unwrap();
        let known = recorded(&fixture, &stream, &id).await;
        assert_eq!((known.kind, known.status), (EgressKind::Recording, EgressStatus::Starting));
        assert!(known.outputs.file.unwrap().as_str().starts_with(&stream.id.to_string()));
    }
    let absent = start(&fixture, &stream, recording_of(RecordedSource::Participant(identity("eve")))).await;
    assert!(matches!(absent, Err(Error::ParticipantNotFound)));
    let absent = start(&fixture, &stream, recording_of(RecordedSource::Track("TR_absent".into()))).await;
    assert!(matches!(absent, Err(Error::TrackNotFound)));
}

#[tokio::test]
async fn broadcast_has_the_public_address_of_its_playlist() {
    let (fixture, stream) = begin().await;
    let hls = Some(HlsOrder { path: Some("live/{room}".parse().unwrap()), segment_seconds: 4 });
    let order = BroadcastOrder { hls, rtmp: vec![address("one-key")] };
    let id = start(&fixture, &stream, request(EgressOrder::Broadcast(order))).await.unwrap();
    let known = recorded(&fixture, &stream, &id).await;
    assert_eq!(known.outputs.playlist, Some(MediaPath::reported("live/room.m3u8".to_owned())));
    assert_eq!(known.spec.playlist_url.as_deref(), Some("https://cdn.example/x/live/room.m3u8"));
    let document = serde_json::to_value(&known).unwrap();
    assert_eq!(document["hls"]["livePlaylist"], "https://cdn.example/x/live/room.live.m3u8");
    assert_eq!((&document["hls"]["segmentSeconds"], &document["rtmp"][0]["id"]), (&4.into(), &"1".into()));
    assert!(!document.to_string().contains("one-key"), "{document}");
}

#[tokio::test]
async fn repeated_request_returns_the_first_egress() {
    let (fixture, stream) = begin().await;
    let request = recording();
    let first = start(&fixture, &stream, request.clone()).await.unwrap();
    assert_eq!(start(&fixture, &stream, request.clone()).await.unwrap(), first);
    fixture.livekit.report_egress(&first, EgressStatus::Complete);
    fixture.deliver_webhooks().await;
    let is_made = EgressRequest { is_made: true, ..request };
    assert_eq!(start(&fixture, &stream, is_made).await.unwrap(), first, "also after its end");
    assert_eq!(fixture.livekit.egresses_present().len(), 1);
}

#[tokio::test]
async fn attempt_after_a_crash_takes_over_what_the_first_has_started() {
    for request in [recording(), broadcast(&["two-key", "one-key"])] {
        let (fixture, stream) = begin().await;
        let job = request.job.unwrap();
        let mut outputs = EgressOutputs::default();
        match &request.order {
            EgressOrder::Recording(_) => outputs.file = Some(MediaPath::of_recording(stream.id, job)),
            EgressOrder::Broadcast(order) => {
                outputs.rtmp = order.rtmp.iter().map(RtmpAddress::fingerprint).collect();
                outputs.rtmp.sort();
            }
        }
        // The first attempt dies between LiveKit's answer and the record.
        let plan = EgressChange::Plan { job, outputs: outputs.clone() };
        fixture.store.apply(&stream, plan.into(), Guard::default()).await.unwrap();
        let made = fixture.livekit.start_foreign_egress(ROOM, outputs);
        assert_eq!(start(&fixture, &stream, request).await.unwrap(), made);
        assert_eq!(fixture.livekit.running_egresses(), [made]);
    }
}

#[tokio::test]
async fn failed_start_leaves_nothing_and_may_be_repeated() {
    let (fixture, stream) = begin().await;
    for (failure, remembered) in [
        (MediaError::Unsupported, 0),
        (MediaError::Refused("x".to_owned()), 0),
        (MediaError::Unavailable("x".to_owned()), 1),
    ] {
        fixture.livekit.fail_media(Some(failure));
        let failed = start(&fixture, &stream, recording()).await.unwrap_err();
        assert!(matches!(failed, Error::Egress(_)), "{failed}");
        assert_eq!(plans(&fixture, &stream).await, remembered);
    }
    fixture.livekit.fail_media(None);
    start(&fixture, &stream, recording()).await.unwrap();
    fixture.livekit.advance(EGRESS_PLAN_TTL + Duration::from_millis(1));
    start(&fixture, &stream, recording()).await.unwrap();
    assert_eq!(plans(&fixture, &stream).await, 0, "an old intent is forgotten");
}

/// LiveKit goes on looking for a worker after the request has failed.
async fn failed_then_started_late(
    fixture: &Fixture,
    stream: &StreamRef,
    request: &EgressRequest,
) -> EgressId {
    fixture.livekit.fail_media(Some(MediaError::Unavailable("x".to_owned())));
    start(fixture, stream, request.clone()).await.unwrap_err();
    fixture.livekit.fail_media(None);
    let outputs = fixture.store.egresses(stream.id).await.unwrap().plans[0].outputs.clone();
    fixture.livekit.start_foreign_egress(ROOM, outputs)
}

#[tokio::test]
async fn egress_that_starts_after_its_request_has_failed_is_stopped() {
    for has_webhook in [true, false] {
        let (fixture, stream) = begin().await;
        failed_then_started_late(&fixture, &stream, &recording()).await;
        if has_webhook {
            fixture.deliver_webhooks().await;
        } else {
            fixture.livekit.take_webhooks();
            fixture.reconcile().await;
        }
        assert!(fixture.livekit.running_egresses().is_empty());
        assert_eq!(plans(&fixture, &stream).await, 0);
        assert!(fixture.store.egresses(stream.id).await.unwrap().egresses.is_empty());
    }
}

#[tokio::test]
async fn egress_that_starts_late_is_taken_over_by_a_retry() {
    let (fixture, stream) = begin().await;
    let request = recording();
    let late = failed_then_started_late(&fixture, &stream, &request).await;
    assert_eq!(start(&fixture, &stream, request).await.unwrap(), late);
    fixture.deliver_webhooks().await;
    assert_eq!(fixture.livekit.running_egresses(), [late]);
}

#[tokio::test]
async fn second_egress_of_one_request_is_stopped() {
    for has_webhook in [true, false] {
        let (fixture, stream) = begin().await;
        let request = recording();
        fixture.livekit.fail_media(Some(MediaError::Unavailable("x".to_owned())));
        start(&fixture, &stream, request.clone()).await.unwrap_err();
        fixture.livekit.fail_media(None);
        // The retry comes before LiveKit has found a worker for the first attempt.
        let id = start(&fixture, &stream, request).await.unwrap();
        let outputs = recorded(&fixture, &stream, &id).await.outputs;
        fixture.livekit.start_foreign_egress(ROOM, outputs);
        if has_webhook {
            fixture.deliver_webhooks().await;
        } else {
            fixture.livekit.take_webhooks();
            fixture.reconcile().await;
        }
        assert_eq!(fixture.livekit.running_egresses(), [id]);
    }
}

#[tokio::test]
async fn stream_that_stops_meanwhile_has_no_egress() {
    let (fixture, stream) = begin().await;
    let request = recording();
    let job = request.job.unwrap();
    let plan = EgressChange::Plan { job, outputs: file("x.mp4") };
    fixture.store.apply(&stream, plan.into(), Guard::default()).await.unwrap();
    let current = fixture.store.get(stream.id).await.unwrap().unwrap();
    fixture.orchestrator.stop(&Caller::unrestricted(), &current, Guard::default()).await.unwrap();
    let refused = start(&fixture, &stream, request).await.unwrap_err();
    assert!(matches!(refused, Error::Store(StoreError::Rejected(Rejection::NotActive { .. }))), "{refused}");
    assert!(fixture.livekit.running_egresses().is_empty());
}

/// The earlier stream's recording is still uploaded, and has the same path.
#[tokio::test]
async fn egress_of_an_earlier_stream_of_the_room_is_neither_taken_over_nor_stopped() {
    let (fixture, stream) = begin().await;
    let order = RecordingOrder {
        source: RecordedSource::Room(None),
        audio_only: false,
        preset: None,
        path: Some("{room}".parse().unwrap()),
    };
    let earlier = start(&fixture, &stream, request(EgressOrder::Recording(order.clone()))).await.unwrap();
    let current = fixture.store.get(stream.id).await.unwrap().unwrap();
    fixture.orchestrator.stop(&Caller::unrestricted(), &current, Guard::default()).await.unwrap();
    let stream = fixture.create(ROOM).await.reference();
    let request = request(EgressOrder::Recording(order));
    fixture.livekit.fail_media(Some(MediaError::Unavailable("x".to_owned())));
    start(&fixture, &stream, request.clone()).await.unwrap_err();
    fixture.livekit.fail_media(None);
    fixture.livekit.report_egress(&earlier, EgressStatus::Ending);
    fixture.deliver_webhooks().await;
    fixture.reconcile().await;
    assert_eq!(plans(&fixture, &stream).await, 1, "LiveKit may still start the egress of this intent");
    let own = start(&fixture, &stream, request).await.unwrap();
    assert_ne!(own, earlier);
    assert_eq!(fixture.livekit.running_egresses(), [own]);
}

/// A read of LiveKit's state takes as long as LiveKit likes.
#[tokio::test(start_paused = true)]
async fn start_and_stop_do_not_wait_for_the_state() {
    let (fixture, stream) = begin().await;
    fixture.livekit.hold_egress_reads(true);
    let request = recording();
    let started = timeout(RESPONSE, start(&fixture, &stream, request)).await.expect("in time").unwrap();
    let (caller, recording) = (Caller::unrestricted(), (EgressKind::Recording, &started));
    let stopped = fixture.orchestrator.stop_egress(&caller, &stream, recording, Guard::default());
    timeout(RESPONSE, stopped).await.expect("in time").unwrap();
    fixture.livekit.hold_egress_reads(false);
    fixture.livekit.take_webhooks();
    fixture.reconcile().await;
    assert_eq!(recorded(&fixture, &stream, &started).await.status, EgressStatus::Ending);
}

#[tokio::test]
async fn recordings_need_a_storage_and_rtmp_does_not() {
    let fixture = Fixture::without_storage();
    let stream = fixture.create(ROOM).await.reference();
    let hls = Some(HlsOrder { path: None, segment_seconds: 6 });
    let hls = request(EgressOrder::Broadcast(BroadcastOrder { hls, rtmp: Vec::new() }));
    for request in [recording(), hls] {
        let refused = start(&fixture, &stream, request).await.unwrap_err();
        assert!(matches!(refused, Error::StorageNotConfigured), "{refused}");
    }
    assert_eq!(plans(&fixture, &stream).await, 0);
    start(&fixture, &stream, broadcast(&["one-key"])).await.unwrap();
    fixture.livekit.advance(LISTING_GRACE);
}
