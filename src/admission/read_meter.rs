//! Cost of reads by their bytes, in units of the read limit.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{Admission, AppliedRateLimit, RateLimitClass, RequestContext};

/// Bytes that a call reads for one unit of the read limit. The call itself is the first unit.
const UNIT_BYTES: u64 = 64 * 1024;

/// Returns the units that `bytes` more cost after `before` bytes.
fn units(before: u64, bytes: u64) -> u32 {
    let units = before.saturating_add(bytes) / UNIT_BYTES - before / UNIT_BYTES;
    u32::try_from(units).unwrap_or(u32::MAX)
}

impl Admission {
    /// Charges the caller's read limit for the bytes that an admitted call has read, beyond the call itself.
    ///
    /// Returns `None` if the bytes cost nothing, and as [`RateLimiter::charge`](super::RateLimiter::charge) does.
    pub async fn charge_read(&self, limit_key: &str, bytes: u64) -> Option<AppliedRateLimit> {
        let units = units(0, bytes);
        if units == 0 {
            return None;
        }
        self.rate_limiter.charge(RateLimitClass::Read, limit_key, units).await
    }

    /// Returns a meter of one feed: it is called with the bytes of each piece that is read for the feed's client alone,
    /// and charges the caller's read limit in the background.
    pub fn read_meter(
        self: &Arc<Self>,
        context: &RequestContext,
    ) -> impl Fn(usize) + Send + Sync + use<> + 'static {
        let (admission, limit_key) = (self.clone(), context.limit_key.clone());
        let total = AtomicU64::new(0);
        move |bytes| {
            let bytes = bytes as u64;
            let units = units(total.fetch_add(bytes, Ordering::Relaxed), bytes);
            if units > 0 {
                let (admission, limit_key) = (admission.clone(), limit_key.clone());
                tokio::spawn(async move {
                    admission.rate_limiter.charge(RateLimitClass::Read, &limit_key, units).await;
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_further_64_kib_cost_one_unit() {
        for (before, bytes, expected) in [
            (0, 0, 0),
            (0, UNIT_BYTES - 1, 0),
            (0, UNIT_BYTES, 1),
            (UNIT_BYTES - 1, 1, 1),
            (UNIT_BYTES, UNIT_BYTES - 1, 0),
            (10, 16 * UNIT_BYTES, 16),
            (u64::MAX, 1, 0),
        ] {
            assert_eq!(units(before, bytes), expected, "{before} {bytes}");
        }
    }
}
