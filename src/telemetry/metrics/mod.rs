//! Prometheus metrics of one instance.
//!
//! Totals of the whole service (streams by status, participants) are read from the store at each scrape, so every
//! instance reports the same values.
//!
//! Labels never take a value that a client controls: routes are templates, calls and outcomes are constants of this
//! crate.

mod families;
mod registry;
mod text;

use std::{future::Future, time::Instant};

use prometheus::HistogramVec;

pub use self::{
    families::{Metrics, log_lines_lost},
    text::ServiceTotals,
};

impl Metrics {
    /// Awaits a Redis call, and records its duration and the kind of its failure.
    ///
    /// Cancellation safe: a dropped call is not recorded.
    pub async fn timed_redis<T, E>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<T, E>>,
        kind: impl FnOnce(&E) -> &'static str,
    ) -> Result<T, E> {
        let result = timed(&self.redis_duration, call, answer).await;
        if let Err(error) = &result {
            self.redis_errors.with_label_values(&[call, kind(error)]).inc();
        }
        result
    }

    /// Awaits a LiveKit call, and records its duration and whether it failed.
    ///
    /// Cancellation safe: a dropped call is not recorded.
    pub async fn timed_livekit<T, E>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let result = timed(&self.livekit_duration, call, answer).await;
        if result.is_err() {
            self.livekit_errors.with_label_values(&[call]).inc();
        }
        result
    }
}

async fn timed<T>(duration: &HistogramVec, call: &'static str, answer: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let result = answer.await;
    duration.with_label_values(&[call]).observe(started.elapsed().as_secs_f64());
    result
}
