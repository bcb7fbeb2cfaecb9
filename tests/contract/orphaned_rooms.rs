//! Rooms that are opened again after the end of their streams, and rooms without a stream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{access::Caller, domain::StreamStatus, orchestrator::Outcome, store::Guard};

use super::instance::{Fixture, LISTING_GRACE};

#[tokio::test]
async fn rooms_without_a_stream_are_not_deleted() {
    let fixture = Fixture::new();
    fixture.create("ours").await;
    fixture.livekit.connect("theirs", "ann");
    assert!(fixture.deliver_webhooks().await.iter().all(|outcome| *outcome == Outcome::Ignored));
    fixture.livekit.advance(LISTING_GRACE);
    fixture.reconcile().await;
    assert_eq!(fixture.livekit.rooms(), ["ours", "theirs"]);
    assert_eq!(fixture.livekit.room_state("theirs").unwrap().present.len(), 1);
}

#[tokio::test]
async fn room_reopened_after_stop_is_deleted() {
    for webhooks_arrive in [true, false] {
        let fixture = Fixture::new();
        let stream = fixture.create("room").await;
        fixture.livekit.connect("room", "ann");
        fixture.deliver_webhooks().await;
        fixture.orchestrator.stop(&Caller::unrestricted(), &stream, Guard::default()).await.unwrap();
        fixture.deliver_webhooks().await;
        // With a token that was issued before the stop.
        fixture.livekit.connect("room", "ann");
        let webhooks = fixture.livekit.take_webhooks();
        if webhooks_arrive {
            for webhook in webhooks {
                fixture.orchestrator.process(webhook).await.unwrap();
            }
        } else {
            assert_eq!(fixture.reconcile().await, 1);
        }
        assert!(fixture.livekit.rooms().is_empty());
        let after = fixture.current(&stream).await;
        assert_eq!((after.status, after.participant_count()), (StreamStatus::Stopped, 0));
        // The room of a new stream of that name is not orphaned.
        let next = fixture.create("room").await;
        fixture.livekit.connect("room", "ann");
        fixture.deliver_webhooks().await;
        fixture.livekit.advance(LISTING_GRACE);
        assert_eq!(fixture.reconcile().await, 0);
        assert_eq!(fixture.current(&next).await.participant_count(), 1);
    }
}

#[tokio::test]
async fn room_reopened_after_token_expiry_is_not_deleted() {
    let fixture = Fixture::new();
    let stream = fixture.create("room").await;
    fixture.orchestrator.stop(&Caller::unrestricted(), &stream, Guard::default()).await.unwrap();
    fixture.livekit.take_webhooks();
    fixture.livekit.advance(Duration::from_secs(700));
    fixture.livekit.connect("room", "ann");
    fixture.deliver_webhooks().await;
    fixture.reconcile().await;
    assert_eq!(fixture.livekit.rooms(), ["room"]);
}
