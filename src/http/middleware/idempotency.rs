//! `Idempotency-Key`: executes a request once, on any instance, and makes its response again for repetitions.
//!
//! The store keeps what re-makes a response for a day ([`RequestRecord`]). The instance that executes a request holds
//! its key under a lease, which it renews while the process runs. After a crash, the next attempt may begin within
//! [`LEASE`]. It gets the reserved stream id and the deduplication key of the first attempt, so the change is made once
//! even without a record.

use std::{convert::Infallible, time::Duration};

use actix_web::{
    Error, HttpMessage, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody, to_bytes},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{HeaderName, HeaderValue, IF_MATCH, RETRY_AFTER},
    },
    middleware::Next,
    rt,
    web::{Bytes, Data},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval};
use tracing::Instrument;

use crate::{
    access::Action,
    admission::RequestContext,
    domain::ErrorCode,
    http::{
        app_state::AppState,
        extract::{IdempotencyContext, MAX_BODY_BYTES, read_body},
        job_record::ExecutedOnJob,
        problem::{FieldError, PROBLEM_JSON, Problem},
        request_record::{Executed, ExecutedOnEndpoint, RequestRecord},
    },
    store::{
        Attempt, BeginOutcome, DedupKey, FAILURE_TTL, IDEMPOTENCY_TTL, MAX_LIVE_KEYS,
        MAX_LIVE_KEYS_OF_VIEWER, RequestKey,
    },
};

/// Request header with the key.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Response header of a replayed response.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Maximum length of a key.
const MAX_KEY_BYTES: usize = 255;
/// Duration of the lease on a key without a renewal.
const LEASE: Duration = Duration::from_secs(10);
/// Interval of renewals.
const RENEW_INTERVAL: Duration = Duration::from_secs(3);
/// How long the record of a refused request is kept.
const REFUSAL_TTL: Duration = Duration::from_secs(60);

/// Returns the key, 1 to 255 printable ASCII characters; `None` without the header.
fn key(request: &ServiceRequest) -> Result<Option<String>, Problem> {
    let Some(value) = request.headers().get(KEY) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if text.is_empty() || text.len() > MAX_KEY_BYTES || !printable {
        let rule = format!("must be 1 to {MAX_KEY_BYTES} printable ASCII characters");
        return Err(Problem::invalid(vec![FieldError::new("Idempotency-Key", rule)]));
    }
    Ok(Some(text.to_owned()))
}

/// Returns the SHA-256 hash of the parts with their lengths, in base64, which Redis keeps more compactly than
/// hexadecimal text.
fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

/// Executes a request once for each key; a request without a key passes unchanged.
///
/// A repetition gets the response that its record re-makes. [`ErrorCode::IdempotencyInProgress`] answers a repetition
/// during the execution, [`ErrorCode::IdempotencyMismatch`] another request with the same key, and
/// [`ErrorCode::TooManyIdempotencyKeys`] a new key of a caller that has [`RequestKey::max_live`].
///
/// # Errors
/// Errors of the handler.
pub async fn run_once(
    api: &Data<AppState>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let key = match key(&request) {
        Ok(Some(key)) => request_key(&request, &key),
        Ok(None) => return next.call(request).await.map(ServiceResponse::map_into_boxed_body),
        Err(problem) => return Ok(request.error_response(problem)),
    };
    let fingerprint = match fingerprint(&mut request).await {
        Ok(fingerprint) => fingerprint,
        Err(problem) => return Ok(request.error_response(problem)),
    };
    match begin(api, &key, &fingerprint).await {
        Err(problem) => Ok(request.error_response(problem)),
        Ok(Begun::Replay(record)) => replay(api, record, request, next).await,
        Ok(Begun::Execute(attempt)) => {
            let dedup_key = DedupKey::Request(key.key.clone());
            let context = IdempotencyContext::Attempt { dedup_key, attempt: attempt.clone() };
            request.extensions_mut().insert(context);
            // A task of its own completes and records the request if the client disconnects.
            let execution = rt::spawn(execute(api.clone(), key, attempt, request, next).in_current_span());
            execution.await.unwrap_or_else(|_| Err(Problem::new(ErrorCode::Internal).into()))
        }
    }
}

/// Returns the key in the store. Keys of different callers are different. Without authentication all callers share
/// their keys, and each address has its own count of live keys.
fn request_key(request: &ServiceRequest, key: &str) -> RequestKey {
    let context = request.extensions().get::<RequestContext>().cloned();
    let owner = context.as_ref().and_then(|context| context.caller.fingerprint());
    let key = digest([owner.as_deref().unwrap_or_default().as_bytes(), key.as_bytes()]);
    let may_stop = context.as_ref().is_some_and(|context| context.caller.is_allowed(Action::Stop));
    let max_live = if may_stop { MAX_LIVE_KEYS } else { MAX_LIVE_KEYS_OF_VIEWER };
    RequestKey { key, caller: context.map(|context| context.limit_key).unwrap_or_default(), max_live }
}

/// Reads the body and returns a SHA-256 hash of method, path, body and each line of `If-Match`. The handler can read
/// the body again.
///
/// # Errors
/// Errors of [`read_body`]: 413, 408 and 400.
async fn fingerprint(request: &mut ServiceRequest) -> Result<String, Problem> {
    let payload = request.take_payload();
    let body = read_body(request.request(), payload, MAX_BODY_BYTES).await?;
    let parts = [request.method().as_str().as_bytes(), request.path().as_bytes(), &*body];
    let preconditions = request.headers().get_all(IF_MATCH).map(HeaderValue::as_bytes);
    let hash = digest(parts.into_iter().chain(preconditions));
    request.set_payload(Payload::from(body));
    Ok(hash)
}

