//! Clients that stall in the middle of a page of the log, beside one that reads.

use futures_util::future::join_all;

use super::{BUDGET, Fixture};
use crate::support::{
    eventually,
    feed_client::Transport,
    recording::{ReconnectDelay, RecordingClient},
};

/// Clients that each keep a page of the log, which ends after 1 MiB: together more than the budget. The rest fits after
/// about half of them have ended.
const STALLED: u64 = 100;
/// The log has several pages.
const EVENTS: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_clients_above_the_budget_are_disconnected_and_readers_are_not() {
    let fixture = Fixture::start(10, 10).await;
    let filling = "x".repeat(50_000);
    for number in 0..EVENTS {
        fixture.change(number, &filling).await;
    }
    let address = vec![fixture.instance.address()];
    let mut reader = RecordingClient::start(address, Transport::Sse, None, ReconnectDelay::Minimal).await;
    let silent = join_all((0..STALLED).map(|_| fixture.open_silent_sse("limit=1000"))).await;
    let overflows = || fixture.metric("lso_queue_overflows_total{transport=\"sse\"}");
    let waiting = || fixture.metric("lso_waiting_bytes");
    eventually("disconnects", || async { (overflows().await > 0).then_some(()) }).await;
    eventually("a sum below the budget", || async { (waiting().await <= BUDGET).then_some(()) }).await;
    for number in 0..5 {
        fixture.change(number, "small").await;
    }
    reader.wait_for("the changes", |recording| recording.messages.len() >= 5).await;
    assert_eq!(reader.recording().disconnects, 0, "a client that reads is not disconnected");
    let overflows = overflows().await;
    assert!(overflows < STALLED * 3 / 4, "{overflows} of {STALLED} clients are disconnected");
    drop(silent);
    // The reader has read what it shared with them.
    fixture.wait_for_release().await;
}
