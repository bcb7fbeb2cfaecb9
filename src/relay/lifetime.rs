//! Maximum lifetime of client connections.
//!
//! Long-lived connections stay on the instance that accepted them, so a newly started instance would get no load. Each
//! connection therefore ends after a while, and the client resumes by its cursor on whichever instance nginx selects.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{jitter::jitter, subscriber::Ended};

/// Lifetime of a connection without a limit: 100 years, which every platform's `Instant` can represent.
const UNLIMITED: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// End time of one connection and the reason for it.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    end: Instant,
    reason: Ended,
}

impl Lifetime {
    /// Starts a lifetime between half of `max_age` and all of it, at random.
    ///
    /// The spread keeps connections that began together from ending together.
    pub(super) fn begin(max_age: Option<Duration>) -> Self {
        Self { end: Instant::now() + max_age.map_or(UNLIMITED, spread), reason: Ended::Expired }
    }

    /// Shortens the lifetime to the token's remaining validity, if that ends earlier.
    #[must_use]
    pub fn within(self, remaining: Option<Duration>) -> Self {
        let end = remaining.and_then(|remaining| Instant::now().checked_add(remaining));
        end.filter(|end| *end < self.end).map_or(self, |end| Self { end, reason: Ended::TokenExpired })
    }

    /// Returns the reason to report at the end.
    pub const fn reason(&self) -> Ended {
        self.reason
    }

    /// Returns the end time.
    pub const fn end(&self) -> Instant {
        self.end
    }

    /// Waits until the end time; cancellation safe.
    pub async fn expired(&self) {
        sleep_until(self.end).await;
    }
}

fn spread(max_age: Duration) -> Duration {
    max_age.mul_f64(0.5 + jitter() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_of_many_connections_fill_the_second_half_evenly() {
        let age = Duration::from_secs(3600);
        let ages: Vec<_> = (0..1_000).map(|_| spread(age)).collect();
        assert!(ages.iter().all(|one| (age / 2..=age).contains(one)));
        let quarter = |n: u32| ages.iter().filter(|one| **one < age / 2 + age / 8 * n).count();
        for n in 1..=4 {
            let (expected, found) = (250 * n as usize, quarter(n));
            assert!(found.abs_diff(expected) < 100, "{found} of 1,000 within {n} quarters");
        }
    }
}
