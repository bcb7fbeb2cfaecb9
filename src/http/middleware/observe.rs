//! Request ids, the access log, metrics, and panics turned into answers.
//!
//! The log names the path of a request and never its query, because a query may hold an access token.

use std::{panic::AssertUnwindSafe, time::Instant};

use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderValue},
    middleware::Next,
    web::Data,
};
use futures_util::FutureExt;
use tracing::{Instrument, info_span};
use uuid::Uuid;

use crate::{
    domain::ErrorCode,
    http::{
        Api,
        problem::{Problem, REQUEST_ID},
        takeover::Claim,
    },
};

/// The longest request id that is taken over from a caller.
const MAX_REQUEST_ID: usize = 128;

/// The caller's own id where it sent a sensible one.
fn request_id(request: &ServiceRequest) -> HeaderValue {
    let sensible = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=MAX_REQUEST_ID).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    };
    let own = request.headers().get(REQUEST_ID).filter(sensible).cloned();
    let made_up = || HeaderValue::from_str(&Uuid::now_v7().to_string());
    own.map_or_else(made_up, Ok).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

/// The middleware.
///
/// # Errors
/// None of its own: what fails further in is answered with a problem document here.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let _handling = request.conn_data::<Claim>().map(Claim::handle);
    let id = request_id(&request);
    let span = info_span!("request", id = id.to_str().unwrap_or_default());
    let answer = AssertUnwindSafe(next.call(request)).catch_unwind().instrument(span.clone()).await;
    let mut response = match answer {
        Ok(Ok(response)) => response.map_into_boxed_body(),
        Ok(Err(error)) => return Err(as_problem(&error).for_request(id).into()),
        Err(_) => {
            span.in_scope(|| tracing::error!("a handler panicked"));
            return Err(Problem::new(ErrorCode::Internal).for_request(id).into());
        }
    };
    response.headers_mut().insert(REQUEST_ID, id);
    // JSON with somebody's markup in it is still JSON.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    record(&response, started, &span);
    Ok(response)
}

/// Errors of this crate are problems already; the framework's own become one.
fn as_problem(error: &Error) -> Problem {
    if let Some(problem) = error.as_error::<Problem>() {
        return problem.clone();
    }
    let client_error = error.as_response_error().status_code().is_client_error();
    Problem::new(if client_error { ErrorCode::ValidationFailed } else { ErrorCode::Internal })
}

fn record(response: &ServiceResponse<BoxBody>, started: Instant, span: &tracing::Span) {
    let request = response.request();
    let route = request.match_pattern().unwrap_or_else(|| "none".to_owned());
    let method = known_method(request.method().as_str());
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    if let Some(api) = request.app_data::<Data<Api>>() {
        let metrics = &api.metrics;
        metrics.http_requests.with_label_values(&[&route, method, &status.to_string()]).inc();
        metrics.http_duration.with_label_values(&[&route, method]).observe(elapsed.as_secs_f64());
    }
    let quiet = route.starts_with("/health") || route == "/metrics";
    span.in_scope(|| {
        let path = request.path();
        let millis = elapsed.as_secs_f64() * 1000.0;
        if quiet {
            tracing::debug!(method, path, status, millis, "answered");
        } else {
            tracing::info!(method, path, status, millis, "answered");
        }
    });
}

/// A method as a label: a caller may send any word.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}
