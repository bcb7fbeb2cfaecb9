//! Cost of raised hands, in units of the write limit.

use super::{Admission, RateLimitClass};

/// Units of the write limit that raising a hand costs beyond its request. Of all changes that a viewer may make, this
/// one alone sends an event to every follower of a counted stream.
const RAISE_UNITS: u32 = 9;

impl Admission {
    /// Charges the caller's write limit for raising a hand.
    pub async fn charge_hand(&self, limit_key: &str) {
        self.rate_limiter.charge(RateLimitClass::Write, limit_key, RAISE_UNITS).await;
    }
}
