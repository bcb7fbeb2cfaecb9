//! What Prometheus sees of this instance. What belongs to the whole service (streams by status, participants) is read
//! from the store when it is scraped, so that any instance tells it.
//!
//! No label takes a value that a caller controls: routes are templates, calls and outcomes are words of this crate.

use std::{future::Future, sync::LazyLock, time::Instant};

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::store::Totals;

/// Fractions of a millisecond to ten seconds.
const CALL_BUCKETS: &[f64] =
    &[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Log lines that this process has lost. The log belongs to the process, so its instances share this counter.
pub fn log_lines_lost() -> Option<&'static IntCounter> {
    static LOST: LazyLock<Option<IntCounter>> = LazyLock::new(|| {
        let help = "Log lines lost because standard error was not read fast enough or could not be written.";
        IntCounter::new("lso_log_lines_lost_total", help).ok()
    });
    LOST.as_ref()
}

/// The metrics of one instance.
pub struct Metrics {
    registry: Registry,
    /// Answered requests by route template, method and status.
    pub http_requests: IntCounterVec,
    /// How long answering took, up to the first byte of the body.
    pub http_duration: HistogramVec,
    /// Clients that follow a feed now, by transport.
    pub subscribers: IntGaugeVec,
    /// Events handed over to clients, by transport.
    pub delivered: IntCounterVec,
    /// Bytes of events handed over to clients, by transport.
    pub delivered_bytes: IntCounterVec,
    /// Clients that came back with a cursor, by transport and outcome.
    pub resumes: IntCounterVec,
    /// Clients that were cut because their queue was full, by transport.
    pub queue_overflows: IntCounterVec,
    /// How long calls of Redis took.
    pub redis_duration: HistogramVec,
    /// Calls of Redis that failed, by call and kind.
    pub redis_errors: IntCounterVec,
    /// How long calls of LiveKit took.
    pub livekit_duration: HistogramVec,
    /// Calls of LiveKit that failed.
    pub livekit_errors: IntCounterVec,
    /// Webhooks by event and outcome.
    pub webhooks: IntCounterVec,
    /// Webhooks refused for their signature, by `WebhookError::as_str`.
    pub webhooks_refused: IntCounterVec,
    /// Whether what is published reaches this instance.
    pub feed_up: IntGauge,
    /// Times that the connection for what is published was made.
    pub feed_connects: IntCounter,
    /// Gaps in what was published that were repaired from the log, by what found them.
    pub gaps: IntCounterVec,
    /// Events that came from the log because what was published did not reach this instance.
    pub repaired_events: IntCounter,
    /// Feeds that were told to start again, by reason.
    pub resets: IntCounterVec,
    /// From an event's time to its hand-over to the clients of this instance.
    pub relay_lag: Histogram,
    /// Comparisons with LiveKit by outcome.
    pub reconciliations: IntCounterVec,
    /// How long comparisons took.
    pub reconcile_duration: Histogram,
    /// Rooms whose settings are not those of their streams.
    pub rooms_with_other_settings: IntGauge,
    /// What comparisons repaired, by kind.
    pub repairs: IntCounterVec,
    /// What the passing of time did, by kind.
    pub cleanups: IntCounterVec,
    /// Calls refused at the door.
    pub refused: IntCounterVec,
    /// Calls refused because the caller asked too often.
    pub rate_limited: IntCounterVec,
    /// Calls that could not be counted.
    pub rate_limit_failures: IntCounter,
    /// Requests answered as they were before.
    pub replays: IntCounter,
    streams: IntGaugeVec,
    active_streams: IntGauge,
    total_participants: IntGauge,
}

