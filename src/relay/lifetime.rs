//! How long a client's connection may last.
//!
//! Connections that never end stay where they are: an instance that was started to share the load would get none of
//! them. So each ends after a while and resumes by its cursor, wherever it is sent then.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Ended;

/// As good as never, and still an instant that every clock can hold.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The end of one connection, and why it comes then.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    end: Instant,
    reason: Ended,
}

impl Lifetime {
    /// Between half of `max_age` and all of it, so that connections which began together do not end together.
    pub(super) fn begin(max_age: Option<Duration>) -> Self {
        Self { end: Instant::now() + max_age.map_or(NEVER, spread), reason: Ended::Expired }
    }

    /// The same, but not longer than a token is good: `remaining`, where there is one.
    #[must_use]
    pub fn within(self, remaining: Option<Duration>) -> Self {
        let end = remaining.and_then(|remaining| Instant::now().checked_add(remaining));
        end.filter(|end| *end < self.end).map_or(self, |end| Self { end, reason: Ended::TokenExpired })
    }

    /// Why it ends.
    pub const fn reason(&self) -> Ended {
        self.reason
    }

    /// When it is over.
    pub const fn end(&self) -> Instant {
        self.end
    }

    /// Waits until it is over.
    pub async fn over(&self) {
        sleep_until(self.end).await;
    }
}

fn spread(max_age: Duration) -> Duration {
    max_age.mul_f64(0.5 + super::jitter() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_spread_over_the_second_half() {
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
