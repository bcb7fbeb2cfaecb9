//! Request context and idempotency state that the middleware has attached to a request.

use std::{
    borrow::Cow,
    future::{Ready, ready},
};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};

use crate::{
    admission::RequestContext,
    domain::{ErrorCode, StreamId},
    http::{
        job_record::ExecutedOnJob,
        problem::Problem,
        request_record::{Executed, ExecutedOnEndpoint},
    },
    store::{Attempt, DedupKey, PreviousAttempt},
};

/// Idempotency state of a request that has an `Idempotency-Key`. The middleware attaches it to the request.
#[derive(Clone)]
pub enum IdempotencyContext {
    /// The handler executes the request.
    Attempt {
        /// Deduplication key of the request's change.
        dedup_key: DedupKey,
        /// This attempt, and what the previous one has done.
        attempt: Attempt,
    },
    /// The request was executed. The handler makes its response again and changes nothing.
    Executed(Executed),
    /// As [`Self::Executed`], for a request about a webhook endpoint.
    ExecutedOnEndpoint(ExecutedOnEndpoint),
    /// As [`Self::Executed`], for a request about a media job.
    ExecutedOnJob(ExecutedOnJob),
}

/// Attached by `http::middleware::guard`. A handler on a route without that middleware gets an error, because a default
/// would be a caller with every permission.
impl FromRequest for RequestContext {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(|| Problem::new(ErrorCode::Internal)))
    }
}

/// Idempotency state of the request; empty for a request without an `Idempotency-Key`.
///
/// A handler that has it attaches [`Executed`] to its response. Without that, a repetition is executed again, and only
/// the deduplication key prevents a second change.
pub struct Retry(Option<IdempotencyContext>);

impl Retry {
    /// Returns the stream that the request is about: the one that an earlier attempt has changed, or else the one in
    /// the path. A room name in the path may belong to another stream since the earlier attempt.
    pub fn stream<'a>(&self, path: &'a str) -> Cow<'a, str> {
        let done = self.previous().and_then(|previous| previous.changed_stream);
        done.map_or(Cow::Borrowed(path), |id| Cow::Owned(id.to_string()))
    }

    /// Returns the executed request whose response the handler makes again, instead of executing this one.
    pub fn executed(&self) -> Option<&Executed> {
        match &self.0 {
            Some(IdempotencyContext::Executed(executed)) => Some(executed),
            _ => None,
        }
    }

    /// As [`Self::executed`], for a request about a webhook endpoint.
    pub fn executed_on_endpoint(&self) -> Option<&ExecutedOnEndpoint> {
        match &self.0 {
            Some(IdempotencyContext::ExecutedOnEndpoint(executed)) => Some(executed),
            _ => None,
        }
    }

    /// As [`Self::executed`], for a request about a media job.
    pub fn executed_on_job(&self) -> Option<&ExecutedOnJob> {
        match &self.0 {
            Some(IdempotencyContext::ExecutedOnJob(executed)) => Some(executed),
            _ => None,
        }
    }

    fn attempt(&self) -> Option<&Attempt> {
        match &self.0 {
            Some(IdempotencyContext::Attempt { attempt, .. }) => Some(attempt),
            _ => None,
        }
    }

    /// Returns the id that a created stream gets, which is the same in every attempt.
    pub fn reserved_id(&self) -> Option<StreamId> {
        self.attempt().map(|attempt| attempt.reserved_id)
    }

    /// Returns what earlier attempts have done.
    pub fn previous(&self) -> Option<&PreviousAttempt> {
        self.attempt()?.previous.as_ref()
    }

    /// Returns the deduplication key of the request's change.
    pub fn dedup_key(&self) -> Option<DedupKey> {
        match &self.0 {
            Some(IdempotencyContext::Attempt { dedup_key, .. }) => Some(dedup_key.clone()),
            _ => None,
        }
    }
}

impl FromRequest for Retry {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(request.extensions().get::<IdempotencyContext>().cloned())))
    }
}
