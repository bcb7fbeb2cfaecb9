//! Blocks with a fake LiveKit: older tokens, lost webhooks, a LiveKit that does not answer, hidden participants.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    access::Caller,
    domain::{EventKind, Rejection, StreamRef, Topic},
    orchestrator::{BlockRequest, Error, JoinRequest},
    store::{EventFeed, Guard, LogRead, StoreError, StreamStore},
};

use crate::{
    backend::identity,
    instance::{Fixture, LISTING_GRACE},
};

const ROOM: &str = "room";

/// A stream in which `ann` is connected.
async fn connected() -> (Fixture, StreamRef) {
    let fixture = Fixture::new();
    let stream = fixture.create(ROOM).await.reference();
    fixture.livekit.connect(ROOM, "ann");
    fixture.deliver_webhooks().await;
    (fixture, stream)
}

async fn block(fixture: &Fixture, stream: &StreamRef, expires_in: Option<Duration>) {
    let request = BlockRequest { identity: identity("ann"), reason: None, expires_in };
    let caller = Caller::unrestricted();
    let block = fixture.orchestrator.block(&caller, stream, request, Guard::default()).await.unwrap();
    assert_eq!(block.identity, identity("ann"));
}

fn is_in_room(fixture: &Fixture) -> bool {
    !fixture.livekit.room_state(ROOM).unwrap().present.is_empty()
}

/// The numbers of arrivals and departures, and the reasons of the departures.
async fn told(fixture: &Fixture, stream: &StreamRef) -> (usize, Vec<Option<String>>) {
    let topic = Topic::Stream(stream.id);
    let before = fixture.store.before_newest(topic, 1_000).await.unwrap().unwrap();
    let LogRead::Events { events: log, .. } = fixture.store.read_after(topic, before, 1_000).await.unwrap()
    else {
        panic!("the log is complete")
    };
    let arrivals = log.iter().filter(|event| event.draft.kind == EventKind::ParticipantJoined).count();
    let departures = log.iter().filter(|event| event.draft.kind == EventKind::ParticipantLeft);
    (arrivals, departures.map(|event| event.draft.reason.clone()).collect())
}

fn blocked() -> Option<String> {
    Some("blocked".to_owned())
}

#[tokio::test]
async fn blocked_participant_is_out_whenever_it_connects() {
    for loses_webhooks in [false, true] {
        let (fixture, stream) = connected().await;
        block(&fixture, &stream, None).await;
        assert!(!is_in_room(&fixture));
        fixture.deliver_webhooks().await;
        for attempt in 2..5 {
            fixture.livekit.connect(ROOM, "ann");
            if loses_webhooks {
                fixture.livekit.take_webhooks();
                fixture.livekit.advance(LISTING_GRACE);
                assert!(fixture.reconcile().await > 0);
            } else {
                fixture.deliver_webhooks().await;
            }
            assert!(!is_in_room(&fixture));
            assert_eq!(told(&fixture, &stream).await, (attempt, vec![blocked(); attempt]));
            fixture.deliver_webhooks().await;
        }
        let caller = Caller::unrestricted();
        fixture.orchestrator.unblock(&caller, &stream, identity("ann"), Guard::default()).await.unwrap();
        fixture.livekit.connect(ROOM, "ann");
        fixture.deliver_webhooks().await;
        fixture.livekit.advance(LISTING_GRACE);
        assert_eq!((fixture.reconcile().await, is_in_room(&fixture)), (0, true));
    }
}

#[tokio::test]
async fn block_holds_once_recorded_also_while_livekit_is_away() {
    let (fixture, stream) = connected().await;
    fixture.livekit.set_available(false);
    block(&fixture, &stream, None).await;
    assert_eq!(told(&fixture, &stream).await, (1, vec![]), "no departure before LiveKit has removed ann");
    let join = JoinRequest {
        identity: identity("ann"),
        name: None,
        role: None,
        metadata: None,
        attributes: None,
        dedup_key: None,
    };
    let refused = fixture.orchestrator.join(&Caller::unrestricted(), &stream, join).await.err().unwrap();
    assert!(matches!(refused, Error::Store(StoreError::Rejected(Rejection::Blocked))), "{refused}");
    fixture.livekit.set_available(true);
    fixture.livekit.advance(LISTING_GRACE);
    assert!(fixture.reconcile().await > 0);
    assert!(!is_in_room(&fixture));
    assert_eq!(told(&fixture, &stream).await, (1, vec![blocked()]));
    fixture.livekit.take_webhooks();
    fixture.livekit.advance(LISTING_GRACE);
    assert_eq!(fixture.reconcile().await, 0);
}

#[tokio::test]
async fn identity_is_blocked_before_it_comes() {
    let fixture = Fixture::new();
    let stream = fixture.create(ROOM).await.reference();
    block(&fixture, &stream, None).await;
    fixture.livekit.connect(ROOM, "ann");
    fixture.deliver_webhooks().await;
    assert!(!is_in_room(&fixture));
    assert_eq!(told(&fixture, &stream).await, (1, vec![blocked()]));
}

#[tokio::test]
async fn block_ends_by_itself() {
    let (fixture, stream) = connected().await;
    block(&fixture, &stream, Some(Duration::from_secs(60))).await;
    fixture.deliver_webhooks().await;
    fixture.orchestrator.sweep().await.unwrap();
    assert!(fixture.store.block(stream.id, "ann").await.unwrap().is_some());
    fixture.livekit.advance(Duration::from_secs(61));
    fixture.orchestrator.sweep().await.unwrap();
    assert!(fixture.store.block(stream.id, "ann").await.unwrap().is_none());
    fixture.livekit.connect(ROOM, "ann");
    fixture.deliver_webhooks().await;
    assert!(is_in_room(&fixture));
}
