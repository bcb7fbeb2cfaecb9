//! Problem documents (RFC 9457): the only mapping of errors to HTTP responses.

use std::{fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    access::token::TokenError,
    admission::{MAX_CONCURRENT_READS, MAX_WAITING_READS, Rejection},
    domain::{ErrorCode, StreamId, hand_rate::HANDS_OF_PARTICIPANT},
    error_mapping::ErrorMapping,
    history, orchestrator, outbound_webhooks,
    store::StoreError,
};

/// Header with the id of the request. Every response has it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Content type of problem documents.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// `Retry-After` of a response that reports an unavailable dependency or a request in progress.
const RETRY_AFTER_SECONDS: u64 = 1;

/// An invalid field of the body or the query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Name of the field, as in the request.
    pub field: String,
    /// The rule that the field breaks.
    pub detail: String,
}

impl FieldError {
    /// Creates the fault of a field that breaks a rule.
    pub fn new(field: &str, rule: impl fmt::Display) -> Self {
        Self { field: field.to_owned(), detail: rule.to_string() }
    }
}

/// An error response.
#[derive(Clone, Debug)]
pub struct Problem {
    code: ErrorCode,
    detail: Option<String>,
    errors: Vec<FieldError>,
    /// Additional response headers.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// Creates a problem whose detail is the title of its code.
    pub const fn new(code: ErrorCode) -> Self {
        Self { code, detail: None, errors: Vec::new(), headers: Vec::new() }
    }

    /// Creates a problem with a detail of its own.
    pub fn with_detail(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(code) }
    }

    /// Creates a validation problem that names all invalid fields.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let named: Vec<_> = errors.iter().map(|error| format!("{} {}", error.field, error.detail)).collect();
        Self { errors, ..Self::with_detail(ErrorCode::ValidationFailed, named.join("; ")) }
    }

    /// Creates the problem of a webhook that arrives while too many others do. LiveKit sends it again after
    /// `Retry-After`.
    pub fn too_many_webhooks() -> Self {
        Self::with_detail(ErrorCode::RateLimited, "too many webhooks arrive at once")
            .with(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS))
    }

    /// Creates the problem of a read whose caller has its maximum of reads in progress or of waiting ones.
    fn too_many_reads() -> Self {
        let detail = format!(
            "at most {MAX_CONCURRENT_READS} reads at once, and {MAX_WAITING_READS} that wait for them for a few seconds"
        );
        Self::with_detail(ErrorCode::RateLimited, detail)
            .with(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS))
    }

    /// Creates the problem of a method that the route does not have; `allow` lists the methods that it has.
    pub fn method_not_allowed(allow: &str) -> Self {
        let allow = HeaderValue::from_str(allow).unwrap_or_else(|_| HeaderValue::from_static("GET"));
        Self::new(ErrorCode::MethodNotAllowed).with(header::ALLOW, allow)
    }

    /// Creates the problem of a caller with `max_live` live idempotency keys, its maximum; one is free after
    /// `retry_after`.
    pub fn too_many_keys(max_live: usize, retry_after: Duration) -> Self {
        let seconds = whole_seconds(retry_after).max(1);
        let detail = format!("at most {max_live} keys at a time; the earliest expires in {seconds} s");
        Self::with_detail(ErrorCode::TooManyIdempotencyKeys, detail)
            .with(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Creates the problem of a repeated request whose stream has expired since its execution.
    pub fn expired(stream: StreamId) -> Self {
        let detail = format!("the request was executed, and stream {stream} has expired since");
        Self::with_detail(ErrorCode::StreamNotFound, detail)
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds the id of the request, for a response that no middleware processes.
    pub fn for_request(self, id: HeaderValue) -> Self {
        self.with(REQUEST_ID, id)
    }

    /// Returns the code that identifies the kind of problem.
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// Returns the invalid fields.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }
}

/// Rounds a duration up to whole seconds.
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::RateLimited(decision) => {
                let seconds = whole_seconds(decision.retry_after).max(1);
                Self::with_detail(ErrorCode::RateLimited, format!("try again in {seconds} s"))
                    .with(header::RETRY_AFTER, HeaderValue::from(seconds))
            }
            Rejection::TooManyReads => Self::too_many_reads(),
            Rejection::Unauthenticated(why) => {
                // RFC 6750, section 3.
                let challenge = match why {
                    TokenError::Missing => "Bearer",
                    _ => "Bearer error=\"invalid_token\"",
                };
                Self::with_detail(ErrorCode::Unauthenticated, why.to_string())
                    .with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
            }
            Rejection::Forbidden(actions) => {
                let requirements: Vec<_> = actions.iter().map(|action| action.requirement()).collect();
                Self::with_detail(ErrorCode::Forbidden, requirements.join("; "))
            }
        }
    }
}

