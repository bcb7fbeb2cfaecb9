//! Who is asking: the same question as over HTTP, in gRPC's words.

use std::{net::Ipv4Addr, sync::Arc};

use tonic::{Request, Status, metadata::MetadataMap};

use super::status::status;
use crate::{
    access::Caller,
    admission::{Admission, Budget, bearer, client_address},
    domain::ErrorCode,
};

/// Whose call it is, as found here and as calls read it.
#[derive(Clone)]
pub struct Asking {
    /// Whose call it is.
    pub caller: Caller,
    /// What their calls and feeds are counted under.
    pub subject: String,
}

/// Reads `authorization: Bearer …` of a call.
///
/// # Errors
/// UNAUTHENTICATED without a good token, where one is needed.
pub fn authenticate(admission: &Admission, mut request: Request<()>) -> Result<Request<()>, Status> {
    let text = |metadata: &MetadataMap, name: &str| Some(metadata.get(name)?.to_str().ok()?.to_owned());
    let authorization = text(request.metadata(), "authorization");
    // What is there and is no token is refused as one.
    let token = authorization.as_deref().map(|value| bearer(value).unwrap_or_default());
    let caller =
        admission.caller(token).map_err(|why| status(ErrorCode::Unauthenticated, Some(why.to_string())))?;
    let peer = request.remote_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
    let forwarded: Vec<_> = request.metadata().get_all("x-forwarded-for").iter().collect();
    let values = forwarded.iter().map(|value| value.to_str().unwrap_or_default());
    let subject = Admission::subject(&caller, client_address(&admission.trusted_proxies, peer, values));
    request.extensions_mut().insert(Asking { caller, subject });
    Ok(request)
}

/// Who is asking, once the call has been counted.
///
/// # Errors
/// `RESOURCE_EXHAUSTED` for one who asks too often.
pub async fn admit<T>(admission: &Arc<Admission>, request: &Request<T>) -> Result<Asking, Status> {
    let asking = request.extensions().get::<Asking>().cloned();
    let asking = asking.ok_or_else(|| status(ErrorCode::Internal, None))?;
    match admission.limiter.take(Budget::Read, &asking.subject).await {
        Some(verdict) if !verdict.standing.granted => Err(status(ErrorCode::RateLimited, None)),
        _ => Ok(asking),
    }
}
