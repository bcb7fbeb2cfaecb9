//! Blocks with a fake LiveKit: older tokens, lost webhooks, a LiveKit that does not answer, hidden participants.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    access::Caller,
    domain::{Rejection, StreamRef},
    orchestrator::{BlockRequest, Error},
    store::{Guard, StoreError, StreamStore},
};

use super::room::{ROOM, in_room, join, reason, told};
use crate::{
    backend::identity,
    instance::{Fixture, LISTING_GRACE},
};

/// A stream in which `ann` is connected.
async fn connected() -> (Fixture, StreamRef) {
    let fixture = Fixture::new();
    let stream = fixture.create(ROOM).await.reference();
    fixture.livekit.connect(ROOM, "ann");
    fixture.deliver_webhooks().await;
    (fixture, stream)
}

async fn block(fixture: &Fixture, stream: &StreamRef, expires_in: Option<Duration>) {
    let request = BlockRequest { expires_in, ..BlockRequest::of(identity("ann")) };
    let caller = Caller::unrestricted();
    let block = fixture.orchestrator.block(&caller, stream, request).await.unwrap();
    assert_eq!(block.identity, identity("ann"));
}

#[tokio::test]
async fn blocked_participant_is_out_whenever_it_connects() {
    for loses_webhooks in [false, true] {
        let (fixture, stream) = connected().await;
        block(&fixture, &stream, None).await;
        assert_eq!(in_room(&fixture), [""; 0]);
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
            assert_eq!(in_room(&fixture), [""; 0]);
            assert_eq!(told(&fixture, &stream).await, (attempt, vec![reason("blocked"); attempt]));
            fixture.deliver_webhooks().await;
        }
        let caller = Caller::unrestricted();
        fixture.orchestrator.unblock(&caller, &stream, identity("ann"), Guard::default()).await.unwrap();
        fixture.livekit.connect(ROOM, "ann");
        fixture.deliver_webhooks().await;
        fixture.livekit.advance(LISTING_GRACE);
        assert_eq!((fixture.reconcile().await, in_room(&fixture).len()), (0, 1));
    }
}

#[tokio::test]
async fn block_holds_once_recorded_also_while_livekit_is_away() {
    let (fixture, stream) = connected().await;
    fixture.livekit.set_available(false);
    block(&fixture, &stream, None).await;
    assert_eq!(told(&fixture, &stream).await, (1, vec![]), "no departure before LiveKit has removed ann");
    let refused = join(&fixture, &stream).await.err().unwrap();
    assert!(matches!(refused, Error::Store(StoreError::Rejected(Rejection::Blocked))), "{refused}");
    fixture.livekit.set_available(true);
    fixture.livekit.advance(LISTING_GRACE);
    assert!(fixture.reconcile().await > 0);
    assert_eq!(in_room(&fixture), [""; 0]);
    assert_eq!(told(&fixture, &stream).await, (1, vec![reason("blocked")]));
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
    assert_eq!(in_room(&fixture), [""; 0]);
    assert_eq!(told(&fixture, &stream).await, (1, vec![reason("blocked")]));
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
    assert_eq!(in_room(&fixture), ["ann"]);
}

#[tokio::test]
async fn blocked_hidden_participant_is_out_without_an_event() {
    for loses_webhooks in [false, true] {
        let fixture = Fixture::new();
        let stream = fixture.create(ROOM).await.reference();
        fixture.livekit.connect_hidden(ROOM, "ann");
        fixture.deliver_webhooks().await;
        assert!(fixture.store.unlisted(stream.id, "ann").await.unwrap().is_some());
        block(&fixture, &stream, None).await;
        fixture.deliver_webhooks().await;
        assert_eq!(in_room(&fixture), [""; 0]);
        assert!(fixture.store.unlisted(stream.id, "ann").await.unwrap().is_none());
        // It comes back with its token.
        fixture.livekit.connect_hidden(ROOM, "ann");
        if loses_webhooks {
            fixture.livekit.take_webhooks();
            fixture.livekit.advance(LISTING_GRACE);
            assert!(fixture.reconcile().await > 0);
        } else {
            fixture.deliver_webhooks().await;
        }
        assert_eq!(in_room(&fixture), [""; 0]);
        fixture.deliver_webhooks().await;
        assert!(fixture.store.unlisted(stream.id, "ann").await.unwrap().is_none());
        assert_eq!(told(&fixture, &stream).await, (0, vec![]));
    }
}

#[tokio::test]
async fn reconciler_excludes_many_blocked_participants() {
    let fixture = Fixture::new();
    let stream = fixture.create(ROOM).await.reference();
    let blocked: Vec<_> = (0..40).map(|n| format!("p-{n}")).collect();
    fixture.livekit.set_available(false);
    for who in &blocked {
        let request = BlockRequest::of(identity(who));
        fixture.orchestrator.block(&Caller::unrestricted(), &stream, request).await.unwrap();
    }
    fixture.livekit.set_available(true);
    blocked.iter().map(String::as_str).chain(["ann"]).for_each(|who| fixture.livekit.connect(ROOM, who));
    fixture.livekit.take_webhooks();
    fixture.livekit.advance(LISTING_GRACE);
    fixture.reconcile().await;
    assert_eq!(in_room(&fixture), ["ann"]);
    assert_eq!(told(&fixture, &stream).await, (41, vec![reason("blocked"); 40]));
}
