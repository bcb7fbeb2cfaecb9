//! State of the rate limits.

use std::collections::HashMap;

use crate::store::{RateLimit, RateLimitDecision};

/// Number of subjects from which full limits are removed.
const PRUNE_FROM: usize = 10_000;

/// Time at which the whole limit of each subject is available again, in microseconds.
#[derive(Default)]
pub(in crate::store::memory) struct Rates(HashMap<String, f64>);

impl Rates {
    pub(in crate::store::memory) fn take(
        &mut self,
        subject: &str,
        now: f64,
        limit: RateLimit,
    ) -> RateLimitDecision {
        if self.0.len() >= PRUNE_FROM {
            self.0.retain(|_, free| *free > now);
        }
        let (interval, period) = (limit.interval_micros(), limit.period.as_secs_f64() * 1e6);
        let free = self.0.entry(subject.to_owned()).or_insert(now);
        *free = free.clamp(now, now + period);
        let granted = *free + interval - now <= period + 0.5;
        if granted {
            *free += interval;
        }
        RateLimitDecision::new(granted, *free - now, limit)
    }
}
