//! What follows of an answer.

use crate::{
    delivery::Answer,
    domain::{DisabledReason, Timestamp, retry_delay},
};

/// The time of the next attempt, `None` for a delivery, or why there are no more deliveries.
pub(super) type Verdict = Result<Option<Timestamp>, DisabledReason>;

/// Returns the metric label of an answer, and what follows of it.
pub(super) fn verdict(answer: Answer, failed: u32, now: Timestamp) -> (&'static str, Verdict) {
    let requested = match answer {
        answer if answer.is_success() => return ("delivered", Ok(None)),
        Answer::Status { status: 410, .. } => return ("gone", Err(DisabledReason::Gone)),
        Answer::Status { retry_after, .. } => retry_after,
        Answer::Failed(_) => None,
    };
    match retry_delay(failed + 1, requested, fastrand::f64()) {
        Some(delay) => ("failed", Ok(Some(now.plus(delay)))),
        None => ("exhausted", Err(DisabledReason::Exhausted)),
    }
}