impl From<orchestrator::Error> for Problem {
    fn from(error: orchestrator::Error) -> Self {
        if matches!(error, orchestrator::Error::MetadataTooLarge) {
            return Self::invalid(vec![FieldError::new(
                "metadata",
                "must be at most 60000 bytes when merged",
            )]);
        }
        if let orchestrator::Error::InvalidField { field, rule } = &error {
            return Self::invalid(vec![FieldError::new(field, rule)]);
        }
        let code = error.code();
        let mapping = ErrorMapping::of(code);
        if mapping.http >= 500 {
            // The span of the request adds its id to the log line.
            tracing::error!(%error, code = mapping.code, "request failed");
        }
        let problem = Self { detail: error.detail(), ..Self::new(code) };
        if code == ErrorCode::HandsTooFrequent {
            let seconds = whole_seconds(HANDS_OF_PARTICIPANT.interval);
            return problem.with(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        problem
    }
}

impl From<outbound_webhooks::Error> for Problem {
    fn from(error: outbound_webhooks::Error) -> Self {
        use outbound_webhooks::Error;
        match error {
            Error::Store(error) => error.into(),
            Error::Stream(error) => error.into(),
            Error::Url(rule) => Self::invalid(vec![FieldError::new("url", rule)]),
            Error::UnknownCursor => Self::with_detail(ErrorCode::InvalidCursor, format!("after {error}")),
            error @ Error::Random(_) => {
                tracing::error!(%error, "request failed");
                Self::new(error.code())
            }
            error => Self::with_detail(error.code(), error.to_string()),
        }
    }
}

impl From<history::ReadError> for Problem {
    fn from(error: history::ReadError) -> Self {
        use history::ReadError;
        match error {
            ReadError::StepTooShort { .. } => Self::invalid(vec![FieldError::new("step", error)]),
            ReadError::Forbidden(_) | ReadError::NotFound | ReadError::Behind => {
                Self::with_detail(error.code(), error.to_string())
            }
            ReadError::Database(_) => {
                tracing::warn!(%error, "history not read");
                Self::new(error.code())
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        orchestrator::Error::from(error).into()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ErrorMapping::of(self.code).code)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(ErrorMapping::of(self.code).http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        let passes = self.status_code() == StatusCode::SERVICE_UNAVAILABLE
            || matches!(
                self.code,
                ErrorCode::IdempotencyInProgress | ErrorCode::OperationInProgress | ErrorCode::RoomNameLocked
            );
        if passes {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        for (name, value) in &self.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        response.content_type(PROBLEM_JSON).body(self.document().to_string())
    }
}

/// A problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemDocument<'a> {
    #[schema(example = "urn:livestream-orchestrator:problem:stream_not_found")]
    r#type: String,
    #[schema(example = "Stream not found")]
    title: &'a str,
    #[schema(example = 404)]
    status: u16,
    #[schema(example = "Stream not found")]
    detail: &'a str,
    /// Identifies the kind of problem. Clients may branch on it.
    #[schema(example = "stream_not_found")]
    code: &'a str,
    /// All invalid fields.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Option<Vec<FieldError>>)]
    errors: &'a [FieldError],
}

impl Problem {
    /// Returns the problem document as JSON.
    pub fn document(&self) -> Value {
        let mapping = ErrorMapping::of(self.code);
        let document = ProblemDocument {
            r#type: format!("urn:livestream-orchestrator:problem:{}", mapping.code),
            title: mapping.title,
            status: mapping.http,
            detail: self.detail.as_deref().unwrap_or(mapping.title),
            code: mapping.code,
            errors: &self.errors,
        };
        serde_json::to_value(document).unwrap_or_default()
    }
}
