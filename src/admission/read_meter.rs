//! Cost of reads by their bytes, in units of the read limit.

use std::sync::Arc;

use super::{Admission, AppliedRateLimit, RateLimitClass, ReadPermit, Rejection, RequestContext};

/// Bytes that a call reads for one unit of the read limit. The call itself is the first unit.
const UNIT_BYTES: u64 = 64 * 1024;

/// Returns the units that `bytes` more cost after `before` bytes.
fn units(before: u64, bytes: u64) -> u32 {
    let units = before.saturating_add(bytes) / UNIT_BYTES - before / UNIT_BYTES;
    u32::try_from(units).unwrap_or(u32::MAX)
}

impl Admission {
    /// Reports whether reads are charged for their bytes. Such a read runs to its end also if its client leaves.
    pub const fn charges_reads(&self) -> bool {
        self.rate_limiter.is_limited(RateLimitClass::Read)
    }

    /// Waits until the caller may begin one more read. Returns `None` without a read limit.
    pub(super) async fn begin_read(&self, limit_key: &str) -> Result<Option<ReadPermit>, Rejection> {
        if !self.charges_reads() {
            return Ok(None);
        }
        let permit = self.concurrent_reads.begin(limit_key).await;
        if permit.is_none() {
            self.count_rejection("too_many_reads");
        }
        permit.map(Some).ok_or(Rejection::TooManyReads)
    }

    /// Charges the caller's read limit for the bytes of an admitted call's answer, beyond the call itself.
    ///
    /// A call that fails is not charged here: it has spent its unit, a refused one reads no page before the refusal, and
    /// a caller cannot make the store fail after a page.
    ///
    /// Returns `None` if the bytes cost nothing, and as [`RateLimiter::charge`](super::RateLimiter::charge) does.
    pub async fn charge_read(&self, limit_key: &str, bytes: u64) -> Option<AppliedRateLimit> {
        let units = units(0, bytes);
        if units == 0 {
            return None;
        }
        self.rate_limiter.charge(RateLimitClass::Read, limit_key, units).await
    }

    /// Returns a meter for one feed of the caller.
    pub fn read_meter(self: &Arc<Self>, context: &RequestContext) -> ReadMeter {
        ReadMeter { admission: self.clone(), limit_key: context.limit_key.clone(), total: 0 }
    }
}

/// Meter of what is read for one feed alone: pages of logs and snapshots.
pub struct ReadMeter {
    admission: Arc<Admission>,
    limit_key: String,
    total: u64,
}

impl ReadMeter {
    /// Adds bytes, and charges the caller's read limit for each 64 KiB of the feed. Returns after the charge.
    pub async fn charge(&mut self, bytes: usize) {
        let units = self.count(bytes);
        if units > 0 {
            self.admission.rate_limiter.charge(RateLimitClass::Read, &self.limit_key, units).await;
        }
    }

    /// Adds bytes as [`Self::charge`] does, and charges in the background.
    pub fn add(&mut self, bytes: usize) {
        let units = self.count(bytes);
        if units > 0 {
            let (admission, limit_key) = (self.admission.clone(), self.limit_key.clone());
            tokio::spawn(async move {
                admission.rate_limiter.charge(RateLimitClass::Read, &limit_key, units).await;
            });
        }
    }

    /// Adds bytes and returns the units that they cost.
    fn count(&mut self, bytes: usize) -> u32 {
        let units = units(self.total, bytes as u64);
        self.total = self.total.saturating_add(bytes as u64);
        units
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
