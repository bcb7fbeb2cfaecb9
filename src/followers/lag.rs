//! How far a job is behind the log, in the metrics.

use std::{sync::Arc, time::Duration};

use crate::{domain::Partition, store::Job, telemetry::Metrics};

/// The lag of one job in one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Number of events that the job has not processed.
    pub events: u64,
    /// Age of the first of them.
    pub age: Duration,
}

/// Shows the lag of a job while this instance runs it.
pub struct LagGauges {
    metrics: Arc<Metrics>,
    labels: [String; 2],
}

impl LagGauges {
    /// Shows nothing yet.
    pub fn new(metrics: Arc<Metrics>, job: Job, partition: Partition) -> Self {
        Self { metrics, labels: [job.as_str().to_owned(), partition.number().to_string()] }
    }

    /// Shows a lag; `None` when another instance may run the job, which then shows it.
    pub fn show(&self, lag: Option<Lag>) {
        let labels = self.labels.each_ref().map(String::as_str);
        let (events, seconds) = (&self.metrics.follower_lag_events, &self.metrics.follower_lag_seconds);
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        match lag {
            Some(Lag { events: count, age }) => {
                events.with_label_values(&labels).set(number(count));
                seconds.with_label_values(&labels).set(number(age.as_secs()));
            }
            None => {
                let _ = (events.remove_label_values(&labels), seconds.remove_label_values(&labels));
            }
        }
    }
}
