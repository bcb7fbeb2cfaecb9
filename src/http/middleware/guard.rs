//! Middleware of every API route: authentication, rate limit and permission check, before the body is read.

use actix_web::{
    Error, HttpMessage,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    rt,
    web::Data,
};
use tracing::Instrument;

use super::idempotency;
use crate::{
    access::Action,
    admission::{Admission, Admitted, AppliedRateLimit, Authentication, RateLimitClass, bearer},
    domain::ErrorCode,
    http::{
        app_state::AppState,
        extract::{AccessToken, Query},
        problem::{Problem, whole_seconds},
    },
};

/// Policy of a route: the permission that it needs and how its requests are counted.
#[derive(Clone, Copy, Debug)]
pub struct RoutePolicy {
    /// Actions of which the caller needs one. The handler checks the exact one, which may depend on the body.
    pub actions: &'static [Action],
    /// Rate limit that the route's requests count against.
    pub rate_limit_class: RateLimitClass,
    /// Units of that limit that a request of the route costs beyond the one of every request.
    pub further_units: u32,
    /// True if the query may have the token, for feeds, because browsers cannot set their headers.
    pub token_in_query: bool,
    /// True if the route honours `Idempotency-Key`.
    pub accepts_idempotency_key: bool,
}

/// Admits a request to a route with this policy and passes it on; answers a rejected one with a problem document.
///
/// Handlers get the caller as [`RequestContext`](crate::admission::RequestContext). Every answer of a route with a rate
/// limit has `RateLimit` headers, also a rejection.
///
/// # Errors
/// Errors of the handler.
pub async fn guard(
    policy: RoutePolicy,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(api) = request.app_data::<Data<AppState>>().cloned() else {
        return Ok(request.error_response(Problem::new(ErrorCode::Internal)));
    };
    let authentication = authenticate(&api.admission, &request, policy);
    let (applied, admitted) =
        api.admission.admit(authentication, policy.rate_limit_class, policy.actions).await;
    let (applied, mut response) = match admitted {
        Err(rejection) => (applied, request.error_response(Problem::from(rejection))),
        Ok(admitted) => {
            let further = charge_further(&api.admission, policy, &admitted.context.limit_key).await;
            let (charged, response) = execute(api, policy, admitted, request, next).await?;
            (charged.or(further).or(applied), response)
        }
    };
    if let Some(applied) = applied {
        insert_rate_limit_headers(response.headers_mut(), applied);
    }
    Ok(response)
}

/// Response to an admitted request, and the read limit after its charge if the request is a read that costs more than
/// its call.
type Charged = (Option<AppliedRateLimit>, ServiceResponse<BoxBody>);

/// Calls the handler and charges the response. With a read limit, a task of its own does both, so that a request whose
/// client leaves is charged for what it has read.
async fn execute(
    api: Data<AppState>,
    policy: RoutePolicy,
    admitted: Admitted,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<Charged, Error> {
    if !api.admission.charges_reads() {
        return respond(&api, policy, admitted, request, next).await;
    }
    let execution = async move { respond(&api, policy, admitted, request, next).await };
    let execution = rt::spawn(execution.in_current_span());
    execution.await.unwrap_or_else(|_| Err(Problem::new(ErrorCode::Internal).into()))
}

/// Calls the handler, charges the response, and then lets the caller's next read begin.
async fn respond(
    api: &Data<AppState>,
    policy: RoutePolicy,
    Admitted { context, read_permit: _permit }: Admitted,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<Charged, Error> {
    let limit_key = context.limit_key.clone();
    request.extensions_mut().insert(context);
    let response = if policy.accepts_idempotency_key {
        idempotency::run_once(api, request, next).await?
    } else {
        next.call(request).await?.map_into_boxed_body()
    };
    let charged = charge(&api.admission, &limit_key, &response).await;
    Ok((charged.filter(|_| policy.rate_limit_class == RateLimitClass::Read), response))
}

/// Charges what a request of the route costs beyond its unit, before its handler runs. A replay costs as much.
async fn charge_further(
    admission: &Admission,
    policy: RoutePolicy,
    limit_key: &str,
) -> Option<AppliedRateLimit> {
    match policy.further_units {
        0 => None,
        units => admission.charge(policy.rate_limit_class, limit_key, units).await,
    }
}

/// Charges the read limit for the size of a body, also of a change. What was read from Redis for it is at most as
/// large, because states and pages may come from caches. Feeds have no size here and are metered by their handlers.
async fn charge(
    admission: &Admission,
    limit_key: &str,
    response: &ServiceResponse<BoxBody>,
) -> Option<AppliedRateLimit> {
    let BodySize::Sized(bytes) = response.response().body().size() else { return None };
    admission.charge_read(limit_key, bytes).await
}

fn authenticate(admission: &Admission, request: &ServiceRequest, policy: RoutePolicy) -> Authentication {
    let forwarded: Vec<_> = request.headers().get_all(header::X_FORWARDED_FOR).collect();
    let forwarded = forwarded.iter().map(|value| value.to_str().unwrap_or_default());
    let peer = request.peer_addr().map(|peer| peer.ip());
    admission.authenticate(token(request, policy).as_deref(), peer, forwarded)
}

/// Returns the token of the `Authorization` header, or of the query if the route allows that.
fn token(request: &ServiceRequest, policy: RoutePolicy) -> Option<String> {
    if let Some(value) = request.headers().get(header::AUTHORIZATION) {
        // A malformed header is an invalid token, also if the query has a valid one.
        return Some(value.to_str().ok().and_then(bearer).unwrap_or_default().to_owned());
    }
    if !policy.token_in_query {
        return None;
    }
    let Query(AccessToken(token)) = Query::parse(request.request()).ok()?;
    token
}

/// Inserts the limit, the remaining number of requests, and the seconds until the whole limit is available again.
fn insert_rate_limit_headers(
    headers: &mut HeaderMap,
    AppliedRateLimit { limit, decision }: AppliedRateLimit,
) {
    for (name, value) in [
        ("ratelimit-limit", u64::from(limit.count)),
        ("ratelimit-remaining", u64::from(decision.remaining)),
        ("ratelimit-reset", whole_seconds(decision.reset)),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}
