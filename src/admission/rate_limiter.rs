//! Rate limits for each caller, counted over all instances.

use std::sync::Arc;

use crate::{
    store::{RateLimit, RateLimitDecision, RateLimitStore, StoreError},
    telemetry::Metrics,
};

/// Class of requests that share one rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimitClass {
    /// Requests that change nothing.
    Read,
    /// Requests that change something, except [`Self::Join`].
    Write,
    /// Requests for join tokens.
    Join,
}

impl RateLimitClass {
    /// Returns the name in keys and in the label of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Join => "join",
        }
    }
}

/// Configured rate limits; `None` for no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateLimits {
    /// Limit of [`RateLimitClass::Read`].
    pub read: Option<RateLimit>,
    /// Limit of [`RateLimitClass::Write`].
    pub write: Option<RateLimit>,
    /// Limit of [`RateLimitClass::Join`].
    pub join: Option<RateLimit>,
}

impl RateLimits {
    const fn of(&self, class: RateLimitClass) -> Option<RateLimit> {
        match class {
            RateLimitClass::Read => self.read,
            RateLimitClass::Write => self.write,
            RateLimitClass::Join => self.join,
        }
    }
}

/// Limit that was applied to a request, and the decision.
#[derive(Clone, Copy, Debug)]
pub struct AppliedRateLimit {
    /// Limit of the request's class.
    pub limit: RateLimit,
    /// Decision of the store.
    pub decision: RateLimitDecision,
}

/// Applies the configured rate limits.
pub struct RateLimiter {
    store: Arc<dyn RateLimitStore>,
    limits: RateLimits,
    metrics: Arc<Metrics>,
}

impl RateLimiter {
    /// Returns a limiter that counts in `store`.
    pub fn new(store: Arc<dyn RateLimitStore>, limits: RateLimits, metrics: Arc<Metrics>) -> Self {
        Self { store, limits, metrics }
    }

    /// Reports whether the class has a limit.
    pub const fn is_limited(&self, class: RateLimitClass) -> bool {
        self.limits.of(class).is_some()
    }

    /// Counts one request of the caller with this limit key.
    ///
    /// Returns `None` if the class has no limit, and if the store does not answer. Limits fail open, because a
    /// rejection would hide the true answer, 503 `store_unavailable` (docs/DECISIONS.md, "Limits fail open").
    pub async fn take(&self, class: RateLimitClass, limit_key: &str) -> Option<AppliedRateLimit> {
        let limit = self.limits.of(class)?;
        let class = class.as_str();
        let applied = self.applied(limit, self.store.take(&format!("{class}:{limit_key}"), limit).await)?;
        if !applied.decision.allowed {
            self.metrics.rate_limited.with_label_values(&[class]).inc();
        }
        Some(applied)
    }

    /// Counts `units` more for a request that was allowed, also beyond the limit.
    ///
    /// Returns `None` as [`Self::take`] does.
    pub async fn charge(
        &self,
        class: RateLimitClass,
        limit_key: &str,
        units: u32,
    ) -> Option<AppliedRateLimit> {
        let limit = self.limits.of(class)?;
        let subject = format!("{}:{limit_key}", class.as_str());
        self.applied(limit, self.store.charge(&subject, units, limit).await)
    }

    fn applied(
        &self,
        limit: RateLimit,
        decision: Result<RateLimitDecision, StoreError>,
    ) -> Option<AppliedRateLimit> {
        let count_failure = |error: &StoreError| {
            tracing::debug!(%error, "rate limit not applied: the store did not count the request");
            self.metrics.rate_limit_failures.inc();
        };
        let decision = decision.inspect_err(count_failure).ok()?;
        Some(AppliedRateLimit { limit, decision })
    }
}
