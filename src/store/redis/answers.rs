//! Requests that may be sent again.

use std::time::Duration;

use async_trait::async_trait;

use super::{RedisStore, corrupt};
use crate::{
    domain::StreamId,
    store::{Answers, Attempt, Known, StoreError, answers::REMEMBERED},
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

#[async_trait]
impl Answers for RedisStore {
    async fn begin(&self, key: &str, fingerprint: &str, lease: Duration) -> Result<Known, StoreError> {
        let holder = uuid::Uuid::new_v4().to_string();
        let args = [
            fingerprint.to_owned(),
            holder.clone(),
            StreamId::generate().to_string(),
            lease.as_millis().to_string(),
            REMEMBERED.as_millis().to_string(),
        ];
        let answer: Vec<String> =
            self.run("request_begin", &self.scripts.request_begin, &[self.keys.request(key)], &args).await?;
        let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
        match answer[..] {
            ["begun", seed] => {
                let seed = seed.parse().map_err(|_| corrupt("request"))?;
                Ok(Known::Begun(Attempt { holder, seed }))
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
