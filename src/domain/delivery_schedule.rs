//! When a failed delivery to a webhook endpoint is attempted again. The schedule is that of Standard Webhooks 1.0.

use std::time::Duration;

/// Delays after the first failed attempt, the second, and so on.
const DELAYS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(5 * 3_600),
    Duration::from_secs(10 * 3_600),
    Duration::from_secs(14 * 3_600),
    Duration::from_secs(20 * 3_600),
    Duration::from_secs(24 * 3_600),
];

/// Maximum delay that an endpoint can request by `Retry-After`.
const MAX_REQUESTED: Duration = Duration::from_secs(24 * 3_600);
/// Maximum part of a delay that is added to it at random, so that endpoints that failed together are not called
/// together.
const MAX_JITTER: f64 = 0.2;

/// Returns the delay before the next attempt after `failed` failed ones; `None` after the last attempt.
///
/// `jitter` is a random number from 0 to 1. `requested` is the endpoint's `Retry-After`.
pub fn retry_delay(failed: u32, requested: Option<Duration>, jitter: f64) -> Option<Duration> {
    let index = usize::try_from(failed).ok()?.checked_sub(1)?;
    let delay = DELAYS.get(index)?.mul_f64(jitter.clamp(0.0, 1.0).mul_add(MAX_JITTER, 1.0));
    Some(delay.max(requested.unwrap_or_default().min(MAX_REQUESTED)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(failed: u32, requested: Option<u64>, jitter: f64) -> Option<u64> {
        retry_delay(failed, requested.map(Duration::from_secs), jitter).map(|delay| delay.as_secs())
    }

    #[test]
    fn delays_grow_until_the_last_attempt() {
        let delays: Vec<_> = (1..=10).map(|failed| seconds(failed, None, 0.0)).collect();
        let hours = |hours: u64| Some(hours * 3_600);
        let expected = [Some(5), Some(300), Some(1_800), hours(2), hours(5), hours(10), hours(14), hours(20)];
        assert_eq!(delays[..8], expected);
        assert_eq!(delays[8..], [hours(24), None]);
        assert_eq!(seconds(1, None, 1.0), Some(6));
    }

    #[test]
    fn longer_requested_delay_is_used_up_to_a_day() {
        assert_eq!(seconds(1, Some(60), 0.0), Some(60));
        assert_eq!(seconds(2, Some(60), 0.0), Some(300));
        assert_eq!(seconds(1, Some(1_000_000), 0.0), Some(86_400));
        assert_eq!(seconds(10, Some(60), 0.0), None);
    }
}
