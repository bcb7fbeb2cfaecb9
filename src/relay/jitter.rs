//! Jitter of waits and lifetimes.

/// Returns a random factor between 0 and 1, which spreads reconnects and connection ends over time.
pub(super) fn jitter() -> f64 {
    fastrand::f64()
}
