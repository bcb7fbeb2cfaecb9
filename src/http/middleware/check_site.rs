//! Middleware of every request of an open API: which hosts and which pages it accepts requests from.

use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, AsHeaderName, HeaderName},
    middleware::Next,
    web::Data,
};

use crate::{
    admission::Admission,
    domain::ErrorCode,
    http::{app_state::AppState, problem::Problem},
};

/// Paths that accept every host and origin. Orchestrators and Prometheus use names of their own, and the responses
/// describe no stream. LiveKit signs its webhooks.
const EXEMPT: [&str; 6] =
    ["/health", "/health/live", "/health/ready", "/metrics", "/webhooks/livekit", "/webhook"];
/// Site of the page that sends a request, relative to the site of the request. Pages cannot set it.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Passes a request on if the API requires tokens, or accepts the request's host and origin. Answers any other with a
/// problem document, before its body is read.
///
/// # Errors
/// Errors of inner middleware and of the handler.
pub async fn check_site(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let checked = match request.app_data::<Data<AppState>>() {
        Some(api) => check(&api.admission, &request),
        None => Err(ErrorCode::Internal),
    };
    match checked {
        Ok(()) => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
        Err(code) => Ok(request.error_response(problem(code))),
    }
}

fn check(admission: &Admission, request: &ServiceRequest) -> Result<(), ErrorCode> {
    if EXEMPT.contains(&request.path()) {
        return Ok(());
    }
    // A request target in absolute form has a host of its own (RFC 9112, section 3.2.2).
    let target = request.uri().authority().map(|authority| authority.as_str());
    let host = values(request, header::HOST);
    admission.check_hosts(target.into_iter().chain(host.iter().copied()))?;
    let is_upgrade = request.headers().contains_key(header::UPGRADE);
    if request.method().is_safe() && !is_upgrade {
        return Ok(());
    }
    let authority = host.first().copied();
    let fetch_site = values(request, FETCH_SITE).first().copied();
    match values(request, header::ORIGIN)[..] {
        [] => admission.check_origin(authority, None, fetch_site),
        [origin] => admission.check_origin(authority, Some(origin), fetch_site),
        // Several values are no origin.
        _ => admission.check_origin(authority, Some(""), fetch_site),
    }
}

/// Returns the values of a header. A value that is not visible ASCII is empty.
fn values(request: &ServiceRequest, name: impl AsHeaderName) -> Vec<&str> {
    request.headers().get_all(name).map(|value| value.to_str().unwrap_or_default()).collect()
}

fn problem(code: ErrorCode) -> Problem {
    match code {
        ErrorCode::MisdirectedRequest => Problem::with_detail(
            code,
            "with AUTH=off, Host must be localhost, an IP address or a name in ALLOWED_HOSTS",
        ),
        ErrorCode::ForeignOrigin => Problem::with_detail(
            code,
            "with AUTH=off, changes and WebSockets are accepted from pages of this host and of CORS_ORIGINS only",
        ),
        _ => Problem::new(code),
    }
}
