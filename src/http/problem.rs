//! Errors as RFC 9457 problem documents: the only mapping of errors to HTTP.

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

use crate::{
    access::token::TokenError, admission::Rejection, domain::ErrorCode, error_mapping::ErrorMapping,
    orchestrator, store::StoreError,
};

/// The header that every response names its request by.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a caller should wait before it tries again what was refused for want of Redis or LiveKit.
const RETRY_AFTER_SECONDS: u64 = 1;

/// A field of the body or the query that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field's name as the caller wrote it.
    pub field: String,
    /// The rule, in words.
    pub detail: String,
}

impl FieldError {
    /// The field breaks this rule.
    pub fn new(field: &str, rule: impl fmt::Display) -> Self {
        Self { field: field.to_owned(), detail: rule.to_string() }
    }
}

/// A problem document.
#[derive(Clone, Debug)]
pub struct Problem {
    code: ErrorCode,
    detail: Option<String>,
    errors: Vec<FieldError>,
    /// What the answer says besides, in its head.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem about which the code says everything.
    pub const fn new(code: ErrorCode) -> Self {
        Self { code, detail: None, errors: Vec::new(), headers: Vec::new() }
    }

    /// A problem with words for this one occurrence.
    pub fn with_detail(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(code) }
    }

    /// Fields that break rules; all of them.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let named: Vec<_> = errors.iter().map(|error| format!("{} {}", error.field, error.detail)).collect();
        Self { errors, ..Self::with_detail(ErrorCode::ValidationFailed, named.join("; ")) }
    }

    /// The route has only these methods.
    pub fn method_not_allowed(allow: &str) -> Self {
        let allow = HeaderValue::from_str(allow).unwrap_or_else(|_| HeaderValue::from_static("GET"));
        Self::new(ErrorCode::MethodNotAllowed).with(header::ALLOW, allow)
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Names the request, where no middleware does so any more.
    pub fn for_request(self, id: HeaderValue) -> Self {
        self.with(REQUEST_ID, id)
    }

    /// What a client may branch on.
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// The fields that break rules.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }
}

/// Up to the next second: whoever waits that long has waited long enough.
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
        let code = error.code();
        if ErrorMapping::of(code).http >= 500 {
            // For the log, which is under the span of the request and so has its id.
            tracing::error!(%error, code = ErrorMapping::of(code).code, "the request failed");
        }
        Self { detail: error.detail(), ..Self::new(code) }
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
        response.content_type("application/problem+json").body(self.document().to_string())
    }
}

impl Problem {
    /// The document as JSON.
    pub fn document(&self) -> Value {
        #[derive(Serialize)]
        struct Document<'a> {
            r#type: String,
            title: &'a str,
            status: u16,
            detail: &'a str,
            code: &'a str,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [FieldError],
        }
        let mapping = ErrorMapping::of(self.code);
        let document = Document {
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
