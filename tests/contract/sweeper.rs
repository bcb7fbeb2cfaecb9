//! The sweeper: expiry of tokens, idle streams and ended streams.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    access::Caller,
    domain::{Role, RoomName, StreamStatus},
    orchestrator::{CreateRequest, JoinRequest},
    store::StreamStore,
};

use super::{backend::identity, instance::Fixture};

#[tokio::test]
async fn sweeper_expires_tokens_idle_streams_and_stopped_streams() {
    let fixture = Fixture::new();
    let idle = CreateRequest {
        room_name: Some(RoomName::parse("idle").unwrap()),
        empty_timeout: Some(Duration::from_secs(300)),
        ..CreateRequest::default()
    };
    let stream = fixture.orchestrator.create(&Caller::unrestricted(), idle).await.unwrap().stream;
    let join = JoinRequest {
        identity: identity("ann"),
        name: None,
        role: Some(Role::Host),
        metadata: None,
        attributes: None,
        dedup_key: None,
    };
    fixture.orchestrator.join(&Caller::unrestricted(), &stream.reference(), join).await.unwrap();
    let known = async || fixture.store.participant(stream.id, "ann").await.unwrap();
    fixture.livekit.advance(Duration::from_secs(59));
    fixture.orchestrator.sweep().await.unwrap();
    assert!(known().await.is_some());
    fixture.livekit.advance(Duration::from_secs(2));
    fixture.orchestrator.sweep().await.unwrap();
    assert!(known().await.is_none(), "an unused token expires after a minute");
    fixture.livekit.advance(Duration::from_secs(238));
    fixture.orchestrator.sweep().await.unwrap();
    assert_eq!(fixture.current(&stream).await.status, StreamStatus::Active);
    fixture.livekit.advance(Duration::from_secs(2));
    fixture.orchestrator.sweep().await.unwrap();
    let stopped = fixture.current(&stream).await;
    assert_eq!((stopped.status, stopped.reason.as_deref()), (StreamStatus::Stopped, Some("idle")));
    assert!(fixture.livekit.rooms().is_empty());
    fixture.livekit.advance(Duration::from_secs(299));
    assert!(fixture.store.get(stream.id).await.unwrap().is_some(), "the stream is retained");
    fixture.livekit.advance(Duration::from_secs(2));
    assert!(fixture.store.get(stream.id).await.unwrap().is_none());
}

#[tokio::test]
async fn stream_with_listed_participant_is_not_stopped_as_idle() {
    let fixture = Fixture::new();
    let idle = CreateRequest {
        room_name: Some(RoomName::parse("idle").unwrap()),
        empty_timeout: Some(Duration::from_secs(60)),
        ..CreateRequest::default()
    };
    let stream = fixture.orchestrator.create(&Caller::unrestricted(), idle).await.unwrap().stream;
    fixture.livekit.connect("idle", "ann");
    fixture.livekit.take_webhooks();
    for answers in [true, false] {
        fixture.livekit.advance(Duration::from_secs(120));
        fixture.livekit.set_available(answers);
        fixture.orchestrator.sweep().await.unwrap();
        assert_eq!(fixture.current(&stream).await.status, StreamStatus::Active);
    }
    fixture.livekit.set_available(true);
    assert_eq!(fixture.reconcile().await, 1);
    fixture.livekit.disconnect("idle", "ann");
    fixture.deliver_webhooks().await;
    fixture.livekit.advance(Duration::from_secs(61));
    fixture.orchestrator.sweep().await.unwrap();
    assert_eq!(fixture.current(&stream).await.status, StreamStatus::Stopped);
}
