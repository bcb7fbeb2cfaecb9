//! Idempotent requests in memory.

use std::time::Duration;

use async_trait::async_trait;

use super::state::MemoryStore;
use crate::store::{Attempt, BeginOutcome, DedupKey, IdempotencyStore, RequestKey, StoreError};

impl MemoryStore {
    /// Ends an attempt. A key under which a change was made keeps its time to live.
    fn end(&self, key: &RequestKey, attempt: &Attempt, keep: Duration, answer: Option<&str>) {
        let (mut inner, now) = self.current();
        let has_changed = inner.dedup_keys.contains_key(&DedupKey::Request(key.key.clone()))
            || inner.streams.contains_key(&attempt.reserved_id);
        if let Some(request) = inner.requests.held_by(key, attempt) {
            (request.answer, request.held) = (answer.map(str::to_owned), None);
            if !has_changed {
                request.expires_at = now.plus(keep);
            }
        }
    }
}

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
        self.end(key, attempt, keep, Some(answer));
        Ok(())
    }

    async fn abandon(&self, key: &RequestKey, attempt: &Attempt, keep: Duration) -> Result<(), StoreError> {
        self.end(key, attempt, keep, None);
        Ok(())
    }
}
