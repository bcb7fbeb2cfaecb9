//! Requests with idempotency keys.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    client::RedisStore,
    codec::corrupt,
    scripts::{BeginRequest, UpdateRequest},
};
use crate::{
    domain::{StreamId, Timestamp},
    store::{Answers, Attempt, Earlier, Known, Once, StoreError, answers::REMEMBERED},
};

impl RedisStore {
    /// Renews an attempt; a lease of zero ends it.
    async fn hold_request(
        &self,
        name: &'static str,
        key: &str,
        attempt: &Attempt,
        lease: Duration,
        answer: Option<&str>,
    ) -> Result<bool, StoreError> {
        let call = UpdateRequest {
            request: self.keys.request(key),
            holder: attempt.holder.clone(),
            lease_ms: lease,
            answer: answer.map(str::to_owned),
        };
        self.run(name, call).await
    }
}

fn id(text: &str) -> Result<StreamId, StoreError> {
    text.parse().map_err(|_| corrupt("request"))
}

fn earlier(since: &str, done: &str) -> Result<Earlier, StoreError> {
    let since = since.parse().map(Timestamp::from_millis).map_err(|_| corrupt("request"))?;
    Ok(Earlier { since, done: (!done.is_empty()).then(|| id(done)).transpose()? })
}

#[async_trait]
impl Answers for RedisStore {
    async fn begin(&self, key: &str, fingerprint: &str, lease: Duration) -> Result<Known, StoreError> {
        let holder = uuid::Uuid::new_v4().to_string();
        let call = BeginRequest {
            request: self.keys.request(key),
            applied: self.keys.dedup(&Once::Request(key.to_owned())),
            fingerprint: fingerprint.to_owned(),
            holder: holder.clone(),
            new_id: StreamId::generate(),
            lease_ms: lease,
            record_ttl_ms: REMEMBERED,
        };
        let answer: Vec<String> = self.run("request_begin", call).await?;
        let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
        match answer[..] {
            ["begun", seed, since, done] => {
                let seed = id(seed)?;
                let earlier = (!since.is_empty()).then(|| earlier(since, done)).transpose()?;
                Ok(Known::Begun(Attempt { holder, seed, earlier }))
            }
            ["in_progress"] => Ok(Known::UnderWay),
            ["other_request"] => Ok(Known::Other),
            ["answered", answer] => Ok(Known::Answered(answer.to_owned())),
            _ => Err(corrupt("a script's answer")),
        }
    }

    async fn hold(&self, key: &str, attempt: &Attempt, lease: Duration) -> Result<bool, StoreError> {
        self.hold_request("request_hold", key, attempt, lease, None).await
    }

    async fn answer(&self, key: &str, attempt: &Attempt, answer: &str) -> Result<(), StoreError> {
        self.hold_request("request_answer", key, attempt, Duration::ZERO, Some(answer)).await.map(drop)
    }

    async fn give_up(&self, key: &str, attempt: &Attempt) -> Result<(), StoreError> {
        self.hold_request("request_give_up", key, attempt, Duration::ZERO, None).await.map(drop)
    }
}
