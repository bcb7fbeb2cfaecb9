//! Request ids, the request log, metrics, and problem documents for errors of the framework.
//!
//! The log names the path of a request and never its query, because a query may hold an access token.

use std::time::{Duration, Instant};

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

/// Maximum length of a caller's request id.
const MAX_REQUEST_ID: usize = 128;
/// Time to the response head after which a read is logged at `info`, as changes are.
const SLOW: Duration = Duration::from_secs(1);

/// Returns the caller's id if it is valid, or a new one.
fn request_id(request: &ServiceRequest) -> HeaderValue {
    let is_valid = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=MAX_REQUEST_ID).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    };
    let own = request.headers().get(REQUEST_ID).filter(is_valid).cloned();
    let new_id = || HeaderValue::from_str(&Uuid::now_v7().to_string());
    own.map_or_else(new_id, Ok).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

/// Gives every request an id and a span, and counts and logs its response.
///
/// # Errors
/// Errors of inner middleware, as problem documents. A panic is [`ErrorCode::Internal`]: `CatchPanic` makes it an
/// error, and the panic hook has logged it in the span of the request.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let _handling = request.conn_data::<ConnectionHandle>().map(ConnectionHandle::start_handler);
    let id = request_id(&request);
    let span = info_span!(parent: None, "request", id = id.to_str().unwrap_or_default());
    let answer = next.call(request).instrument(span.clone()).await;
    let mut response = match answer {
        Ok(response) => response.map_into_boxed_body(),
        Err(error) => return Err(as_problem(&error).for_request(id).into()),
    };
    response.headers_mut().insert(REQUEST_ID, id);
    // Browsers must not interpret markup in JSON.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    record(&response, started, &span);
    Ok(response)
}

/// Returns a problem of this crate unchanged, and maps an error of the framework to one.
fn as_problem(error: &Error) -> Problem {
    if let Some(problem) = error.as_error::<Problem>() {
        return problem.clone();
    }
    let client_error = error.as_response_error().status_code().is_client_error();
    Problem::new(if client_error { ErrorCode::ValidationFailed } else { ErrorCode::Internal })
}

/// Counts and logs a response.
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

/// Logs one line for each request. The default filter shows changes, errors and slow requests.
fn log(span: &tracing::Span, method: &Method, path: &str, status: StatusCode, elapsed: Duration) {
    /// The level is part of a callsite, so each level needs its own.
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

/// Returns `debug` for quick successful reads: feeds that open, health probes and scrapes are among them.
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

/// Returns the method as a label of metrics; `other` bounds the number of values.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}
