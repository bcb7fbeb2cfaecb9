//! Requests with idempotency keys.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    client::RedisStore,
    codec::corrupt,
    connection::Traffic,
    scripts::{BeginRequest, UpdateRequest},
};
use crate::{
    domain::{StreamId, Timestamp},
    store::{
        Attempt, BeginOutcome, DedupKey, IDEMPOTENCY_TTL, IdempotencyStore, PreviousAttempt, RequestChange,
        RequestChanges, RequestKey, StoreError,
    },
};

impl RedisStore {
    /// Renews an attempt, or ends it if `keep` has the time to live of a key that changed nothing.
    async fn update_request(
        &self,
        name: &'static str,
        RequestKey { key, caller, .. }: &RequestKey,
        attempt: &Attempt,
        (lease, keep): (Duration, Option<Duration>),
        answer: Option<&str>,
    ) -> Result<bool, StoreError> {
        let call = UpdateRequest {
            request: self.keys.request(key),
            live_requests: self.keys.live_requests(caller),
            applied: self.keys.dedup(&DedupKey::Request(key.clone())),
            id: key.clone(),
            holder: attempt.holder.clone(),
            lease_ms: lease,
            answer: answer.map(str::to_owned),
            keep_ms: keep,
            stream_key_prefix: self.keys.stream_prefix(),
        };
        self.run(name, call).await
    }
}

fn id(text: &str) -> Result<StreamId, StoreError> {
    text.parse().map_err(|_| corrupt("request"))
}

fn previous_attempt(since: &str, done: &str) -> Result<PreviousAttempt, StoreError> {
    let since = since.parse().map(Timestamp::from_millis).map_err(|_| corrupt("request"))?;
    Ok(PreviousAttempt { since, changed_stream: (!done.is_empty()).then(|| id(done)).transpose()? })
}

#[async_trait]
impl IdempotencyStore for RedisStore {
    async fn begin(
        &self,
        RequestKey { key, caller, max_live }: &RequestKey,
        fingerprint: &str,
        lease: Duration,
    ) -> Result<BeginOutcome, StoreError> {
        let holder = uuid::Uuid::new_v4().to_string();
        let call = BeginRequest {
            request: self.keys.request(key),
            live_requests: self.keys.live_requests(caller),
            applied: self.keys.dedup(&DedupKey::Request(key.clone())),
            id: key.clone(),
            max_live: *max_live,
            fingerprint: fingerprint.to_owned(),
            holder: holder.clone(),
            new_id: StreamId::generate(),
            lease_ms: lease,
            record_ttl_ms: IDEMPOTENCY_TTL,
        };
        let answer: Vec<String> = self.run("request_begin", call).await?;
        let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
        match answer[..] {
            ["begun", reserved_id, since, done] => {
                let reserved_id = id(reserved_id)?;
                let previous = (!since.is_empty()).then(|| previous_attempt(since, done)).transpose()?;
                Ok(BeginOutcome::Begun(Attempt { holder, reserved_id, previous }))
            }
            ["in_progress"] => Ok(BeginOutcome::InProgress),
            ["other_request"] => Ok(BeginOutcome::Mismatch),
            ["too_many", millis] => {
                let millis = millis.parse().map_err(|_| corrupt("a script's answer"))?;
                Ok(BeginOutcome::TooManyKeys { retry_after: Duration::from_millis(millis) })
            }
            ["answered", answer] => Ok(BeginOutcome::Completed(answer.to_owned())),
            _ => Err(corrupt("a script's answer")),
        }
    }

    async fn renew(&self, key: &RequestKey, attempt: &Attempt, lease: Duration) -> Result<bool, StoreError> {
        self.update_request("request_renew", key, attempt, (lease, None), None).await
    }

    async fn complete(
        &self,
        key: &RequestKey,
        attempt: &Attempt,
        answer: &str,
        keep: Duration,
    ) -> Result<(), StoreError> {
        let end = (Duration::ZERO, Some(keep));
        self.update_request("request_complete", key, attempt, end, Some(answer)).await.map(drop)
    }

    async fn abandon(&self, key: &RequestKey, attempt: &Attempt, keep: Duration) -> Result<(), StoreError> {
        let end = (Duration::ZERO, Some(keep));
        self.update_request("request_abandon", key, attempt, end, None).await.map(drop)
    }
}

#[async_trait]
impl RequestChanges for RedisStore {
    async fn request_change(&self, key: &str, reserved_id: StreamId) -> Result<RequestChange, StoreError> {
        let mut commands = redis::pipe();
        commands.get(self.keys.dedup(&DedupKey::Request(key.to_owned())));
        commands.exists(self.keys.stream(reserved_id));
        let (applied, is_created): (Option<String>, bool) =
            self.pipeline("request_change", &commands, Traffic::Interactive).await?;
        Ok(RequestChange { applied: applied.as_deref().map(id).transpose()?, is_created })
    }
}
