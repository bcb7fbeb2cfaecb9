//! Request ids, the request log, metrics, and panics turned into answers.
//!
//! The log names the path of a request and never its query, because a query may hold an access token.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderValue},
    },
    middleware::Next,
    web::Data,
};
use futures_util::FutureExt;
use tracing::{Instrument, Level, info_span};
use uuid::Uuid;

use crate::{
    domain::ErrorCode,
    http::{
        app_state::AppState,
        hijack::ConnectionHandle,
        problem::{Problem, REQUEST_ID},
    },
};

/// The longest request id that is taken over from a caller.
const MAX_REQUEST_ID: usize = 128;
/// A read that takes longer until its answer begins is logged at `info`, as a change is.
const SLOW: Duration = Duration::from_secs(1);

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
    let _handling = request.conn_data::<ConnectionHandle>().map(ConnectionHandle::start_handler);
    let id = request_id(&request);
    let span = info_span!(parent: None, "request", id = id.to_str().unwrap_or_default());
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
    if let Some(api) = request.app_data::<Data<AppState>>() {
        let metrics = &api.metrics;
        metrics.http_requests.with_label_values(&[&route, method, &status.to_string()]).inc();
        metrics.http_duration.with_label_values(&[&route, method]).observe(elapsed.as_secs_f64());
    }
    log(span, request.method(), request.path(), response.status(), elapsed);
}

/// One line a request. The default filter shows changes, errors and slow requests.
fn log(span: &tracing::Span, method: &Method, path: &str, status: StatusCode, elapsed: Duration) {
    /// The level of a line is part of its callsite, so each level has one.
    macro_rules! answered {
        ($level:expr) => {
            tracing::event!(
                parent: span,
                $level,
                method = method.as_str(),
                path,
                status = status.as_u16(),
                millis = elapsed.as_micros() as f64 / 1_000.0,
                "answered"
            )
        };
    }
    match log_level(method, status, elapsed) {
        Level::WARN => answered!(Level::WARN),
        Level::INFO => answered!(Level::INFO),
        _ => answered!(Level::DEBUG),
    }
}

/// `debug` for what changes nothing, succeeds and is quick: reads, the openings of feeds, health probes, scrapes.
fn log_level(method: &Method, status: StatusCode, elapsed: Duration) -> Level {
    let is_read = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if status.is_server_error() {
        Level::WARN
    } else if status.is_client_error() || !is_read || elapsed >= SLOW {
        Level::INFO
    } else {
        Level::DEBUG
    }
}

/// A method as a label: a caller may send any word.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}
