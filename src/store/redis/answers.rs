//! Requests that may be sent again.

use std::time::Duration;

use async_trait::async_trait;

use super::{RedisStore, corrupt};
use crate::{
    domain::StreamId,
    store::{Answers, Attempt, Known, StoreError, answers::REMEMBERED},
};

impl RedisStore {
    /// Changes an attempt; an answer is bytes, which scripts take as they are.
    async fn hold_request(
        &self,
        name: &'static str,
        key: &str,
        attempt: &Attempt,
        lease: Duration,
        answer: &[u8],
    ) -> Result<bool, StoreError> {
        let args =
            [attempt.holder.as_bytes(), lease.as_millis().to_string().as_bytes(), answer].map(<[u8]>::to_vec);
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
        let answer: Vec<Vec<u8>> =
            self.run("request_begin", &self.scripts.request_begin, &[self.keys.request(key)], &args).await?;
        let answer: Vec<&[u8]> = answer.iter().map(Vec::as_slice).collect();
        match answer[..] {
            [b"begun", seed] => {
                let seed = std::str::from_utf8(seed).ok().and_then(|seed| seed.parse().ok());
                Ok(Known::Begun(Attempt { holder, seed: seed.ok_or_else(|| corrupt("request"))? }))
            }
            [b"under_way"] => Ok(Known::UnderWay),
            [b"other"] => Ok(Known::Other),
            [b"answered", answer] => Ok(Known::Answered(answer.to_vec())),
            _ => Err(corrupt("a script's answer")),
        }
    }

    async fn hold(&self, key: &str, attempt: &Attempt, lease: Duration) -> Result<bool, StoreError> {
        self.hold_request("request_hold", key, attempt, lease, b"").await
    }

    async fn answer(&self, key: &str, attempt: &Attempt, answer: &[u8]) -> Result<(), StoreError> {
        self.hold_request("request_answer", key, attempt, Duration::ZERO, answer).await.map(drop)
    }

    async fn give_up(&self, key: &str, attempt: &Attempt) -> Result<(), StoreError> {
        self.hold_request("request_give_up", key, attempt, Duration::ZERO, b"").await.map(drop)
    }
}
