//! Request ids, the request log, metrics, and problem documents for errors of the framework.
//!
//! The log names the path of a request and never its query, because a query may hold an access token.

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    Error, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, Method, StatusCode, Uri,
        header::{self, HeaderValue},
    },
    middleware::Next,
    web::Data,
};
use tracing::{Instrument, Level, Span, info_span};
use uuid::Uuid;

use super::app_paths::AppPaths;
use crate::{
    domain::ErrorCode,
    http::{
        app_state::AppState,
        hijack::ConnectionHandle,
        problem::{Problem, REQUEST_ID},
    },
    telemetry::Metrics,
};

/// Maximum length of a caller's request id.
const MAX_REQUEST_ID: usize = 128;
/// Status in metrics and logs of a request without a response: its client left (as in nginx), or the instance ended.
const CLIENT_CLOSED_REQUEST: u16 = 499;
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

/// Gives every request an id and a span, and counts and logs its response. A request whose client leaves before the
/// response has status 499.
///
/// # Errors
/// Errors of inner middleware, as problem documents. A panic is [`ErrorCode::Internal`]: `CatchPanic` makes it an
/// error, and the panic hook has logged it in the span of the request.
pub async fn observe(
    paths: AppPaths,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let metrics = request.app_data::<Data<AppState>>().map(|api| api.metrics.clone());
    observe_with(metrics, paths, request, next).await
}

async fn observe_with(
    metrics: Option<Arc<Metrics>>,
    paths: AppPaths,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let connection = request.conn_data::<ConnectionHandle>().cloned();
    let body_length = body_length(&request);
    let _handling = connection.as_ref().map(|connection| connection.start_handler(body_length));
    let id = request_id(&request);
    paths.read(&request);
    let observed = ObservedRequest::new(metrics, paths, &request, &id);
    match next.call(request).instrument(observed.span.clone()).await {
        Ok(response) => {
            let mut response = response.map_into_boxed_body();
            if let Some(connection) = &connection {
                end_or_close(connection, &mut response);
            }
            response.headers_mut().insert(REQUEST_ID, id);
            // Browsers must not interpret markup in JSON.
            response
                .headers_mut()
                .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            // Routing has found the route already, so this compares no pattern again.
            let route = response.request().match_pattern();
            observed.record(route.as_deref(), response.status());
            Ok(response)
        }
        Err(error) => {
            let problem = as_problem(&error).for_request(id);
            observed.record(observed.route().as_deref(), problem.status_code());
            Err(problem.into())
        }
    }
}

/// Returns the length of the body; `None` if it is chunked.
fn body_length(request: &ServiceRequest) -> Option<u64> {
    if request.headers().contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    let length = request.headers().get(header::CONTENT_LENGTH);
    // The HTTP layer refuses a length that is not a number.
    Some(length.and_then(|length| length.to_str().ok()?.trim().parse().ok()).unwrap_or_default())
}

/// Ends the requests of a connection that becomes a WebSocket, and closes one whose body was not read after the
/// response.
fn end_or_close(connection: &ConnectionHandle, response: &mut ServiceResponse<BoxBody>) {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        connection.end_requests();
    } else if connection.has_unread_body() {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
}

/// Returns a problem of this crate unchanged, and maps an error of the framework to one.
fn as_problem(error: &Error) -> Problem {
    if let Some(problem) = error.as_error::<Problem>() {
        return problem.clone();
    }
    let client_error = error.as_response_error().status_code().is_client_error();
    Problem::new(if client_error { ErrorCode::ValidationFailed } else { ErrorCode::Internal })
}

/// What the metrics and the log line of a request name. Taken before the request is handled, because an error has no
/// request. Records a request without a response when it is dropped.
struct ObservedRequest {
    metrics: Option<Arc<Metrics>>,
    paths: AppPaths,
    method: Method,
    uri: Uri,
    started: Instant,
    span: Span,
    is_recorded: Cell<bool>,
}

