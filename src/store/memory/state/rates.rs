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
        let (interval, period) = (limit.interval_micros(), limit.period_micros());
        let free = self.free_at(subject, now, limit);
        let granted = *free + interval - now <= period + 0.5;
        if granted {
            *free = (*free + interval).min(now + period);
        }
        RateLimitDecision::new(granted, *free - now, limit)
    }

    pub(in crate::store::memory) fn charge(
        &mut self,
        subject: &str,
        now: f64,
        units: u32,
        limit: RateLimit,
    ) -> RateLimitDecision {
        let free = self.free_at(subject, now, limit);
        let charged = *free + f64::from(units) * limit.interval_micros();
        *free = charged.min(now + limit.max_debt_micros());
        RateLimitDecision::new(true, *free - now, limit)
    }

    fn free_at(&mut self, subject: &str, now: f64, limit: RateLimit) -> &mut f64 {
        if self.0.len() >= PRUNE_FROM {
            self.0.retain(|_, free| *free > now);
        }
        let free = self.0.entry(subject.to_owned()).or_insert(now);
        *free = free.clamp(now, now + limit.max_debt_micros());
        free
    }
}
