//! Responses that clients do not read.

use futures_util::future::join_all;
use tokio::{io::AsyncReadExt, net::TcpStream};

use super::{BUDGET, Fixture, METADATA_BYTES};
use crate::support::{eventually, within};

/// Clients that each ask for a page of 1 MiB: together more than the budget.
const SILENT: usize = 100;
/// Streams of a page.
const STREAMS: usize = 17;

/// Reads until the connection ends, and returns whether the response is complete.
async fn read_is_complete(mut connection: TcpStream) -> bool {
    let mut received = Vec::new();
    // A connection that the server has ended can also be reset.
    let _end = within("the end of a connection", connection.read_to_end(&mut received)).await;
    received.ends_with(b"]")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_responses_above_the_budget_are_released_and_the_rest_is_complete() {
    let fixture = Fixture::start(STREAMS, METADATA_BYTES).await;
    let silent = join_all((0..SILENT).map(|_| fixture.open_silent_get("/streams"))).await;
    let overflows = || fixture.metric("lso_queue_overflows_total{transport=\"http\"}");
    let waiting = || fixture.metric("lso_waiting_bytes");
    eventually("released responses", || async { (overflows().await > 0).then_some(()) }).await;
    eventually("a sum below the budget", || async { (waiting().await <= BUDGET).then_some(()) }).await;
    assert_eq!(fixture.documents().await.len(), STREAMS, "a client that reads gets its response");
    let complete = join_all(silent.into_iter().map(read_is_complete)).await;
    let cut = complete.iter().filter(|complete| !**complete).count();
    assert_eq!(cut as u64, overflows().await, "only released responses are incomplete");
    assert!(cut < SILENT * 3 / 4, "{cut} of {SILENT} responses are released");
    fixture.wait_for_release().await;
}
