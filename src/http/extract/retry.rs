//! Who is asking, and whether they have asked before: what the middleware found.

use std::{
    borrow::Cow,
    future::{Ready, ready},
};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};

use crate::{
    admission::RequestContext,
    domain::{ErrorCode, StreamId},
    http::problem::Problem,
    store::{Attempt, DedupKey, PreviousAttempt},
};

/// What makes the change of a request happen once; handlers find it with the request.
#[derive(Clone)]
pub struct Repeatable {
    /// What its change is made under.
    pub dedup_key: DedupKey,
    /// The attempt.
    pub attempt: Attempt,
}

/// Found by `http::middleware::guard`: a handler on a route without it gets an error, not a caller who may do
/// everything.
impl FromRequest for RequestContext {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(|| Problem::new(ErrorCode::Internal)))
    }
}

/// What makes the change of this request happen once, where the caller has asked for that.
pub struct Retry(Option<Repeatable>);

impl Retry {
    /// The stream that the request is about, as its path names it; or the one that an earlier attempt has changed, because
    /// the name may be another stream's by now.
    pub fn stream<'a>(&self, path: &'a str) -> Cow<'a, str> {
        let done = self.previous().and_then(|previous| previous.changed_stream);
        done.map_or(Cow::Borrowed(path), |id| Cow::Owned(id.to_string()))
    }

    /// The id of a stream that the request creates.
    pub fn reserved_id(&self) -> Option<StreamId> {
        self.0.as_ref().map(|repeatable| repeatable.attempt.reserved_id)
    }

    /// What came of attempts before this one.
    pub fn previous(&self) -> Option<&PreviousAttempt> {
        self.0.as_ref()?.attempt.previous.as_ref()
    }

    /// Under what the change is made.
    pub fn dedup_key(&self) -> Option<DedupKey> {
        self.0.as_ref().map(|repeatable| repeatable.dedup_key.clone())
    }
}

impl FromRequest for Retry {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(request.extensions().get::<Repeatable>().cloned())))
    }
}
