//! Clients in metrics.

use std::sync::Arc;

use prometheus::IntCounter;

use super::seat::Transport;
use crate::telemetry::Metrics;

/// A client that is counted for as long as it follows, with what it gets.
pub(super) struct Counted {
    pub(super) metrics: Arc<Metrics>,
    pub(super) transport: Transport,
    pub(super) delivered: IntCounter,
    pub(super) delivered_bytes: IntCounter,
}

impl Counted {
    pub(super) fn new(metrics: Arc<Metrics>, transport: Transport) -> Self {
        let label = [transport.as_str()];
        metrics.subscribers.with_label_values(&label).inc();
        let delivered = metrics.delivered.with_label_values(&label);
        let delivered_bytes = metrics.delivered_bytes.with_label_values(&label);
        Self { metrics, transport, delivered, delivered_bytes }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.subscribers.with_label_values(&[self.transport.as_str()]).dec();
    }
}
