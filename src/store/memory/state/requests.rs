//! Records of requests with an idempotency key.

use std::{collections::HashMap, time::Duration};

use crate::{
    domain::{StreamId, Timestamp},
    store::{Attempt, BeginOutcome, IDEMPOTENCY_TTL, PreviousAttempt, RequestKey},
};

pub(in crate::store::memory) struct Request {
    fingerprint: String,
    reserved_id: StreamId,
    since: Option<Timestamp>,
    /// Holder of the current attempt, and the end of its lease.
    pub(in crate::store::memory) held: Option<(String, Timestamp)>,
    pub(in crate::store::memory) answer: Option<String>,
    /// Time at which the record expires.
    pub(in crate::store::memory) expires_at: Timestamp,
    /// Caller whose live keys it counts for.
    caller: String,
}

#[derive(Default)]
pub(in crate::store::memory) struct Requests(HashMap<String, Request>);

impl Requests {
    pub(in crate::store::memory) fn begin(
        &mut self,
        key: &RequestKey,
        fingerprint: &str,
        lease: Duration,
        changed_stream: Option<StreamId>,
        now: Timestamp,
    ) -> BeginOutcome {
        self.0.retain(|_, request| request.expires_at > now);
        if let Some(retry_after) = self.wait_for_new_key(key, now) {
            return BeginOutcome::TooManyKeys { retry_after };
        }
        let request = self.0.entry(key.key.clone()).or_insert_with(|| Request {
            fingerprint: fingerprint.to_owned(),
            reserved_id: StreamId::generate(),
            since: None,
            held: None,
            answer: None,
            expires_at: now,
            caller: key.caller.clone(),
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

    /// Returns the time until the caller may use this key, if it is new and the caller has too many live ones.
    fn wait_for_new_key(&self, key: &RequestKey, now: Timestamp) -> Option<Duration> {
        let live = self.0.values().filter(|request| request.caller == key.caller);
        let expiries: Vec<_> = live.map(|request| request.expires_at).collect();
        if self.0.contains_key(&key.key) || expiries.len() < key.max_live {
            return None;
        }
        let first = expiries.into_iter().min()?;
        let millis = first.as_millis().saturating_sub(now.as_millis());
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
    }

    pub(in crate::store::memory) fn held_by(
        &mut self,
        key: &RequestKey,
        attempt: &Attempt,
    ) -> Option<&mut Request> {
        let request = self.0.get_mut(&key.key)?;
        request.held.as_ref().is_some_and(|(holder, _)| *holder == attempt.holder).then_some(request)
    }
}
