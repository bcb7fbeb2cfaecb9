//! Idempotent requests in memory.

use std::time::Duration;

use async_trait::async_trait;

use super::state::MemoryStore;
use crate::store::{
    Attempt, BeginOutcome, DedupKey, IDEMPOTENCY_TTL, IdempotencyStore, RequestKey, StoreError,
};

#[async_trait]
impl IdempotencyStore for MemoryStore {
    async fn begin(
        &self,
        key: &RequestKey,
        fingerprint: &str,
        lease: Duration,
    ) -> Result<BeginOutcome, StoreError> {
        let (mut inner, now) = self.current();
        let changed_stream = inner.dedup_keys.get(&DedupKey::Request(key.key.clone())).copied();
        Ok(inner.requests.begin(key, fingerprint, lease, changed_stream, now))
    }

    async fn renew(&self, key: &RequestKey, attempt: &Attempt, lease: Duration) -> Result<bool, StoreError> {
        let (mut inner, now) = self.current();
        let request = inner.requests.held_by(key, attempt);
        Ok(request.is_some_and(|request| {
            request.held = Some((attempt.holder.clone(), now.plus(lease)));
            true
        }))
    }

    async fn complete(
        &self,
        key: &RequestKey,
        attempt: &Attempt,
        answer: &str,
        keep: Duration,
    ) -> Result<(), StoreError> {
        let (mut inner, now) = self.current();
        let has_changed = inner.dedup_keys.contains_key(&DedupKey::Request(key.key.clone()));
        let keep = if has_changed { IDEMPOTENCY_TTL } else { keep };
        if let Some(request) = inner.requests.held_by(key, attempt) {
            (request.answer, request.held) = (Some(answer.to_owned()), None);
            request.expires_at = now.plus(keep);
        }
        Ok(())
    }

    async fn abandon(&self, key: &RequestKey, attempt: &Attempt) -> Result<(), StoreError> {
        if let Some(request) = self.current().0.requests.held_by(key, attempt) {
            request.held = None;
        }
        Ok(())
    }
}