/// What a request with a key leads to, if it is not an error.
enum Begun {
    Execute(Attempt),
    Replay(RequestRecord),
}

async fn begin(api: &AppState, key: &RequestKey, fingerprint: &str) -> Result<Begun, Problem> {
    match api.idempotency_store.begin(key, fingerprint, LEASE).await? {
        BeginOutcome::Begun(attempt) => Ok(Begun::Execute(attempt)),
        BeginOutcome::InProgress => Err(Problem::new(ErrorCode::IdempotencyInProgress)),
        BeginOutcome::Mismatch => Err(Problem::new(ErrorCode::IdempotencyMismatch)),
        BeginOutcome::TooManyKeys { retry_after } => Err(Problem::too_many_keys(key.max_live, retry_after)),
        BeginOutcome::Completed(record) => {
            let record = RequestRecord::parse(&record);
            record.map(Begun::Replay).ok_or_else(|| Problem::new(ErrorCode::Internal))
        }
    }
}

/// Makes the response to an executed request again.
async fn replay(
    api: &AppState,
    record: RequestRecord,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut response = match record {
        RequestRecord::Refused(status, document) => {
            let refused = HttpResponse::build(status).content_type(PROBLEM_JSON).body(document);
            request.into_response(refused)
        }
        RequestRecord::ExecutedOnEndpoint(executed) => {
            request.extensions_mut().insert(IdempotencyContext::ExecutedOnEndpoint(executed));
            next.call(request).await?.map_into_boxed_body()
        }
        RequestRecord::ExecutedOnJob(executed) => {
            request.extensions_mut().insert(IdempotencyContext::ExecutedOnJob(executed));
            next.call(request).await?.map_into_boxed_body()
        }
        RequestRecord::Executed(executed) => {
            let stream = executed.stream;
            request.extensions_mut().insert(IdempotencyContext::Executed(executed));
            let response = next.call(request).await?.map_into_boxed_body();
            if response.status() == StatusCode::NOT_FOUND {
                response.into_response(Problem::expired(stream).error_response())
            } else {
                response
            }
        }
    };
    if !response.status().is_server_error() {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        api.metrics.replays.inc();
    }
    Ok(response)
}

/// Calls the handler, renews the lease meanwhile, and records what re-makes the response.
async fn execute(
    api: Data<AppState>,
    key: RequestKey,
    attempt: Attempt,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = tokio::select! {
        response = respond(request, next) => response,
        never = renew_lease(&api, &key, &attempt) => match never {},
    };
    let record = response.as_ref().ok().and_then(|(response, body)| record(response, body));
    let recorded = match record {
        Some((record, keep)) => api.idempotency_store.complete(&key, &attempt, &record.to_text(), keep).await,
        None => api.idempotency_store.abandon(&key, &attempt, FAILURE_TTL).await,
    };
    if let Err(error) = recorded {
        // The response is still correct. The deduplication key prevents a second change by a repetition.
        tracing::warn!(%error, "response not recorded for repetitions of the request");
    }
    response.map(|(response, _)| response)
}

/// Returns the record of a request with this response, and how long it is kept; `None` if a repetition executes the
/// request again.
///
/// A 5xx, and a 409 with `Retry-After`, ask for another execution. Any other 4xx has changed nothing, so it is kept for
/// as long as a client retries at once, and not at all if its document is long. A 415 is not kept, because the
/// fingerprint has no `Content-Type`, which a client then corrects.
fn record(response: &ServiceResponse<BoxBody>, body: &Bytes) -> Option<(RequestRecord, Duration)> {
    if let Some(executed) = response.response().extensions().get::<Executed>() {
        return Some((RequestRecord::Executed(executed.clone()), IDEMPOTENCY_TTL));
    }
    if let Some(executed) = response.response().extensions().get::<ExecutedOnEndpoint>() {
        return Some((RequestRecord::ExecutedOnEndpoint(executed.clone()), IDEMPOTENCY_TTL));
    }
    if let Some(executed) = response.response().extensions().get::<ExecutedOnJob>() {
        return Some((RequestRecord::ExecutedOnJob(executed.clone()), IDEMPOTENCY_TTL));
    }
    let is_refused = response.status().is_client_error()
        && response.status() != StatusCode::UNSUPPORTED_MEDIA_TYPE
        && !response.headers().contains_key(RETRY_AFTER);
    let record = RequestRecord::refused(response.status(), body).filter(|_| is_refused)?;
    Some((record, REFUSAL_TTL))
}

/// Calls the handler and reads its whole body.
async fn respond(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<(ServiceResponse<BoxBody>, Bytes), Error> {
    let (request, response) = next.call(request).await?.into_parts();
    let (head, body) = response.into_parts();
    let body = to_bytes(body).await.unwrap_or_default();
    let response = head.set_body(BoxBody::new(body.clone()));
    Ok((ServiceResponse::new(request, response), body))
}

/// Renews the lease until it is dropped. A failed renewal is logged, and the next one may succeed.
async fn renew_lease(api: &AppState, key: &RequestKey, attempt: &Attempt) -> Infallible {
    let mut tick = interval(RENEW_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.reset();
    loop {
        tick.tick().await;
        if let Err(error) = api.idempotency_store.renew(key, attempt, LEASE).await {
            tracing::warn!(%error, "lease of an idempotency key not renewed");
        }
    }
}
