//! Metrics of one subscriber.

use std::sync::Arc;

use prometheus::IntCounter;

use super::transport::Transport;
use crate::telemetry::Metrics;

/// Guard that counts a subscriber from creation to drop and caches its delivery counters.
pub(super) struct SubscriberMetrics {
    pub(super) transport: Transport,
    pub(super) delivered: IntCounter,
    pub(super) delivered_bytes: IntCounter,
    metrics: Arc<Metrics>,
}

impl SubscriberMetrics {
    pub(super) fn new(metrics: Arc<Metrics>, transport: Transport) -> Self {
        let label = [transport.as_str()];
        metrics.subscribers.with_label_values(&label).inc();
        let delivered = metrics.delivered.with_label_values(&label);
        let delivered_bytes = metrics.delivered_bytes.with_label_values(&label);
        Self { transport, delivered, delivered_bytes, metrics }
    }
}

impl Drop for SubscriberMetrics {
    fn drop(&mut self) {
        self.metrics.subscribers.with_label_values(&[self.transport.as_str()]).dec();
    }
}
