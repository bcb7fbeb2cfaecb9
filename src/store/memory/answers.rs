//! Requests that may be sent again, in this process's memory.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::{StreamId, Timestamp},
    store::{Answers, Attempt, Earlier, Known, Once, StoreError, answers::REMEMBERED},
};

struct Request {
    fingerprint: String,
    seed: StreamId,
    since: Option<Timestamp>,
    /// Who is at it, and until when.
    held: Option<(String, Timestamp)>,
    answer: Option<String>,
    /// When it is forgotten.
    forget: Timestamp,
}

#[derive(Default)]
pub(super) struct Requests(HashMap<String, Request>);

impl Requests {
    fn begin(
        &mut self,
        key: &str,
        fingerprint: &str,
        lease: Duration,
        done: Option<StreamId>,
        now: Timestamp,
    ) -> Known {
        self.0.retain(|_, request| request.forget > now);
        let request = self.0.entry(key.to_owned()).or_insert_with(|| Request {
            fingerprint: fingerprint.to_owned(),
            seed: StreamId::generate(),
            since: None,
            held: None,
            answer: None,
            forget: now,
        });
        if request.fingerprint != fingerprint {
            return Known::Other;
        }
        if let Some(answer) = &request.answer {
            return Known::Answered(answer.clone());
        }
        if request.held.as_ref().is_some_and(|(_, until)| *until > now) {
            return Known::UnderWay;
        }
        let earlier = request.since.map(|since| Earlier { since, done });
        request.since.get_or_insert(now);
        let holder = uuid::Uuid::new_v4().to_string();
        let attempt = Attempt { holder, seed: request.seed, earlier };
        request.held = Some((attempt.holder.clone(), now.plus(lease)));
        request.forget = now.plus(REMEMBERED);
        Known::Begun(attempt)
    }

    fn held_by(&mut self, key: &str, attempt: &Attempt) -> Option<&mut Request> {
        let request = self.0.get_mut(key)?;
        request.held.as_ref().is_some_and(|(holder, _)| *holder == attempt.holder).then_some(request)
    }
}

#[async_trait]
impl Answers for MemoryStore {
    async fn begin(&self, key: &str, fingerprint: &str, lease: Duration) -> Result<Known, StoreError> {
        let (mut inner, now) = self.current();
        let done = inner.once.get(&Once::Request(key.to_owned())).copied();
        Ok(inner.requests.begin(key, fingerprint, lease, done, now))
    }

    async fn hold(&self, key: &str, attempt: &Attempt, lease: Duration) -> Result<bool, StoreError> {
        let (mut inner, now) = self.current();
        let request = inner.requests.held_by(key, attempt);
        Ok(request.is_some_and(|request| {
            request.held = Some((attempt.holder.clone(), now.plus(lease)));
            true
        }))
    }

    async fn answer(&self, key: &str, attempt: &Attempt, answer: &str) -> Result<(), StoreError> {
        if let Some(request) = self.current().0.requests.held_by(key, attempt) {
            (request.answer, request.held) = (Some(answer.to_owned()), None);
        }
        Ok(())
    }

    async fn give_up(&self, key: &str, attempt: &Attempt) -> Result<(), StoreError> {
        if let Some(request) = self.current().0.requests.held_by(key, attempt) {
            request.held = None;
        }
        Ok(())
    }
}
