//! Effects of a reconciliation with LiveKit, and differences that it must not act on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    access::Caller,
    domain::{MetadataPatch, StreamStatus, TrackSource},
    orchestrator::{Error, Patch},
    store::StreamStore,
};

use super::{
    fake_livekit::POLICY,
    instance::{Fixture, LISTING_GRACE},
};

#[tokio::test]
async fn reconciliation_without_livekit_changes_nothing() {
    let fixture = Fixture::new();
    let stream = fixture.create("room").await;
    fixture.livekit.connect("room", "ann");
    fixture.deliver_webhooks().await;
    let before = fixture.current(&stream).await;
    fixture.livekit.lose_room("room");
    fixture.livekit.set_available(false);
    for _ in 0..5 {
        fixture.livekit.advance(LISTING_GRACE);
        let failed = fixture.orchestrator.reconcile(Duration::ZERO).await;
        assert!(matches!(failed, Err(Error::Rooms(_))), "{failed:?}");
    }
    assert_eq!(fixture.current(&stream).await, before);
    fixture.livekit.set_available(true);
    // A room with a participant must be missing from two listings.
    assert_eq!(fixture.reconcile().await, 0);
    fixture.livekit.advance(LISTING_GRACE);
    assert_eq!(fixture.reconcile().await, 1);
    let after = fixture.current(&stream).await;
    assert_eq!((after.status, after.reason.as_deref()), (StreamStatus::Stopped, Some("room_gone")));
}

#[tokio::test]
async fn empty_listing_seen_twice_stops_streams() {
    let fixture = Fixture::new();
    let streams = [fixture.create("one").await, fixture.create("two").await, fixture.create("three").await];
    fixture.livekit.advance(LISTING_GRACE);
    for room in ["one", "two", "three"] {
        fixture.livekit.lose_room(room);
    }
    let held_back = async || {
        let report = fixture.orchestrator.reconcile(Duration::ZERO).await.unwrap().unwrap();
        report.held_back && report.repairs() == 0
    };
    assert!(held_back().await);
    // A second listing at once, as by a starting instance, does not confirm the first.
    assert!(held_back().await);
    fixture.livekit.advance(Duration::from_secs(30));
    assert!(!held_back().await);
    for stream in &streams {
        assert_eq!(fixture.current(stream).await.status, StreamStatus::Stopped);
    }
}

#[tokio::test]
async fn empty_listing_seen_once_stops_nothing() {
    let fixture = Fixture::new();
    let streams = [fixture.create("one").await, fixture.create("two").await];
    fixture.livekit.advance(LISTING_GRACE);
    let rooms = ["one", "two"].map(|room| fixture.livekit.hide_room(room));
    assert!(fixture.orchestrator.reconcile(Duration::ZERO).await.unwrap().unwrap().held_back);
    for (name, room) in rooms {
        fixture.livekit.show_room(&name, room);
    }
    fixture.livekit.advance(Duration::from_secs(30));
    assert_eq!(fixture.reconcile().await, 0);
    // The first empty listing no longer counts.
    for room in ["one", "two"] {
        fixture.livekit.lose_room(room);
    }
    fixture.livekit.advance(Duration::from_secs(30));
    assert!(fixture.orchestrator.reconcile(Duration::ZERO).await.unwrap().unwrap().held_back);
    for stream in &streams {
        assert_eq!(fixture.current(stream).await.status, StreamStatus::Active);
    }
}

#[tokio::test]
async fn default_limit_of_livekit_is_learned_once() {
    let fixture = Fixture::new();
    fixture.livekit.set_default_limit(50);
    for (room, opened) in [("one", 2), ("two", 3), ("three", 4)] {
        assert_eq!(fixture.create(room).await.status, StreamStatus::Active);
        assert_eq!(fixture.livekit.rooms_created(), opened, "{room}: only the first room is created twice");
    }
}

#[tokio::test]
async fn occupied_room_missing_once_keeps_its_stream_active() {
    let fixture = Fixture::new();
    let (stream, other) = (fixture.create("room").await, fixture.create("other").await);
    fixture.livekit.connect("room", "ann");
    fixture.deliver_webhooks().await;
    fixture.livekit.advance(LISTING_GRACE);
    let missing = fixture.livekit.hide_room("room");
    for wait in [0, 9] {
        fixture.livekit.advance(Duration::from_secs(wait));
        let report = fixture.orchestrator.reconcile(Duration::ZERO).await.unwrap().unwrap();
        assert!(report.is_unfinished() && report.repairs() == 0, "{report:?}");
    }
    fixture.livekit.show_room("room", missing.1.clone());
    assert_eq!(fixture.reconcile().await, 0);
    // The listing in between had the room, so two further listings are needed.
    fixture.livekit.hide_room("room");
    fixture.livekit.advance(LISTING_GRACE);
    assert_eq!(fixture.reconcile().await, 0);
    assert_eq!(fixture.current(&stream).await.status, StreamStatus::Active);
    fixture.livekit.advance(LISTING_GRACE);
    assert_eq!(fixture.reconcile().await, 1);
    assert_eq!(fixture.current(&stream).await.reason.as_deref(), Some("room_gone"));
    assert_eq!(fixture.current(&other).await.status, StreamStatus::Active);
}