impl ObservedRequest {
    fn new(
        metrics: Option<Arc<Metrics>>,
        paths: AppPaths,
        request: &ServiceRequest,
        id: &HeaderValue,
    ) -> Self {
        Self {
            metrics,
            paths,
            method: request.method().clone(),
            uri: request.uri().clone(),
            started: Instant::now(),
            span: info_span!(parent: None, "request", id = id.to_str().unwrap_or_default()),
            is_recorded: Cell::new(false),
        }
    }

    /// Returns the route of a request that has no response.
    fn route(&self) -> Option<String> {
        self.paths.route_of(self.uri.path())
    }

    /// Counts and logs the response.
    fn record(&self, route: Option<&str>, status: StatusCode) {
        self.is_recorded.set(true);
        let elapsed = self.started.elapsed();
        if let Some(metrics) = &self.metrics {
            let (route, method) = (route.unwrap_or("none"), known_method(self.method.as_str()));
            metrics.http_requests.with_label_values(&[route, method, status.as_str()]).inc();
            metrics.http_duration.with_label_values(&[route, method]).observe(elapsed.as_secs_f64());
        }
        log(&self.span, &self.method, self.uri.path(), status, elapsed);
    }
}

impl Drop for ObservedRequest {
    fn drop(&mut self) {
        if let (false, Ok(status)) = (self.is_recorded.get(), StatusCode::from_u16(CLIENT_CLOSED_REQUEST)) {
            self.record(self.route().as_deref(), status);
        }
    }
}

/// Logs one line for each request. The default filter shows changes, errors and slow requests.
fn log(span: &Span, method: &Method, path: &str, status: StatusCode, elapsed: Duration) {
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

#[cfg(test)]
mod tests {
    use std::future::pending;

    use actix_web::{
        App, HttpResponse,
        middleware::from_fn,
        test::{TestRequest, init_service, try_call_service},
        web::get,
    };
    use actix_web_lab::middleware::CatchPanic;
    use futures_util::FutureExt;

    use super::*;

    #[allow(clippy::panic)]
    async fn panicking() -> HttpResponse {
        panic!("a bug")
    }

    /// Metrics, and an app that answers one route by this handler.
    macro_rules! observed_app {
        ($handler:expr) => {{
            let metrics = Arc::new(Metrics::new().unwrap());
            let (of_app, paths) = (metrics.clone(), AppPaths::default());
            let app = App::new()
                .wrap(CatchPanic::default())
                .wrap(from_fn(move |request, next| {
                    observe_with(Some(of_app.clone()), paths.clone(), request, next)
                }))
                .route("/streams/{id}", get().to($handler));
            (metrics, init_service(app).await)
        }};
    }

    fn assert_counted_once(metrics: &Metrics, status: &str) {
        let labels = ["/streams/{id}", "GET", status];
        assert_eq!(metrics.http_requests.with_label_values(&labels).get(), 1);
        assert_eq!(metrics.http_duration.with_label_values(&labels[..2]).get_sample_count(), 1);
    }

    #[actix_web::test]
    async fn request_whose_handler_panics_is_counted_with_status_500() {
        let (metrics, app) = observed_app!(panicking);
        let request = TestRequest::get().uri("/streams/one").to_request();
        let error = try_call_service(&app, request).await.unwrap_err();
        let problem = error.as_error::<Problem>().unwrap();
        assert_eq!(problem.code(), ErrorCode::Internal);
        assert!(problem.error_response().headers().contains_key(REQUEST_ID));
        assert_counted_once(&metrics, "500");
    }

    #[actix_web::test]
    async fn request_that_is_dropped_before_its_response_is_counted_with_status_499() {
        let (metrics, app) = observed_app!(pending::<HttpResponse>);
        let request = TestRequest::get().uri("/streams/one").to_request();
        assert!(try_call_service(&app, request).now_or_never().is_none());
        assert_counted_once(&metrics, "499");
    }
}
