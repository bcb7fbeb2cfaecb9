//! Who is asking: the same question as over HTTP, in gRPC's words.

use tonic::{Request, Status};

use super::status::status;
use crate::{
    access::Action,
    admission::{Admission, Asking, Budget, Call, Refusal, bearer},
    domain::ErrorCode,
};

/// Takes down who calls, by `authorization: Bearer …`. Nobody is refused here, because nothing can be counted here: a call
/// learns who is asking by [`admit`] alone.
pub fn note_caller(admission: &Admission, mut request: Request<()>) -> Request<()> {
    let authorization = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
    // What is there and is no token is refused as one.
    let token = authorization.map(|value| bearer(value).unwrap_or_default());
    let forwarded: Vec<_> = request.metadata().get_all("x-forwarded-for").iter().collect();
    let forwarded = forwarded.iter().map(|value| value.to_str().unwrap_or_default());
    let call = admission.call(token, request.remote_addr().map(|peer| peer.ip()), forwarded);
    request.extensions_mut().insert(call);
    request
}

/// Lets a call in, or says why not.
///
/// # Errors
/// `RESOURCE_EXHAUSTED` for one who asks too often, UNAUTHENTICATED without a good token, `PERMISSION_DENIED` without a grant.
pub async fn admit<T>(
    admission: &Admission,
    request: &Request<T>,
    actions: &'static [Action],
) -> Result<Asking, Status> {
    let call = request.extensions().get::<Call>().cloned();
    let call = call.ok_or_else(|| status(ErrorCode::Internal, None))?;
    let (_, admitted) = admission.admit(call, Budget::Read, actions).await;
    admitted.map_err(|refusal| match refusal {
        Refusal::TooOften(_) => status(ErrorCode::RateLimited, None),
        Refusal::Unauthenticated(why) => status(ErrorCode::Unauthenticated, Some(why.to_string())),
        Refusal::Forbidden(actions) => {
            let needs: Vec<_> = actions.iter().map(|action| action.needs()).collect();
            status(ErrorCode::Forbidden, Some(needs.join("; ")))
        }
    })
}
