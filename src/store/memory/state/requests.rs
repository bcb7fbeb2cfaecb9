//! Records of requests with an idempotency key.

use std::{collections::HashMap, time::Duration};

use crate::{
    domain::{StreamId, Timestamp},
    store::{Attempt, BeginOutcome, IDEMPOTENCY_TTL, PreviousAttempt},
};

pub(in crate::store::memory) struct Request {
    fingerprint: String,
    reserved_id: StreamId,
    since: Option<Timestamp>,
    /// Holder of the current attempt, and the end of its lease.
    pub(in crate::store::memory) held: Option<(String, Timestamp)>,
    pub(in crate::store::memory) answer: Option<String>,
    /// Time at which the record expires.
    expires_at: Timestamp,
}

#[derive(Default)]
pub(in crate::store::memory) struct Requests(HashMap<String, Request>);

impl Requests {
    pub(in crate::store::memory) fn begin(
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

    pub(in crate::store::memory) fn held_by(&mut self, key: &str, attempt: &Attempt) -> Option<&mut Request> {
        let request = self.0.get_mut(key)?;
        request.held.as_ref().is_some_and(|(holder, _)| *holder == attempt.holder).then_some(request)
    }
}
