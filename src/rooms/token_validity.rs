//! Validity of a join token.

use std::time::Duration;

use crate::domain::Timestamp;

/// Times between which a join token is valid, in whole seconds since 1970 as in its claims `nbf` and `exp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenValidity {
    /// First second of the validity.
    pub not_before: u64,
    /// Second at which the validity ends.
    pub expires: u64,
}

impl TokenValidity {
    /// Returns the validity of a token that is valid for `ttl` from now, by this machine's clock.
    pub fn from_now(ttl: Duration) -> Self {
        let now = u64::try_from(chrono::Utc::now().timestamp()).unwrap_or_default();
        Self { not_before: now, expires: now.saturating_add(ttl.as_secs()) }
    }

    /// Returns the expiry.
    pub fn expires_at(self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.expires.saturating_mul(1_000)).unwrap_or(i64::MAX))
    }
}
