//! Configured values of the use cases.

use std::time::Duration;

use crate::domain::AudienceMode;

/// Maximum time of all calls to LiveKit about media jobs that one request makes, so that its response is sent within
/// 5 s. A call that is dropped goes on, and the reconciler records its effect.
pub(super) const MEDIA_DEADLINE: Duration = Duration::from_millis(4_700);

/// Default of [`Policy::egress_end_timeout`].
pub const EGRESS_END_TIMEOUT: Duration = Duration::from_secs(600);

/// Default of [`Policy::egress_stop_wait`].
pub const EGRESS_STOP_WAIT: Duration = Duration::from_secs(5);

/// Configured values of the use cases.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Validity of a join token.
    pub token_ttl: Duration,
    /// How long a participant with an unused token is `joining`.
    pub joining_ttl: Duration,
    /// How long a stream may be empty before it is stopped; `None` means no limit.
    pub idle_timeout: Option<Duration>,
    /// Audience of a stream whose creator names none.
    pub audience: AudienceMode,
    /// Number of active viewers above which a stream with [`AudienceMode::Auto`] becomes counted.
    pub audience_listed_max: u32,
    /// Interval of the comparison with LiveKit.
    pub reconcile_interval: Duration,
    /// Maximum delay of LiveKit's lists. The reconciler does not correct what was recorded within this time before it
    /// requested a list.
    pub listing_grace: Duration,
    /// Time after which a recording or broadcast that LiveKit still calls starting has failed.
    pub egress_start_timeout: Duration,
    /// Time after which a recording or broadcast that LiveKit still calls ending has failed.
    pub egress_end_timeout: Duration,
    /// How long the stop of a stream waits for the end of its recordings and broadcasts.
    pub egress_stop_wait: Duration,
}
