//! The stop of an instance whose database hangs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use livestream_orchestrator::{
    domain::Partitioning,
    history::{DatabaseAddress, History, open},
    telemetry::Metrics,
};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::backend::{Backend, RETENTION};

/// A call of a database that hangs ends after seconds, before or after the first probe. The clock of this test goes on
/// only while all tasks wait.
#[tokio::test(start_paused = true)]
async fn stop_does_not_wait_for_a_database_that_hangs() {
    crate::support::install_crypto_provider();
    // It accepts connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://{}/history", listener.local_addr().unwrap());
    let address = DatabaseAddress::parse(&url.into()).unwrap();
    for (prepares, seconds) in [(true, 1), (true, 6), (false, 1), (false, 6), (false, 9)] {
        let history = History::new(open(&address), None, Arc::new(Metrics::new().unwrap()));
        let (stop, followed) = (CancellationToken::new(), Backend::memory(RETENTION).followed);
        let stopped = stop.clone();
        let running = tokio::spawn(async move {
            if !prepares || history.prepare(&stopped).await.unwrap() {
                history.run(Partitioning::SINGLE, followed, stopped).await;
            }
        });
        sleep(Duration::from_secs(seconds)).await;
        assert!(!running.is_finished());
        let asked_at = Instant::now();
        stop.cancel();
        running.await.unwrap();
        assert_eq!(asked_at.elapsed(), Duration::ZERO, "after {seconds} s");
    }
}
