//! What follows an answer.

use crate::{
    delivery::Answer,
    domain::{DisabledReason, Timestamp, retry_delay},
};

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The delivery is made.
    Delivered,
    /// The delivery is attempted again at this time.
    Retry(Timestamp),
    /// There are no more deliveries.
    Disable(DisabledReason),
}

impl Outcome {
    /// Classifies the answer to an attempt, before which a number of attempts had failed.
    pub(super) fn classify(answer: Answer, failed: u32, now: Timestamp) -> Self {
        let requested = match answer {
            answer if answer.is_success() => return Self::Delivered,
            Answer::Status { status: 410, .. } => return Self::Disable(DisabledReason::Gone),
            Answer::Status { retry_after, .. } => retry_after,
            Answer::Failed(_) => None,
        };
        let delay = retry_delay(failed + 1, requested, fastrand::f64());
        delay.map_or(Self::Disable(DisabledReason::Exhausted), |delay| Self::Retry(now.plus(delay)))
    }

    /// Returns the label of metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry(_) => "failed",
            Self::Disable(reason) => reason.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::delivery::Failure;

    #[test]
    fn answer_without_success_is_retried_not_before_retry_after_and_410_disables() {
        let now = Timestamp::from_millis(1_000);
        let classify = |answer, failed| Outcome::classify(answer, failed, now);
        let status = |status, retry_after: Option<u64>| Answer::Status {
            status,
            retry_after: retry_after.map(Duration::from_secs),
        };
        assert_eq!(classify(status(204, None), 3), Outcome::Delivered);
        assert_eq!(classify(status(410, Some(60)), 0), Outcome::Disable(DisabledReason::Gone));
        assert_eq!(classify(status(503, Some(60)), 0), Outcome::Retry(now.plus(Duration::from_secs(60))));
        assert_eq!(classify(status(307, None), 9).as_str(), "exhausted");
        for answer in [status(500, Some(1)), status(302, None), Answer::Failed(Failure::Timeout)] {
            let Outcome::Retry(at) = classify(answer, 0) else { panic!("{answer:?}") };
            assert!((5_000..=6_000).contains(&(at.as_millis() - 1_000)), "{answer:?}: {at:?}");
        }
    }
}
