//! Resets whose first attempts fail, over restarts and further events.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::Ordering;

use livestream_orchestrator::domain::StreamRef;

use super::{SMALL_LOGS, fixture::Fixture};

/// Longer than the delay after each of the first attempts, in seconds.
const NEXT_ATTEMPT: i64 = 7 * 3_600;

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

#[tokio::test]
async fn repeats_of_a_reset_of_all_streams_have_its_id_and_cursor() {
    let fixture = Fixture::start(SMALL_LOGS, 500).await;
    fixture.begin().await;
    let stream = fixture.backend.create("busy").await.reference();
    for n in 1..=600 {
        fixture.change(&stream, n).await;
    }
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
