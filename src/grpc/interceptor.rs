//! Admission control of gRPC calls, by the same rules as for HTTP requests.

use tonic::{Request, Status};

use super::status::status;
use crate::{
    access::Action,
    admission::{Admission, Authentication, RateLimitClass, Rejection, RequestContext, bearer},
    domain::ErrorCode,
};

/// Attaches the caller's token and address to a request.
///
/// An interceptor cannot await the rate limiter, so each call admits its caller itself, by [`admit`].
pub fn attach_call(admission: &Admission, mut request: Request<()>) -> Request<()> {
    let authorization = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
    // A header without a bearer token counts as an invalid token.
    let token = authorization.map(|value| bearer(value).unwrap_or_default());
    let forwarded: Vec<_> = request.metadata().get_all("x-forwarded-for").iter().collect();
    let forwarded = forwarded.iter().map(|value| value.to_str().unwrap_or_default());
    let authentication =
        admission.authenticate(token, request.remote_addr().map(|peer| peer.ip()), forwarded);
    request.extensions_mut().insert(authentication);
    request
}

/// Authenticates and rate-limits a call, and checks that the caller may take one of the actions.
///
/// # Errors
/// `RESOURCE_EXHAUSTED` over the rate limit, `UNAUTHENTICATED` without a valid token, `PERMISSION_DENIED` without a
/// grant.
pub async fn admit<T>(
    admission: &Admission,
    request: &Request<T>,
    actions: &'static [Action],
) -> Result<RequestContext, Status> {
    let authentication = request.extensions().get::<Authentication>().cloned();
    let authentication = authentication.ok_or_else(|| status(ErrorCode::Internal, None))?;
    let (_, admitted) = admission.admit(authentication, RateLimitClass::Read, actions).await;
    admitted.map_err(|rejection| match rejection {
        Rejection::RateLimited(_) => status(ErrorCode::RateLimited, None),
        Rejection::Unauthenticated(why) => status(ErrorCode::Unauthenticated, Some(why.to_string())),
        Rejection::Forbidden(actions) => {
            let requirements: Vec<_> = actions.iter().map(|action| action.requirement()).collect();
            status(ErrorCode::Forbidden, Some(requirements.join("; ")))
        }
    })
}