#[tokio::test]
async fn undecided_difference_is_reconciled_before_the_interval() {
    let fixture = Fixture::new();
    let stream = fixture.create("room").await;
    fixture.livekit.connect("room", "ann");
    fixture.deliver_webhooks().await;
    fixture.livekit.disconnect("room", "ann");
    // The webhook is lost, and the record is more recent than the delay of listings.
    fixture.livekit.take_webhooks();
    let hour = Duration::from_secs(3_600);
    assert!(fixture.orchestrator.reconcile(hour).await.unwrap().unwrap().is_unfinished());
    assert_eq!(fixture.current(&stream).await.participant_count(), 1);
    assert!(
        fixture.orchestrator.reconcile(hour).await.unwrap().is_none(),
        "the difference cannot be decided yet"
    );
    fixture.livekit.advance(POLICY.listing_grace + Duration::from_millis(1));
    let report = fixture.orchestrator.reconcile(hour).await.unwrap().expect("the difference can be decided");
    assert!(!report.is_unfinished() && report.repairs() == 1, "{report:?}");
    assert_eq!(fixture.current(&stream).await.participant_count(), 0);
    fixture.livekit.advance(hour - Duration::from_secs(60));
    assert!(
        fixture.orchestrator.reconcile(hour).await.unwrap().is_none(),
        "the next reconciliation is at the interval"
    );
}

#[tokio::test]
async fn missing_room_stops_only_its_stream() {
    let fixture = Fixture::new();
    let (gone, stays) = (fixture.create("gone").await, fixture.create("stays").await);
    fixture.livekit.advance(LISTING_GRACE);
    fixture.livekit.lose_room("gone");
    assert_eq!(fixture.reconcile().await, 1);
    assert_eq!(fixture.current(&gone).await.status, StreamStatus::Stopped);
    assert_eq!(fixture.current(&stays).await.status, StreamStatus::Active);
}

#[tokio::test]
async fn missing_room_of_new_stream_changes_nothing() {
    let fixture = Fixture::new();
    let stream = fixture.create("room").await;
    fixture.livekit.lose_room("room");
    assert_eq!(fixture.reconcile().await, 0, "the listing may be older than the room");
    assert_eq!(fixture.current(&stream).await.status, StreamStatus::Active);
}

#[tokio::test]
async fn metadata_that_livekit_missed_is_sent_by_reconciliation() {
    let fixture = Fixture::new();
    let stream = fixture.create("room").await;
    fixture.livekit.set_available(false);
    let patch =
        Patch { metadata: Some(MetadataPatch::parse(r#"{"title":"later"}"#).unwrap()), ..Patch::default() };
    fixture.orchestrator.patch(&Caller::unrestricted(), stream, patch).await.unwrap();
    fixture.livekit.set_available(true);
    assert_eq!(fixture.livekit.room_state("room").unwrap().metadata, "{}");
    assert_eq!(fixture.reconcile().await, 1);
    assert_eq!(fixture.livekit.room_state("room").unwrap().metadata, r#"{"title":"later"}"#);
    assert_eq!(fixture.reconcile().await, 0);
}

#[tokio::test]
async fn missed_track_is_added_by_reconciliation() {
    let fixture = Fixture::new();
    let stream = fixture.create("room").await;
    fixture.livekit.connect("room", "ann");
    fixture.deliver_webhooks().await;
    fixture.livekit.publish("room", "ann", TrackSource::Camera);
    fixture.livekit.take_webhooks();
    fixture.livekit.advance(LISTING_GRACE);
    assert_eq!(fixture.reconcile().await, 1);
    let ann = fixture.store.participant(stream.id, "ann").await.unwrap().unwrap();
    assert_eq!(ann.tracks.as_slice()[0].source, TrackSource::Camera);
    assert_eq!(fixture.reconcile().await, 0);
}

#[tokio::test]
async fn reconcile_interval_is_shared_by_instances() {
    let fixture = Fixture::new();
    let every = Duration::from_secs(30);
    let other = fixture.livekit.orchestrator(fixture.store.clone());
    assert!(fixture.orchestrator.reconcile(every).await.unwrap().is_some());
    assert!(other.reconcile(every).await.unwrap().is_none());
    fixture.livekit.advance(every);
    assert!(other.reconcile(every).await.unwrap().is_some());
    assert!(fixture.orchestrator.reconcile(every).await.unwrap().is_none());
}

#[tokio::test]
async fn failed_listing_of_one_room_does_not_stop_repair_of_others() {
    let fixture = Fixture::new();
    let streams = [fixture.create("broken").await, fixture.create("whole").await];
    for room in ["broken", "whole"] {
        fixture.livekit.connect(room, "ann");
    }
    // The webhooks are lost.
    fixture.livekit.take_webhooks();
    fixture.livekit.fail_listings_of("broken");
    let report = fixture.orchestrator.reconcile(Duration::ZERO).await.unwrap().unwrap();
    assert_eq!((report.failed, report.repairs()), (1, 1));
    assert_eq!(fixture.current(&streams[0]).await.participant_count(), 0);
    assert_eq!(fixture.current(&streams[1]).await.participant_count(), 1);
}

/// LiveKit's clock is ahead at the first connection, and correct at the second.
#[tokio::test]
async fn clock_of_livekit_stepping_back_does_not_hide_reconnected_participant() {
    let fixture = Fixture::new();
    let stream = fixture.create("room").await;
    fixture.livekit.set_clock_offset(50_000);
    fixture.livekit.connect("room", "ann");
    fixture.deliver_webhooks().await;
    fixture.livekit.set_clock_offset(0);
    fixture.livekit.disconnect("room", "ann");
    fixture.livekit.connect("room", "ann");
    fixture.deliver_webhooks().await;
    fixture.livekit.advance(LISTING_GRACE);
    assert_eq!(fixture.reconcile().await, 1);
    assert_eq!(fixture.current(&stream).await.participant_count(), 1);
}