impl Metrics {
    /// Metrics in a registry of their own, so that several instances fit into one process.
    ///
    /// # Errors
    /// Only where two metrics here have one name, which every test would notice.
    #[expect(clippy::too_many_lines, reason = "a list of metrics, nothing else")]
    pub fn new() -> Result<Self, prometheus::Error> {
        let make = Maker { registry: Registry::new() };
        if let Some(counter) = log_lines_lost() {
            make.register(counter.clone())?;
        }
        Ok(Self {
            http_requests: make.counters(
                "lso_http_requests_total",
                "Answered requests by route template, method and status.",
                &["route", "method", "status"],
            )?,
            http_duration: make.durations(
                "lso_http_request_duration_seconds",
                "Seconds until the answer began, by route template and method.",
                &["route", "method"],
            )?,
            subscribers: make.gauges(
                "lso_subscribers",
                "Clients that follow a feed now, by transport.",
                &["transport"],
            )?,
            delivered: make.counters(
                "lso_events_delivered_total",
                "Events and states handed over to clients, by transport.",
                &["transport"],
            )?,
            delivered_bytes: make.counters(
                "lso_delivered_bytes_total",
                "Bytes of events and states handed over to clients, by transport.",
                &["transport"],
            )?,
            resumes: make.counters(
                "lso_resumes_total",
                "Clients that came back with a cursor: replayed, or the reason of the reset they got.",
                &["transport", "outcome"],
            )?,
            queue_overflows: make.counters(
                "lso_queue_overflows_total",
                "Clients cut off because they did not keep up, by transport.",
                &["transport"],
            )?,
            redis_duration: make.durations(
                "lso_redis_call_duration_seconds",
                "Seconds that calls of Redis took, by call.",
                &["call"],
            )?,
            redis_errors: make.counters(
                "lso_redis_errors_total",
                "Calls of Redis that failed, by call and by what went wrong.",
                &["call", "kind"],
            )?,
            livekit_duration: make.durations(
                "lso_livekit_call_duration_seconds",
                "Seconds that calls of LiveKit took, by call.",
                &["call"],
            )?,
            livekit_errors: make.counters(
                "lso_livekit_errors_total",
                "Calls of LiveKit that failed, by call.",
                &["call"],
            )?,
            webhooks: make.counters(
                "lso_webhooks_total",
                "Webhooks from LiveKit by event and outcome.",
                &["event", "outcome"],
            )?,

            webhooks_refused: make.counters(
                "lso_webhooks_refused_total",
                "Webhooks refused for their signature, by reason.",
                &["reason"],
            )?,            feed_up: make.gauge("lso_feed_up", "1 while published events reach this instance, else 0.")?,
            feed_connects: make.counter(
                "lso_feed_connects_total",
                "Times that the connection for published events was made.",
            )?,
            gaps: make.counters(
                "lso_feed_gaps_total",
                "Gaps in published events that were repaired from the log, by what found them.",
                &["found_by"],
            )?,
            repaired_events: make.counter(
                "lso_feed_repaired_events_total",
                "Events read from the log because their publication did not arrive.",
            )?,
            resets: make.counters(
                "lso_resets_total",
                "Feeds told to start again from a snapshot, by reason.",
                &["reason"],
            )?,
            relay_lag: make.histogram(
                "lso_relay_lag_seconds",
                "Seconds from an event's time in the store to its hand-over here.",
            )?,
            reconciliations: make.counters(
                "lso_reconciliations_total",
                "Comparisons with LiveKit by outcome: done, held_back, failed or fenced.",
                &["outcome"],
            )?,
            reconcile_duration: make
                .histogram("lso_reconcile_duration_seconds", "Seconds that comparisons with LiveKit took.")?,
            repairs: make.counters(
                "lso_reconcile_repairs_total",
                "What comparisons with LiveKit repaired, by kind.",
                &["kind"],
            )?,
            rooms_with_other_settings: make.gauge(
                "lso_rooms_with_other_settings",
                "Rooms whose limits are not those of their streams, at this instance's last comparison with LiveKit.",
            )?,
            cleanups: make.counters(
                "lso_cleanups_total",
                "What the passing of time did, by kind.",
                &["kind"],
            )?,
            refused: make.counters(
                "lso_requests_refused_total",
                "Calls refused before they are handled, by reason: what is wrong with the token, forbidden, too_many_feeds.",
                &["reason"],
            )?,
            rate_limited: make.counters(
                "lso_rate_limited_total",
                "Calls refused because the caller asked too often, by budget.",
                &["budget"],
            )?,
            rate_limit_failures: make.counter(
                "lso_rate_limit_failures_total",
                "Calls that passed uncounted because the store did not answer.",
            )?,
            replays: make.counter(
                "lso_idempotent_replays_total",
                "Requests answered as they were before, by their idempotency key.",
            )?,
            streams: make.gauges("lso_streams", "Streams of the whole service by status.", &["status"])?,
            active_streams: make.gauge("active_streams", "Active streams of the whole service.")?,
            total_participants: make
                .gauge("total_participants", "Active participants of the whole service.")?,
            registry: make.registry,
        })
    }

    /// Everything in Prometheus's text format, with the numbers of the whole service where they could be had.
    ///
    /// # Errors
    /// Whatever the encoder says.
    pub fn render(&self, totals: Option<&Totals>) -> Result<Vec<u8>, prometheus::Error> {
        let mut families = self.registry.gather();
        match totals {
            Some(totals) => {
                self.set_totals(totals);
                families = self.registry.gather();
            }
            // Better absent than old: an alert on absence is right, one on a stale number is not.
            None => families.retain(|family| {
                !["lso_streams", "active_streams", "total_participants"].contains(&family.name())
            }),
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }

    fn set_totals(&self, totals: &Totals) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for (status, count) in &totals.streams {
            self.streams.with_label_values(&[status.as_str()]).set(number(*count));
            if *status == crate::domain::StreamStatus::Active {
                self.active_streams.set(number(*count));
            }
        }
        self.total_participants.set(number(totals.participants));
    }

    /// Awaits a call of Redis and records how long it took and what went wrong.
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

    /// Awaits a call of LiveKit and records how long it took and whether it failed.
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

/// Makes metrics and registers them.
struct Maker {
    registry: Registry,
}

impl Maker {
    fn register<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: M,
    ) -> Result<M, prometheus::Error> {
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::new(name, help)?)
    }

    fn durations(&self, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(CALL_BUCKETS.to_vec());
        self.register(HistogramVec::new(options, labels)?)
    }

    fn histogram(&self, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(CALL_BUCKETS.to_vec());
        self.register(Histogram::with_opts(options)?)
    }
}
