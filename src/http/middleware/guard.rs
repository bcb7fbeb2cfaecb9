//! What is asked of every call of the API before it is answered: who is asking, whether they may, and whether they ask
//! too often. The decision itself is [`crate::access`]'s.

use actix_web::{
    Error, HttpMessage,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    web::Data,
};

use super::idempotency;
use crate::{
    access::{Action, Caller},
    admission::{Admission, Budget, Verdict, address_subject, bearer, client_address},
    domain::ErrorCode,
    http::{Api, extract::Query, problem::Problem},
    rooms::verifier::Refused,
};

/// What a route asks for.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Any of these: which of them it is may depend on the body.
    pub actions: &'static [Action],
    /// What the call is counted as.
    pub budget: Budget,
    /// Whether the token may stand in the query: where browsers cannot set headers, and nowhere else.
    pub token_in_query: bool,
    /// Whether `Idempotency-Key` counts.
    pub repeatable: bool,
}

/// Who is asking, as found here and as handlers read it.
#[derive(Clone)]
pub struct Asking {
    /// Whose call it is.
    pub caller: Caller,
    /// What their calls and feeds are counted under.
    pub subject: String,
}

/// The middleware of one route.
///
/// # Errors
/// None of its own: what it refuses is answered with a problem document.
pub async fn guard(
    demand: Demand,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(api) = request.app_data::<Data<Api>>().cloned() else {
        return Ok(request.error_response(Problem::new(ErrorCode::Internal)));
    };
    let address = address(&api.admission, &request);
    let found = api.admission.caller(token(&request, demand).as_deref());
    let subject = match &found {
        Ok(caller) => Admission::subject(caller, address),
        Err(_) => address_subject(address),
    };
    let verdict = api.admission.limiter.take(demand.budget, &subject).await;
    let answer = match admit(&api, demand, found, verdict) {
        Err(problem) => Ok(request.error_response(problem)),
        Ok(caller) => {
            request.extensions_mut().insert(Asking { caller, subject });
            if demand.repeatable {
                idempotency::once(&api, request, next).await
            } else {
                next.call(request).await.map(ServiceResponse::map_into_boxed_body)
            }
        }
    };
    answer.map(|mut response| {
        if let Some(verdict) = verdict {
            tell(response.headers_mut(), verdict);
        }
        response
    })
}

/// Whether a call goes on, and whose it is.
fn admit(
    api: &Api,
    demand: Demand,
    found: Result<Caller, Refused>,
    verdict: Option<Verdict>,
) -> Result<Caller, Problem> {
    if let Some(Verdict { standing, .. }) = verdict.filter(|verdict| !verdict.standing.granted) {
        return Err(Problem::rate_limited(whole_seconds(standing.retry_after).max(1)));
    }
    let caller = found.map_err(Problem::unauthenticated)?;
    if demand.actions.iter().any(|action| caller.may(*action)) {
        return Ok(caller);
    }
    api.admission.refused("forbidden");
    let needs: Vec<_> = demand.actions.iter().map(|action| action.needs()).collect();
    Err(Problem::with_detail(ErrorCode::Forbidden, needs.join("; ")))
}

fn address(admission: &Admission, request: &ServiceRequest) -> std::net::IpAddr {
    // A connection that is over has no address any more; nobody will read the answer.
    let peer = request.peer_addr().map_or(std::net::Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
    let forwarded: Vec<_> = request.headers().get_all(header::X_FORWARDED_FOR).collect();
    client_address(
        &admission.trusted_proxies,
        peer,
        forwarded.iter().map(|value| value.to_str().unwrap_or_default()),
    )
}

/// The token in the header, or where that cannot be set, in the query.
fn token(request: &ServiceRequest, demand: Demand) -> Option<String> {
    if let Some(value) = request.headers().get(header::AUTHORIZATION) {
        // What is there and is no token is not made up for by the query.
        return Some(value.to_str().ok().and_then(bearer).unwrap_or_default().to_owned());
    }
    if !demand.token_in_query {
        return None;
    }
    let query = Query::of(request.request()).ok()?;
    query.text("access_token").filter(|token| !token.is_empty()).map(str::to_owned)
}

fn whole_seconds(duration: std::time::Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// How many there are, how many are left, and after how many seconds there are all of them again.
fn tell(headers: &mut HeaderMap, Verdict { limit, standing }: Verdict) {
    for (name, value) in [
        ("ratelimit-limit", u64::from(limit.count)),
        ("ratelimit-remaining", u64::from(standing.remaining)),
        ("ratelimit-reset", whole_seconds(standing.reset)),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}
