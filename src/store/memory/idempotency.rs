//! Idempotent requests in memory.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::{StreamId, Timestamp},
    store::{
        Attempt, BeginOutcome, DedupKey, IDEMPOTENCY_TTL, IdempotencyStore, PreviousAttempt, StoreError,
    },
};

struct Request {
    fingerprint: String,
    reserved_id: StreamId,
    since: Option<Timestamp>,
    /// Holder of the current attempt, and the end of its lease.
    held: Option<(String, Timestamp)>,
    answer: Option<String>,
    /// Time at which the record expires.
    expires_at: Timestamp,
}

#[derive(Default)]
pub(super) struct Requests(HashMap<String, Request>);

impl Requests {
    fn begin(
        &mut self,
        key: &str,
        fingerprint: &str,
        lease: Duration,
        changed_stream: Option<StreamId>,
        now: Timestamp,
    ) -> BeginOutcome {
        self.0.retain(|_, request| request.expires_at > now);
        let request = self.0.entry(key.to_owned()).or_insert_with(|| Request {
            fingerprint: fingerprint.to_owned(),
            reserved_id: StreamId::generate(),
            since: None,
            held: None,
            answer: None,
            expires_at: now,
        });
        if request.fingerprint != fingerprint {
            return BeginOutcome::Mismatch;
        }
        if let Some(answer) = &request.answer {
            return BeginOutcome::Completed(answer.clone());
        }
        if request.held.as_ref().is_some_and(|(_, until)| *until > now) {
            return BeginOutcome::InProgress;
        }
        let previous = request.since.map(|since| PreviousAttempt { since, changed_stream });
        request.since.get_or_insert(now);
        let holder = uuid::Uuid::new_v4().to_string();
        let attempt = Attempt { holder, reserved_id: request.reserved_id, previous };
        request.held = Some((attempt.holder.clone(), now.plus(lease)));
        request.expires_at = now.plus(IDEMPOTENCY_TTL);
        BeginOutcome::Begun(attempt)
    }

    fn held_by(&mut self, key: &str, attempt: &Attempt) -> Option<&mut Request> {
        let request = self.0.get_mut(key)?;
        request.held.as_ref().is_some_and(|(holder, _)| *holder == attempt.holder).then_some(request)
    }
}

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
