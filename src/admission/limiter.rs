//! How often a caller may call, over all instances.

use std::sync::Arc;

use crate::{
    store::{RateLimit, RateLimitDecision, RateLimitStore},
    telemetry::Metrics,
};

/// What a call is counted as. Each is counted for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// What changes nothing.
    Read,
    /// What changes something.
    Write,
    /// Join tokens.
    Join,
}

impl Budget {
    /// The word used in keys and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Join => "join",
        }
    }
}

/// The limits, as configured; none for no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Of [`Budget::Read`].
    pub read: Option<RateLimit>,
    /// Of [`Budget::Write`].
    pub write: Option<RateLimit>,
    /// Of [`Budget::Join`].
    pub join: Option<RateLimit>,
}

/// A limit, and where a caller stands with it.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// The limit.
    pub limit: RateLimit,
    /// Where the caller stands.
    pub standing: RateLimitDecision,
}

/// Counts calls.
pub struct Limiter {
    quota: Arc<dyn RateLimitStore>,
    limits: Limits,
    metrics: Arc<Metrics>,
}

impl Limiter {
    /// Keeps to `limits`, counted in `quota`.
    pub fn new(quota: Arc<dyn RateLimitStore>, limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self { quota, limits, metrics }
    }

    /// Counts one call. None where nothing is counted: there is no limit, or the store does not answer. Then the call
    /// passes, because a limit is there to keep the service up, not to take it down.
    pub async fn take(&self, budget: Budget, subject: &str) -> Option<Verdict> {
        let limit = match budget {
            Budget::Read => self.limits.read,
            Budget::Write => self.limits.write,
            Budget::Join => self.limits.join,
        }?;
        let word = budget.as_str();
        match self.quota.take(&format!("{word}:{subject}"), limit).await {
            Ok(standing) => {
                if !standing.allowed {
                    self.metrics.rate_limited.with_label_values(&[word]).inc();
                }
                Some(Verdict { limit, standing })
            }
            Err(error) => {
                tracing::debug!(%error, "a call could not be counted and passes");
                self.metrics.rate_limit_failures.inc();
                None
            }
        }
    }
}
