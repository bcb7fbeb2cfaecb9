//! Requests that may be sent again.

use std::time::Duration;

use async_trait::async_trait;

use super::{RedisStore, corrupt};
use crate::{
    domain::{StreamId, Timestamp},
    store::{Answers, Attempt, Earlier, Known, Once, StoreError, answers::REMEMBERED},
};

impl RedisStore {
    /// Prolongs an attempt, or ends it.
    async fn hold_request(
        &self,
        name: &'static str,
        key: &str,
        attempt: &Attempt,
        lease: Duration,
        answer: &str,
    ) -> Result<bool, StoreError> {
        let args = [attempt.holder.clone(), lease.as_millis().to_string(), answer.to_owned()];
        self.run(name, &self.scripts.request_hold, &[self.keys.request(key)], &args).await
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
        let keys = [self.keys.request(key), self.keys.once(&Once::Request(key.to_owned()))];
        let args = [
            fingerprint.to_owned(),
            holder.clone(),
            StreamId::generate().to_string(),
            lease.as_millis().to_string(),
            REMEMBERED.as_millis().to_string(),
        ];
        let answer: Vec<String> =
            self.run("request_begin", &self.scripts.request_begin, &keys, &args).await?;
        let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
        match answer[..] {
            ["begun", seed, since, done] => {
                let seed = id(seed)?;
                let earlier = (!since.is_empty()).then(|| earlier(since, done)).transpose()?;
                Ok(Known::Begun(Attempt { holder, seed, earlier }))
            }
            ["under_way"] => Ok(Known::UnderWay),
            ["other"] => Ok(Known::Other),
            ["answered", answer] => Ok(Known::Answered(answer.to_owned())),
            _ => Err(corrupt("a script's answer")),
        }
    }

    async fn hold(&self, key: &str, attempt: &Attempt, lease: Duration) -> Result<bool, StoreError> {
        self.hold_request("request_hold", key, attempt, lease, "").await
    }

    async fn answer(&self, key: &str, attempt: &Attempt, answer: &str) -> Result<(), StoreError> {
        self.hold_request("request_answer", key, attempt, Duration::ZERO, answer).await.map(drop)
    }

    async fn give_up(&self, key: &str, attempt: &Attempt) -> Result<(), StoreError> {
        self.hold_request("request_give_up", key, attempt, Duration::ZERO, "").await.map(drop)
    }
}
