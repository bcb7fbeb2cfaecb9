//! Settings of timeouts, intervals and lifetimes.

use std::time::Duration;

use super::{Arguments, EgressSettings, reader::Reader};
use crate::{
    orchestrator::{EGRESS_END_TIMEOUT, EGRESS_STOP_WAIT, Policy},
    relay,
    store::{COUNT_INTERVAL, LogBounds, Retention, STREAM_LOG_LENGTH},
};

/// LiveKit's listings lag by up to 5 s (`num_participants`), and webhooks take a moment.
const LISTING_GRACE: Duration = Duration::from_secs(10);
/// Minimum of LOG_MAX_BYTES: more than the largest event, and about [`STREAM_LOG_LENGTH`] small ones.
const MIN_LOG_BYTES: u32 = 1_000_000;
/// LiveKit accepts a token for longer than its `exp` says, because clocks differ.
const TOKEN_LEEWAY: Duration = Duration::from_secs(60);

/// Default of AUDIENCE_LISTED_MAX.
const LISTED_MAX: u32 = 200;

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

impl Arguments {
    pub(super) fn parse_policy(&self, egress: &EgressSettings, reader: &mut Reader) -> Policy {
        let idle_timeout = self.idle_timeout.as_ref();
        let idle_timeout = reader.duration_or_unlimited("IDLE_TIMEOUT", idle_timeout, minutes(5));
        let interval = self.reconcile_interval.as_ref();
        let listed_max = self.audience_listed_max.as_ref();
        Policy {
            token_ttl: reader.duration("TOKEN_TTL", self.token_ttl.as_ref(), minutes(10)),
            joining_ttl: reader.duration("JOINING_TTL", self.joining_ttl.as_ref(), minutes(1)),
            idle_timeout,
            audience: reader.audience("AUDIENCE", self.audience.as_ref()),
            audience_listed_max: reader.number("AUDIENCE_LISTED_MAX", listed_max, LISTED_MAX),
            reconcile_interval: reader.duration("RECONCILE_INTERVAL", interval, Duration::from_secs(30)),
            listing_grace: LISTING_GRACE,
            egress_start_timeout: egress.start_timeout,
            egress_end_timeout: EGRESS_END_TIMEOUT,
            egress_stop_wait: EGRESS_STOP_WAIT,
        }
    }

    pub(super) fn parse_retention(
        &self,
        policy: &Policy,
        has_history: bool,
        reader: &mut Reader,
    ) -> Retention {
        let stopped = reader.duration("STOPPED_TTL", self.stopped_ttl.as_ref(), minutes(5));
        Retention {
            tokens: policy.token_ttl + TOKEN_LEEWAY,
            live: reader.duration("STREAM_TTL", self.stream_ttl.as_ref(), minutes(24 * 60)),
            stopped,
            log: self.parse_log_bounds(stopped, reader),
            count_interval: COUNT_INTERVAL,
            keeps_visits: has_history,
        }
    }

    /// A log expires with its stream, so it cannot keep events for longer than `stopped`.
    fn parse_log_bounds(&self, stopped: Duration, reader: &mut Reader) -> LogBounds {
        let defaults = LogBounds::DEFAULT;
        let retention = self.log_retention.as_ref();
        let retention = reader.duration("LOG_RETENTION", retention, defaults.retention.min(stopped));
        if retention > stopped {
            reader.problem::<()>("LOG_RETENTION", "must not exceed STOPPED_TTL");
        }
        let least_events = u32::try_from(STREAM_LOG_LENGTH).unwrap_or(u32::MAX);
        let (max_events, max_bytes) = (self.log_max_events.as_ref(), self.log_max_bytes.as_ref());
        let mut at_least =
            |setting, text, default, least| reader.at_least(least, setting, text).unwrap_or(default);
        LogBounds {
            retention,
            min_events: STREAM_LOG_LENGTH,
            max_events: at_least("LOG_MAX_EVENTS", max_events, defaults.max_events, least_events),
            max_bytes: at_least("LOG_MAX_BYTES", max_bytes, defaults.max_bytes, MIN_LOG_BYTES),
        }
    }

    pub(super) fn parse_relay(&self, reader: &mut Reader) -> relay::Options {
        let max_age = self.connection_max_age.as_ref();
        let max_age = reader.duration_or_unlimited("CONNECTION_MAX_AGE", max_age, minutes(60));
        relay::Options { repair: true, max_age }
    }
}
