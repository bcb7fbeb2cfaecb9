//! Admission control of gRPC calls, by the same rules as for HTTP requests.

use tonic::{Request, Status};

use super::{calls::ConnectionInfo, status::status};
use crate::{
    access::Action,
    admission::{Admission, Admitted, Authentication, RateLimitClass, Rejection, RequestContext, bearer},
    domain::ErrorCode,
};

/// Hosts that a call names, in `:authority` and `host`. Attached to the call, because an interceptor does not see the
/// URI.
#[derive(Clone)]
pub struct CallHosts {
    authority: Option<String>,
    hosts: Vec<String>,
}

/// Attaches [`CallHosts`] and the client's address to a call.
pub fn attach_connection<B>(mut call: http::Request<B>) -> http::Request<B> {
    if let Some(connection) = call.extensions_mut().remove::<ConnectionInfo>() {
        call.extensions_mut().insert(connection.addresses);
    }
    let authority = call.uri().authority().map(ToString::to_string);
    let hosts = call.headers().get_all("host").iter();
    let hosts = hosts.map(|value| value.to_str().unwrap_or_default().to_owned()).collect();
    call.extensions_mut().insert(CallHosts { authority, hosts });
    call
}

/// Checks the host of a call, and attaches the caller's token and address.
///
/// An interceptor cannot await the rate limiter, so each call admits its caller itself, by [`read`].
///
/// # Errors
/// `PERMISSION_DENIED` if an API without authentication does not accept the host, or if `:authority` and `host` differ
/// (RFC 9113, section 8.3.1).
pub fn attach_call(admission: &Admission, mut request: Request<()>) -> Result<Request<()>, Status> {
    if let Some(CallHosts { authority, hosts }) = request.extensions().get() {
        let (authority, hosts) = (authority.as_deref(), hosts.iter().map(String::as_str));
        admission.check_authority(authority, hosts).map_err(|code| status(code, None))?;
    }
    let authorization = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
    // A header without a bearer token counts as an invalid token.
    let token = authorization.map(|value| bearer(value).unwrap_or_default());
    let forwarded: Vec<_> = request.metadata().get_all("x-forwarded-for").iter().collect();
    let forwarded = forwarded.iter().map(|value| value.to_str().unwrap_or_default());
    let authentication =
        admission.authenticate(token, request.remote_addr().map(|peer| peer.ip()), forwarded);
    request.extensions_mut().insert(authentication);
    Ok(request)
}

/// Admits a read whose caller may take one of the actions, and executes it. With a read limit, a task of its own does
/// that, so that a call that its client cancels is charged for what it has read.
///
/// # Errors
/// Those of [`admit`] and of `execute`.
pub async fn read<T, R, F>(
    admission: &Admission,
    request: Request<T>,
    actions: &'static [Action],
    execute: impl FnOnce(RequestContext, Request<T>) -> F,
) -> Result<R, Status>
where
    R: Send + 'static,
    F: Future<Output = Result<R, Status>> + Send + 'static,
{
    let Admitted { context, read_permit } = admit(admission, &request, actions).await?;
    let execution = execute(context, request);
    let Some(permit) = read_permit else { return execution.await };
    let task = tokio::spawn(async move {
        let result = execution.await;
        drop(permit);
        result
    });
    task.await.unwrap_or_else(|_| Err(status(ErrorCode::Internal, None)))
}

/// Authenticates and rate-limits a call, and checks that the caller may take one of the actions.
///
/// # Errors
/// `RESOURCE_EXHAUSTED` over the rate limit, `UNAUTHENTICATED` without a valid token, `PERMISSION_DENIED` without a
/// grant.
async fn admit<T>(
    admission: &Admission,
    request: &Request<T>,
    actions: &'static [Action],
) -> Result<Admitted, Status> {
    let authentication = request.extensions().get::<Authentication>().cloned();
    let authentication = authentication.ok_or_else(|| status(ErrorCode::Internal, None))?;
    let (_, admitted) = admission.admit(authentication, RateLimitClass::Read, actions).await;
    admitted.map_err(|rejection| match rejection {
        Rejection::RateLimited(_) | Rejection::TooManyReads => status(ErrorCode::RateLimited, None),
        Rejection::Unauthenticated(why) => status(ErrorCode::Unauthenticated, Some(why.to_string())),
        Rejection::Forbidden(actions) => {
            let requirements: Vec<_> = actions.iter().map(|action| action.requirement()).collect();
            status(ErrorCode::Forbidden, Some(requirements.join("; ")))
        }
    })
}
