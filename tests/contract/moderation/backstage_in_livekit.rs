//! Exclusion of viewers from a stream that is backstage: by the request, by webhooks, by the reconciler.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::{
    access::Caller,
    domain::{Role, StreamRef},
    orchestrator::CreateRequest,
    store::{Guard, StreamStore},
};

use super::room::{ROOM, in_room, reason, told};
use crate::instance::{Fixture, LISTING_GRACE};

/// A fixture with a live stream, a host and two viewers.
async fn with_viewers() -> (Fixture, StreamRef) {
    let fixture = Fixture::new();
    let stream = fixture.create(ROOM).await.reference();
    fixture.livekit.connect_as(ROOM, "host", Role::Host);
    for viewer in ["ann", "bob"] {
        fixture.livekit.connect_as(ROOM, viewer, Role::Viewer);
    }
    fixture.deliver_webhooks().await;
    (fixture, stream)
}

async fn stop_live(fixture: &Fixture, stream: &StreamRef) {
    let stopped =
        fixture.orchestrator.stop_live(&Caller::unrestricted(), stream, Guard::default()).await.unwrap();
    assert!(stopped.backstage);
}

/// Identities that are recorded as active, and the reasons of all departures.
async fn recorded(fixture: &Fixture, stream: &StreamRef) -> (Vec<String>, Vec<Option<String>>) {
    let view = fixture.store.view(stream.id).await.unwrap().unwrap();
    let active = view.participants.iter().filter(|one| one.is_active());
    let mut active: Vec<_> = active.map(|one| one.identity.to_string()).collect();
    active.sort();
    (active, told(fixture, stream).await.1)
}

#[tokio::test]
async fn stop_live_removes_viewers_once() {
    let (fixture, stream) = with_viewers().await;
    stop_live(&fixture, &stream).await;
    assert_eq!(in_room(&fixture), ["host"]);
    let expected = (vec!["host".to_owned()], vec![reason("backstage"), reason("backstage")]);
    assert_eq!(recorded(&fixture, &stream).await, expected);
    // The webhooks of the removals and a repetition of the request change nothing.
    fixture.deliver_webhooks().await;
    stop_live(&fixture, &stream).await;
    assert_eq!(recorded(&fixture, &stream).await, expected);
}

#[tokio::test]
async fn viewer_that_connects_while_backstage_is_removed_on_arrival() {
    let (fixture, stream) = with_viewers().await;
    stop_live(&fixture, &stream).await;
    fixture.livekit.take_webhooks();
    fixture.livekit.connect_as(ROOM, "late", Role::Viewer);
    fixture.livekit.connect_as(ROOM, "second host", Role::Host);
    fixture.deliver_webhooks().await;
    assert_eq!(in_room(&fixture), ["host", "second host"]);
    let (active, reasons) = recorded(&fixture, &stream).await;
    assert_eq!((active.len(), reasons), (2, vec![reason("backstage"); 3]));
    // The webhook of the departure comes before that of the arrival.
    fixture.livekit.take_webhooks();
    fixture.livekit.connect_as(ROOM, "later", Role::Viewer);
    fixture.livekit.disconnect(ROOM, "later");
    for webhook in fixture.livekit.take_webhooks().into_iter().rev() {
        fixture.orchestrator.process(webhook).await.unwrap();
    }
    let (_, reasons) = recorded(&fixture, &stream).await;
    assert_eq!(reasons.len(), 3, "neither the arrival nor the departure is told");
}

#[tokio::test]
async fn reconciler_removes_viewers_after_lost_calls_and_webhooks() {
    let (fixture, stream) = with_viewers().await;
    fixture.livekit.set_available(false);
    stop_live(&fixture, &stream).await;
    let (active, reasons) = recorded(&fixture, &stream).await;
    assert_eq!(
        (active.len(), reasons),
        (3, vec![]),
        "no departure is told before LiveKit has removed anyone"
    );
    fixture.livekit.set_available(true);
    fixture.livekit.connect_as(ROOM, "late", Role::Viewer);
    // All webhooks are lost.
    fixture.livekit.take_webhooks();
    fixture.livekit.advance(LISTING_GRACE);
    fixture.reconcile().await;
    assert_eq!(in_room(&fixture), ["host"]);
    let expected = (vec!["host".to_owned()], vec![reason("backstage"); 3]);
    assert_eq!(recorded(&fixture, &stream).await, expected);
    fixture.livekit.take_webhooks();
    fixture.livekit.advance(LISTING_GRACE);
    assert_eq!(fixture.reconcile().await, 0);
    assert_eq!(recorded(&fixture, &stream).await, expected);
}

#[tokio::test]
async fn viewers_of_existing_room_are_removed_when_its_stream_begins_backstage() {
    let fixture = Fixture::new();
    let spec = fixture.create(ROOM).await;
    fixture.livekit.connect_as(ROOM, "host", Role::Host);
    fixture.livekit.connect_as(ROOM, "ann", Role::Viewer);
    // Another service, with its own Redis, takes the room over.
    let store = fixture.livekit.store();
    let service = fixture.livekit.orchestrator(store);
    let request = CreateRequest {
        room_name: Some(spec.room_name.clone()),
        backstage: true,
        ..CreateRequest::default()
    };
    let created = service.create(&Caller::unrestricted(), request).await.unwrap();
    assert_eq!(in_room(&fixture), ["host"]);
    assert_eq!((created.stream.counts.hosts, created.stream.backstage), (1, true));
}
