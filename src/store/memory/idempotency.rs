//! Idempotent requests in memory.

use std::time::Duration;

use async_trait::async_trait;

use super::state::MemoryStore;
use crate::store::{Attempt, BeginOutcome, DedupKey, IdempotencyStore, StoreError};

#[async_trait]
impl IdempotencyStore for MemoryStore {
    async fn begin(&self, key: &str, fingerprint: &str, lease: Duration) -> Result<BeginOutcome, StoreError> {
        let (mut inner, now) = self.current();
        let changed_stream = inner.dedup_keys.get(&DedupKey::Request(key.to_owned())).copied();
        Ok(inner.requests.begin(key, fingerprint, lease, changed_stream, now))
    }

    async fn renew(&self, key: &str, attempt: &Attempt, lease: Duration) -> Result<bool, StoreError> {
        let (mut inner, now) = self.current();
        let request = inner.requests.held_by(key, attempt);
        Ok(request.is_some_and(|request| {
            request.held = Some((attempt.holder.clone(), now.plus(lease)));
            true
        }))
    }

    async fn complete(&self, key: &str, attempt: &Attempt, answer: &str) -> Result<(), StoreError> {
        if let Some(request) = self.current().0.requests.held_by(key, attempt) {
            (request.answer, request.held) = (Some(answer.to_owned()), None);
        }
        Ok(())
    }

    async fn abandon(&self, key: &str, attempt: &Attempt) -> Result<(), StoreError> {
        if let Some(request) = self.current().0.requests.held_by(key, attempt) {
            request.held = None;
        }
        Ok(())
    }
}
