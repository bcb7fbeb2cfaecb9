//! All metric families: name, labels and help text.

use std::sync::LazyLock;

use prometheus::{
    Error, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use super::registry::{Family, register};

/// Returns the counter of log lines that this process has lost; `None` if it cannot be created.
///
/// The log belongs to the process, so all instances in the process share this counter.
pub fn log_lines_lost() -> Option<&'static IntCounter> {
    static LOST: LazyLock<Option<IntCounter>> = LazyLock::new(|| {
        let help = "Log lines lost because standard error was not read fast enough or could not be written.";
        IntCounter::new("lso_log_lines_lost_total", help).ok()
    });
    LOST.as_ref()
}

/// Defines [`Metrics`] from a table: field, type, metric name, labels, help text. The help text is the field's doc
/// comment.
macro_rules! families {
    ($($field:ident: $family:ident = $name:literal [$($label:literal),*] $help:literal;)+) => {
        /// The metrics of one instance.
        pub struct Metrics {
            pub(super) registry: Registry,
            $(#[doc = $help] pub(crate) $field: $family,)+
        }

        impl Metrics {
            /// Creates the metrics in a registry of their own, so that one process can run several instances.
            ///
            /// # Errors
            /// Two families have the same name.
            pub fn new() -> Result<Self, Error> {
                let registry = Registry::new();
                if let Some(counter) = log_lines_lost() {
                    register(&registry, counter.clone())?;
                }
                Ok(Self {
                    $($field: register(&registry, $family::with_name($name, $help, &[$($label),*])?)?,)+
                    registry,
                })
            }
        }
    };
}

families! {
    http_requests: IntCounterVec = "lso_http_requests_total" ["route", "method", "status"]
        "Answered requests by route template, method and status.";
    http_duration: HistogramVec = "lso_http_request_duration_seconds" ["route", "method"]
        "Seconds until the answer began, by route template and method.";
    subscribers: IntGaugeVec = "lso_subscribers" ["transport"]
        "Open feeds by transport.";
    delivered: IntCounterVec = "lso_events_delivered_total" ["transport"]
        "Events and states sent to clients, by transport.";
    delivered_bytes: IntCounterVec = "lso_delivered_bytes_total" ["transport"]
        "Bytes of events and states sent to clients, by transport.";
    resumes: IntCounterVec = "lso_resumes_total" ["transport", "outcome"]
        "Feeds that resumed from a cursor, by transport and outcome: replayed, or the reason of the reset.";
    queue_overflows: IntCounterVec = "lso_queue_overflows_total" ["transport"]
        "Clients disconnected because their queue was full, by transport.";
    waiting_bytes: IntGauge = "lso_waiting_bytes" []
        "Bytes that wait for clients of this instance, counted for each client.";
    redis_duration: HistogramVec = "lso_redis_call_duration_seconds" ["call"]
        "Seconds that Redis calls took, by call.";
    redis_errors: IntCounterVec = "lso_redis_errors_total" ["call", "kind"]
        "Failed Redis calls by call and kind of failure.";
    livekit_duration: HistogramVec = "lso_livekit_call_duration_seconds" ["call"]
        "Seconds that LiveKit calls took, by call.";
    livekit_errors: IntCounterVec = "lso_livekit_errors_total" ["call"]
        "Failed LiveKit calls by call.";
    webhooks: IntCounterVec = "lso_webhooks_total" ["event", "outcome"]
        "Webhooks from LiveKit by event and outcome.";
    webhooks_refused: IntCounterVec = "lso_webhooks_refused_total" ["reason"]
        "Webhooks refused for their signature, by reason.";
    webhook_deliveries: IntCounterVec = "lso_webhook_deliveries_total" ["outcome"]
        "Attempts to deliver events to webhook endpoints by outcome: delivered, failed, gone or exhausted.";
    webhook_endpoints: IntGaugeVec = "lso_webhook_endpoints" ["state"]
        "Webhook endpoints by state (enabled, failing, disabled), as the instance that delivers sees them.";
    follower_lag_events: IntGaugeVec = "lso_follower_lag_events" ["job", "partition"]
        "Events of the log of all streams that a job of this instance has not processed.";
    follower_lag_seconds: IntGaugeVec = "lso_follower_lag_seconds" ["job", "partition"]
        "Age of the first event that a job of this instance has not processed, in seconds.";
    follower_failures: IntCounterVec = "lso_follower_failures_total" ["job", "kind"]
        "Failures of jobs that follow the log of all streams, by job and kind: store, or lost for missed events; \
         also database and unreadable for the job archive.";
    history_up: IntGaugeVec = "lso_history_up" ["database"]
        "1 while the database of the history answers this instance, else 0. Absent without a history.";
    feed_up: IntGauge = "lso_feed_up" []
        "1 while published events reach this instance, else 0.";
    partition_up: IntGaugeVec = "lso_partition_up" ["partition"]
        "With REDIS_PARTITIONS above 1: 1 while published events of the partition reach this instance, else 0.";
    partition_clock_behind: GaugeVec = "lso_partition_clock_behind_seconds" ["partition"]
        "With REDIS_PARTITIONS above 1: seconds by which the clock of the partition's master is behind the clock that \
         is furthest ahead.";
    feed_connects: IntCounter = "lso_feed_connects_total" []
        "Connections made for published events.";
    gaps: IntCounterVec = "lso_feed_gaps_total" ["found_by"]
        "Gaps in published events that were repaired from the log, by what found them.";
    repaired_events: IntCounter = "lso_feed_repaired_events_total" []
        "Events read from the log because their publication did not arrive.";
    resets: IntCounterVec = "lso_resets_total" ["reason"]
        "Resets sent to clients, by reason.";
    relay_lag: Histogram = "lso_relay_lag_seconds" []
        "Seconds from an event's time in the store to its delivery to the clients of this instance.";
    reconciliations: IntCounterVec = "lso_reconciliations_total" ["outcome"]
        "Reconciliations with LiveKit by outcome: done, held_back, failed or fenced.";
    reconcile_duration: Histogram = "lso_reconcile_duration_seconds" []
        "Seconds that reconciliations with LiveKit took.";
    repairs: IntCounterVec = "lso_reconcile_repairs_total" ["kind"]
        "Repairs made by reconciliations with LiveKit, by kind.";
    rooms_with_other_settings: IntGauge = "lso_rooms_with_other_settings" []
        "Rooms whose limits differ from those of their streams, at this instance's last reconciliation with LiveKit.";
    cleanups: IntCounterVec = "lso_cleanups_total" ["kind"]
        "Expiries and clean-ups by kind.";
    refused: IntCounterVec = "lso_requests_refused_total" ["reason"]
        "Calls refused before they are handled, by reason: the token's fault, forbidden, too_many_feeds, \
         too_many_reads, foreign_host, foreign_origin.";
    connections: IntGaugeVec = "lso_connections" ["port"]
        "Open connections by port: http, grpc, metrics.";
    connections_refused: IntCounterVec = "lso_connections_refused_total" ["port", "reason"]
        "Connections closed at once because a limit was reached, by port and limit: address or port.";
    rate_limited: IntCounterVec = "lso_rate_limited_total" ["budget"]
        "Calls refused because the caller exceeded a rate limit, by limit.";
    rate_limit_failures: IntCounter = "lso_rate_limit_failures_total" []
        "Calls that were not limited because the store did not answer.";
    replays: IntCounter = "lso_idempotent_replays_total" []
        "Stored answers that were replayed for an idempotency key.";
    streams: IntGaugeVec = "lso_streams" ["status"]
        "Streams of the whole service by status.";
    active_streams: IntGauge = "active_streams" []
        "Active streams of the whole service.";
    total_participants: IntGauge = "total_participants" []
        "Active participants of the whole service.";
}
