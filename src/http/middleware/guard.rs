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
    access::Action,
    admission::{Admission, Budget, Call, Verdict, bearer},
    domain::ErrorCode,
    http::{
        app_state::AppState,
        extract::Query,
        problem::{Problem, whole_seconds},
    },
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

/// The middleware of one route.
///
/// # Errors
/// None of its own: what it refuses is answered with a problem document.
pub async fn guard(
    demand: Demand,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(api) = request.app_data::<Data<AppState>>().cloned() else {
        return Ok(request.error_response(Problem::new(ErrorCode::Internal)));
    };
    let call = call(&api.admission, &request, demand);
    let (verdict, admitted) = api.admission.admit(call, demand.budget, demand.actions).await;
    let answer = match admitted {
        Err(refusal) => Ok(request.error_response(Problem::from(refusal))),
        Ok(asking) => {
            request.extensions_mut().insert(asking);
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

fn call(admission: &Admission, request: &ServiceRequest, demand: Demand) -> Call {
    let forwarded: Vec<_> = request.headers().get_all(header::X_FORWARDED_FOR).collect();
    let forwarded = forwarded.iter().map(|value| value.to_str().unwrap_or_default());
    let peer = request.peer_addr().map(|peer| peer.ip());
    admission.call(token(request, demand).as_deref(), peer, forwarded)
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
