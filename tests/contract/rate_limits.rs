//! Rate limits, in every store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::store::RateLimit;

use super::backend::{Backend, RETENTION, with_and_without_partitions};
use crate::support::eventually;

fn backends() -> [Backend; 3] {
    with_and_without_partitions("rates", RETENTION)
}

#[tokio::test]
async fn limit_is_exact_for_each_subject() {
    for Backend { rate_limits, .. } in backends() {
        for count in [1, 3, 7, 1_000] {
            let limit = RateLimit { count, period: Duration::from_secs(100_000) };
            let subject = format!("read:{count}");
            for left in (0..count).rev() {
                let decision = rate_limits.take(&subject, limit).await.unwrap();
                assert!(decision.allowed && decision.remaining == left, "{count}: {decision:?}");
            }
            let refused = rate_limits.take(&subject, limit).await.unwrap();
            assert!(!refused.allowed && refused.remaining == 0, "{refused:?}");
            assert!(refused.retry_after > Duration::ZERO && refused.retry_after <= limit.period / count);
            assert!(refused.reset >= refused.retry_after && refused.reset <= limit.period);
            let other = format!("join:{count}");
            assert!(
                rate_limits.take(&other, limit).await.unwrap().allowed,
                "another subject has a limit of its own"
            );
        }
    }
}

#[tokio::test]
async fn charge_beyond_limit_refuses_requests_for_at_most_one_more_period() {
    for Backend { rate_limits, .. } in backends() {
        let limit = RateLimit { count: 10, period: Duration::from_secs(100_000) };
        let interval = limit.period / limit.count;
        assert_eq!(rate_limits.take("read:ann", limit).await.unwrap().remaining, 9);
        let charged = rate_limits.charge("read:ann", 5, limit).await.unwrap();
        assert!(charged.allowed && charged.remaining == 4, "{charged:?}");
        assert!(rate_limits.take("read:ann", limit).await.unwrap().allowed);
        for _ in 0..2 {
            let charged = rate_limits.charge("read:ann", 1_000, limit).await.unwrap();
            assert!(charged.allowed && charged.remaining == 0, "{charged:?}");
            assert!(charged.reset > limit.period && charged.reset <= 2 * limit.period, "{charged:?}");
        }
        let refused = rate_limits.take("read:ann", limit).await.unwrap();
        assert!(!refused.allowed && refused.remaining == 0, "{refused:?}");
        assert!(
            refused.retry_after > limit.period - interval && refused.retry_after <= limit.period + interval
        );
        assert!(rate_limits.take("read:bob", limit).await.unwrap().allowed, "another subject");
    }
}

#[tokio::test]
async fn charged_limit_is_available_again_after_its_debt_has_drained() {
    for Backend { rate_limits, .. } in backends() {
        let limit = RateLimit { count: 1, period: Duration::from_millis(50) };
        assert!(!rate_limits.charge("read:ann", 1_000, limit).await.unwrap().retry_after.is_zero());
        eventually("a permitted request", || async {
            rate_limits.take("read:ann", limit).await.unwrap().allowed.then_some(())
        })
        .await;
    }
}
