//! Settings of timeouts, intervals and lifetimes.

use std::time::Duration;

use super::{Arguments, reader::Reader};
use crate::{orchestrator::Policy, relay, store::Retention};

/// LiveKit's listings lag by up to 5 s (`num_participants`), and webhooks take a moment.
const LISTING_GRACE: Duration = Duration::from_secs(10);
/// LiveKit accepts a token for longer than its `exp` says, because clocks differ.
const TOKEN_LEEWAY: Duration = Duration::from_secs(60);

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

impl Arguments {
    pub(super) fn parse_policy(&self, reader: &mut Reader) -> Policy {
        let idle_timeout = self.idle_timeout.as_ref();
        let idle_timeout = reader.duration_or_unlimited("IDLE_TIMEOUT", idle_timeout, minutes(5));
        let interval = self.reconcile_interval.as_ref();
        Policy {
            token_ttl: reader.duration("TOKEN_TTL", self.token_ttl.as_ref(), minutes(10)),
            joining_ttl: reader.duration("JOINING_TTL", self.joining_ttl.as_ref(), minutes(1)),
            idle_timeout,
            reconcile_interval: reader.duration("RECONCILE_INTERVAL", interval, Duration::from_secs(30)),
            listing_grace: LISTING_GRACE,
        }
    }

    pub(super) fn parse_retention(&self, policy: &Policy, reader: &mut Reader) -> Retention {
        Retention {
            tokens: policy.token_ttl + TOKEN_LEEWAY,
            live: reader.duration("STREAM_TTL", self.stream_ttl.as_ref(), minutes(24 * 60)),
            stopped: reader.duration("STOPPED_TTL", self.stopped_ttl.as_ref(), minutes(5)),
        }
    }

    pub(super) fn parse_relay(&self, reader: &mut Reader) -> relay::Options {
        let max_age = self.connection_max_age.as_ref();
        let max_age = reader.duration_or_unlimited("CONNECTION_MAX_AGE", max_age, minutes(60));
        relay::Options { repair: true, max_age }
    }
}
