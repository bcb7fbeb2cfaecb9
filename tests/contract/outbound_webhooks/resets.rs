//! Resets whose first attempts fail, over restarts and further events.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::Ordering;

use livestream_orchestrator::domain::StreamRef;

use super::{SMALL_LOGS, fixture::Fixture};
use crate::support::endpoint::Received;

/// Longer than the delay after each of the first attempts, in seconds.
const NEXT_ATTEMPT: i64 = 7 * 3_600;

/// Starts with a stream whose 600 changes do not fit into the log of all streams.
async fn start_with_lost_events() -> (Fixture, StreamRef) {
    let fixture = Fixture::start(SMALL_LOGS, 500).await;
    fixture.begin().await;
    let stream = fixture.backend.create("busy").await.reference();
    for n in 1..=600 {
        fixture.change(&stream, n).await;
    }
    (fixture, stream)
}

/// The log has lost events of a stream with a number of changes. The endpoint refuses two attempts at the reset,
/// between which the stream changes, and then gets everything. Each attempt is made by another sender.
async fn refuse_two_resets(fixture: &Fixture, stream: &StreamRef, changes: usize) {
    let before = fixture.client.bodies().len();
    fixture.run_until_received(before + 1).await;
    fixture.change(stream, changes + 1).await;
    fixture.advance(NEXT_ATTEMPT);
    fixture.run_until_received(before + 2).await;
    fixture.client.status.store(200, Ordering::Relaxed);
    fixture.advance(NEXT_ATTEMPT);
    fixture.run_until_received(before + 4).await;
    let received = fixture.client.received();
    assert_eq!(received.len(), before + 4);
    let (first, repeats) = (&received[before], &received[before + 1..before + 3]);
    assert_eq!(first.kind(), "reset");
    assert!(repeats.iter().all(|one| (&one.id, &one.body) == (&first.id, &first.body)), "{received:?}");
    // An endpoint that ignores the repeats misses nothing: what follows the first attempt follows the reset.
    assert_eq!(received[before + 3].json()["data"]["stream"]["metadata"]["n"], changes + 1);
}

/// The endpoint refuses the first attempt at a reset. Then the log loses what follows the cursor of that reset, too,
/// and the endpoint accepts everything.
async fn accept_reset_after_another_loss(fixture: &Fixture, stream: &StreamRef, changes: usize) {
    let before = fixture.client.bodies().len();
    fixture.run_until_received(before + 1).await;
    for n in changes + 1..=2 * changes {
        fixture.change(stream, n).await;
        // A log keeps more than its minimum of one moment.
        fixture.advance(1);
    }
    fixture.client.status.store(200, Ordering::Relaxed);
    fixture.advance(NEXT_ATTEMPT);
    fixture.run_until_received(before + 2).await;
    fixture.change(stream, 2 * changes + 1).await;
    fixture.run_until_received(before + 3).await;
    let received = fixture.client.received().split_off(before);
    let kinds: Vec<_> = received.iter().map(Received::kind).collect();
    assert_eq!(kinds, ["reset", "reset", "stream_updated"], "one accepted reset");
    assert_ne!(
        received[0].id, received[1].id,
        "an endpoint that has seen the first one must not ignore the second"
    );
    assert_eq!(received[2].json()["data"]["stream"]["metadata"]["n"], 2 * changes + 1);
}

#[tokio::test]
async fn accepted_reset_of_all_streams_is_followed_by_events_after_another_loss() {
    let (fixture, stream) = start_with_lost_events().await;
    accept_reset_after_another_loss(&fixture, &stream, 600).await;
}

#[tokio::test]
async fn accepted_reset_of_one_stream_is_followed_by_events_after_another_loss() {
    let fixture = Fixture::start(SMALL_LOGS, 500).await;
    fixture.begin().await;
    let stream = fixture.backend.create("busy").await.reference();
    fixture.run_until_received(1).await;
    for n in 1..=10 {
        fixture.change(&stream, n).await;
        fixture.advance(1);
    }
    fixture.advance(NEXT_ATTEMPT);
    accept_reset_after_another_loss(&fixture, &stream, 10).await;
    assert!(fixture.client.bodies()[2]["streamId"].is_string());
}

#[tokio::test]
async fn repeats_of_a_reset_of_all_streams_have_its_id_and_cursor() {
    let (fixture, stream) = start_with_lost_events().await;
    refuse_two_resets(&fixture, &stream, 600).await;
}

#[tokio::test]
async fn repeats_of_a_reset_of_one_stream_have_its_id_and_cursor() {
    let fixture = Fixture::start(SMALL_LOGS, 500).await;
    fixture.begin().await;
    let stream = fixture.backend.create("busy").await.reference();
    // The stream falls behind, and its own log loses what follows.
    fixture.run_until_received(1).await;
    for n in 1..=10 {
        fixture.change(&stream, n).await;
    }
    fixture.advance(NEXT_ATTEMPT);
    refuse_two_resets(&fixture, &stream, 10).await;
    assert!(fixture.client.bodies()[1]["streamId"].is_string());
}
