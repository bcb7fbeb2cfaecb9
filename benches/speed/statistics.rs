//! Percentiles and medians, and the clock of the measurements.

use std::time::Duration;

/// Latencies in microseconds, in any order.
#[derive(Default)]
pub struct Latencies(pub Vec<u32>);

impl Latencies {
    /// Returns the latency, in milliseconds, that this share of the latencies does not exceed.
    pub fn percentile(&mut self, share: f64) -> f64 {
        if self.0.is_empty() {
            return f64::NAN;
        }
        let rank = ((self.0.len() - 1) as f64 * share).round() as usize;
        f64::from(*self.0.select_nth_unstable(rank).1) / 1_000.0
    }
}

/// Returns the median; NaN without values.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns the microseconds since 1970 of the clock that all processes share.
pub fn now() -> u64 {
    chrono::Utc::now().timestamp_micros().try_into().expect("a time after 1970")
}

/// Sleeps until `micros` on the clock of [`now`].
pub fn sleep_until(micros: u64) {
    std::thread::sleep(Duration::from_micros(micros.saturating_sub(now())));
}
