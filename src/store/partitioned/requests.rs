//! Idempotency keys and rate limits: in the partition of the caller's name.
//!
//! The change that a request makes is recorded in the partition of its stream, together with the change. An attempt
//! after a crash, and the end of an attempt that seems to have changed nothing, therefore ask every partition.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;

use super::{PartitionBackend, PartitionedStore};
use crate::{
    domain::StreamId,
    store::{
        Attempt, BeginOutcome, IDEMPOTENCY_TTL, IdempotencyStore, PreviousAttempt, RateLimit,
        RateLimitDecision, RateLimitStore, RequestChange, RequestKey, StoreError,
    },
};

impl<P: PartitionBackend> PartitionedStore<P> {
    /// Returns what each partition knows of the change of a request. The reserved id has become that of a stream in one
    /// of the partitions, if any.
    async fn request_changes(
        &self,
        key: &RequestKey,
        reserved_id: StreamId,
    ) -> Result<Vec<RequestChange>, StoreError> {
        let all = self.partitioning.all().zip(self.partitions());
        let changes = all.map(|(number, partition)| {
            partition.request_change(&key.key, self.partitioning.move_to(reserved_id, number))
        });
        try_join_all(changes).await
    }

    /// Returns how long a key lives after an attempt: a key under which a stream was created or changed is kept.
    async fn time_to_keep(
        &self,
        key: &RequestKey,
        attempt: &Attempt,
        keep: Duration,
    ) -> Result<Duration, StoreError> {
        if keep >= IDEMPOTENCY_TTL {
            return Ok(keep);
        }
        let changes = self.request_changes(key, attempt.reserved_id).await?;
        Ok(if changes.iter().any(RequestChange::is_made) { IDEMPOTENCY_TTL } else { keep })
    }
}

#[async_trait]
impl<P: PartitionBackend> IdempotencyStore for PartitionedStore<P> {
    async fn begin(
        &self,
        key: &RequestKey,
        fingerprint: &str,
        lease: Duration,
    ) -> Result<BeginOutcome, StoreError> {
        let outcome = self.of_text(&key.caller).begin(key, fingerprint, lease).await?;
        let BeginOutcome::Begun(Attempt { holder, reserved_id, previous: Some(previous) }) = outcome else {
            return Ok(outcome);
        };
        let changes = self.request_changes(key, reserved_id).await?;
        let changed_stream = changes.into_iter().find_map(|change| change.applied);
        let previous = Some(PreviousAttempt { changed_stream, ..previous });
        Ok(BeginOutcome::Begun(Attempt { holder, reserved_id, previous }))
    }

    async fn renew(&self, key: &RequestKey, attempt: &Attempt, lease: Duration) -> Result<bool, StoreError> {
        self.of_text(&key.caller).renew(key, attempt, lease).await
    }

    async fn complete(
        &self,
        key: &RequestKey,
        attempt: &Attempt,
        answer: &str,
        keep: Duration,
    ) -> Result<(), StoreError> {
        let keep = self.time_to_keep(key, attempt, keep).await?;
        self.of_text(&key.caller).complete(key, attempt, answer, keep).await
    }

    async fn abandon(&self, key: &RequestKey, attempt: &Attempt, keep: Duration) -> Result<(), StoreError> {
        let keep = self.time_to_keep(key, attempt, keep).await?;
        self.of_text(&key.caller).abandon(key, attempt, keep).await
    }
}

#[async_trait]
impl<P: PartitionBackend> RateLimitStore for PartitionedStore<P> {
    async fn take(&self, subject: &str, limit: RateLimit) -> Result<RateLimitDecision, StoreError> {
        self.of_text(subject).take(subject, limit).await
    }

    async fn charge(
        &self,
        subject: &str,
        units: u32,
        limit: RateLimit,
    ) -> Result<RateLimitDecision, StoreError> {
        self.of_text(subject).charge(subject, units, limit).await
    }
}
