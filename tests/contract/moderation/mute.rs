//! Muting with a fake LiveKit: which tracks are muted, and how it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;

use livestream_orchestrator::{
    access::Caller,
    domain::{Role, Stream, TrackSource},
    orchestrator::{Error, MuteAll, MuteRequest},
    rooms::TrackSelection,
    store::StreamStore,
};

use crate::{backend::identity, instance::Fixture};

const ROOM: &str = "room";

/// A stream with two hosts, each with a microphone and a camera.
async fn with_hosts() -> (Fixture, Stream) {
    let fixture = Fixture::new();
    let stream = fixture.create(ROOM).await;
    for who in ["ann", "bob"] {
        fixture.livekit.connect_as(ROOM, who, Role::Host);
        for source in [TrackSource::Microphone, TrackSource::Camera] {
            fixture.livekit.publish(ROOM, who, source);
        }
    }
    fixture.deliver_webhooks().await;
    let stream = fixture.current(&stream).await;
    (fixture, stream)
}

/// Sources of the recorded tracks that are muted.
async fn muted(fixture: &Fixture, stream: &Stream, who: &str) -> Vec<TrackSource> {
    let entry = fixture.store.participant(stream.id, who).await.unwrap().unwrap();
    entry.tracks.as_slice().iter().filter(|track| track.muted).map(|track| track.source).collect()
}

async fn mute(fixture: &Fixture, stream: &Stream, who: &str, tracks: TrackSelection) -> Result<(), Error> {
    let request = MuteRequest { identity: identity(who), tracks, dedup_key: None };
    fixture.orchestrator.mute(&Caller::unrestricted(), stream.clone(), request).await.map(|_| ())
}

#[tokio::test]
async fn tracks_of_source_are_muted_and_told_once() {
    let (fixture, stream) = with_hosts().await;
    for _ in 0..2 {
        mute(&fixture, &stream, "ann", TrackSelection::Source(TrackSource::Microphone)).await.unwrap();
        assert_eq!(muted(&fixture, &stream, "ann").await, [TrackSource::Microphone]);
        assert_eq!(fixture.current(&stream).await.version, stream.version + 1, "the repetition has no event");
    }
    let room = fixture.livekit.room_state(ROOM).unwrap();
    let in_livekit = room.present.iter().flat_map(|(who, _, tracks)| {
        tracks.as_slice().iter().filter(|track| track.muted).map(move |track| (who.as_str(), track.source))
    });
    assert_eq!(in_livekit.collect::<Vec<_>>(), [("ann", TrackSource::Microphone)]);
    // A source without a track is no error.
    mute(&fixture, &stream, "ann", TrackSelection::Source(TrackSource::ScreenShare)).await.unwrap();
}

#[tokio::test]
async fn unknown_participants_and_tracks_are_refused() {
    let (fixture, stream) = with_hosts().await;
    let microphone = || TrackSelection::Source(TrackSource::Microphone);
    let absent = mute(&fixture, &stream, "cy", microphone()).await.unwrap_err();
    assert!(matches!(absent, Error::ParticipantNotFound), "{absent}");
    let unknown = mute(&fixture, &stream, "ann", TrackSelection::Sid("TR_absent".into())).await.unwrap_err();
    assert!(matches!(unknown, Error::TrackNotFound), "{unknown}");
    fixture.livekit.set_available(false);
    let failed = mute(&fixture, &stream, "ann", microphone()).await.unwrap_err();
    assert!(matches!(failed, Error::Rooms(_)), "{failed}");
    assert!(muted(&fixture, &stream, "ann").await.is_empty());
}

#[tokio::test]
async fn everybody_is_muted_except_the_named_participants() {
    let (fixture, stream) = with_hosts().await;
    let request = || MuteAll { source: TrackSource::Camera, except: HashSet::from([identity("bob")]) };
    fixture.orchestrator.mute_all(&Caller::unrestricted(), &stream, request()).await.unwrap();
    assert_eq!(muted(&fixture, &stream, "ann").await, [TrackSource::Camera]);
    assert!(muted(&fixture, &stream, "bob").await.is_empty());
    let all = MuteAll { except: HashSet::new(), ..request() };
    fixture.orchestrator.mute_all(&Caller::unrestricted(), &stream, all).await.unwrap();
    assert_eq!(muted(&fixture, &stream, "bob").await, [TrackSource::Camera]);
}
