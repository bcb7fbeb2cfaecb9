//! What the API shows of the deliveries to an endpoint, in all partitions together.

use std::time::Duration;

use super::progress::{LastAnswer, Progress};
use crate::domain::{Endpoint, Timestamp};

/// An endpoint and its deliveries.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Number of events that the endpoint has not got.
    pub lag_events: u64,
    /// Age of the first of them.
    pub lag: Duration,
    /// The last answer.
    pub last_answer: Option<LastAnswer>,
    /// Since when attempts have failed and none has succeeded.
    pub failing_since: Option<Timestamp>,
}

impl Overview {
    pub(super) fn new(endpoint: Endpoint, of_partitions: &[Progress], now: Timestamp) -> Self {
        let oldest = of_partitions.iter().filter_map(|progress| progress.oldest).min();
        let answers = of_partitions.iter().filter_map(|progress| progress.last_answer);
        Self {
            endpoint,
            lag_events: of_partitions.iter().map(|progress| progress.lag_events).sum(),
            lag: oldest.map_or(Duration::ZERO, |oldest| oldest.until(now)),
            last_answer: answers.max_by_key(|answer| answer.at),
            failing_since: of_partitions.iter().filter_map(|progress| progress.failing_since).min(),
        }
    }
}

/// Numbers of endpoints, for `/health`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// All endpoints.
    pub endpoints: usize,
    /// Those that get no deliveries.
    pub disabled: usize,
}
