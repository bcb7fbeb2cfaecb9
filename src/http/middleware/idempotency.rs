//! `Idempotency-Key`: executes a request once, on any instance, and answers its repetitions with the stored response.
//!
//! The store keeps a response for a day. The instance that executes a request holds its key under a lease, which it
//! renews while the process runs. After a crash, the next attempt may begin within [`LEASE`]. It gets the reserved
//! stream id and the deduplication key of the first attempt, so the change is made once even without a stored response.

use std::{convert::Infallible, time::Duration};

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::{BoxBody, MessageBody, to_bytes},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{HeaderName, RETRY_AFTER},
    },
    middleware::Next,
    rt,
    web::{Bytes, Data},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval};
use tracing::Instrument;

use crate::{
    admission::RequestContext,
    domain::ErrorCode,
    http::{
        app_state::AppState,
        extract::{IdempotencyContext, MAX_BODY_BYTES, header_text, read_body},
        problem::{FieldError, Problem},
    },
    store::{Attempt, BeginOutcome, DedupKey},
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
/// Headers that are stored with a response. All other headers belong to one request.
const STORED_HEADERS: [&str; 5] = ["content-type", "etag", "location", "last-event-id", "cache-control"];

/// Stored form of a response.
#[derive(Serialize, Deserialize)]
struct StoredResponse {
    status: u16,
    headers: Vec<(String, String)>,
    /// In base64, because the record is JSON and a body need not be text.
    body: String,
}

impl StoredResponse {
    fn new(response: &ServiceResponse<BoxBody>, body: &Bytes) -> Self {
        let header =
            |name: &&str| Some(((*name).to_owned(), header_text(response.headers(), *name)?.to_owned()));
        Self {
            status: response.status().as_u16(),
            headers: STORED_HEADERS.iter().filter_map(header).collect(),
            body: STANDARD.encode(body),
        }
    }

    /// Restores the response; `None` for a record that this version cannot read.
    fn replay(&self) -> Option<HttpResponse> {
        let mut response = HttpResponse::build(StatusCode::from_u16(self.status).ok()?);
        for (name, value) in &self.headers {
            response.insert_header((name.as_str(), value.as_str()));
        }
        response.insert_header((REPLAYED, "true"));
        Some(response.body(STANDARD.decode(&self.body).ok()?))
    }
}

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

/// Returns the SHA-256 hash of the parts with their lengths, in hexadecimal.
fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Executes a request once for each key; a request without a key passes unchanged.
///
/// A repetition gets the stored response. [`ErrorCode::IdempotencyInProgress`] answers a repetition during the
/// execution, [`ErrorCode::IdempotencyMismatch`] another request with the same key.
///
/// # Errors
/// Errors of the handler.
pub async fn run_once(
    api: &Data<AppState>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let key = match key(&request) {
        Ok(Some(key)) => key,
        Ok(None) => return next.call(request).await.map(ServiceResponse::map_into_boxed_body),
        Err(problem) => return Ok(request.error_response(problem)),
    };
    let fingerprint = match fingerprint(&mut request).await {
        Ok(fingerprint) => fingerprint,
        Err(problem) => return Ok(request.error_response(problem)),
    };
    let key = caller_key(&request, &key);
    match begin(api, &key, &fingerprint).await {
        Err(problem) => Ok(request.error_response(problem)),
        Ok(Begun::Replay(response)) => Ok(request.into_response(response)),
        Ok(Begun::Execute(attempt)) => {
            let dedup_key = DedupKey::Request(key.clone());
            request.extensions_mut().insert(IdempotencyContext { dedup_key, attempt: attempt.clone() });
            // A task of its own completes and records the request if the client disconnects.
            let execution = rt::spawn(execute(api.clone(), key, attempt, request, next).in_current_span());
            execution.await.unwrap_or_else(|_| Err(Problem::new(ErrorCode::Internal).into()))
        }
    }
}

/// Returns the key in the store: keys of different callers are different.
fn caller_key(request: &ServiceRequest, key: &str) -> String {
    let owner = request.extensions().get::<RequestContext>().and_then(|context| context.caller.fingerprint());
    digest(&[owner.as_deref().unwrap_or_default().as_bytes(), key.as_bytes()])
}

/// Reads the body and returns a SHA-256 hash of method, path, `If-Match` and body. The handler can read the body again.
///
/// # Errors
/// Errors of [`read_body`]: 413, 408 and 400.
async fn fingerprint(request: &mut ServiceRequest) -> Result<String, Problem> {
    let payload = request.take_payload();
    let body = read_body(request.request(), payload, MAX_BODY_BYTES).await?;
    let precondition = header_text(request.headers(), "if-match").unwrap_or_default();
    let method = request.method().as_str().as_bytes();
    let hash = digest(&[method, request.path().as_bytes(), precondition.as_bytes(), &body]);
    request.set_payload(Payload::from(body));
    Ok(hash)
}

/// What a request with a key leads to, if it is not an error.
enum Begun {
    Execute(Attempt),
    Replay(HttpResponse),
}

async fn begin(api: &AppState, key: &str, fingerprint: &str) -> Result<Begun, Problem> {
    match api.idempotency_store.begin(key, fingerprint, LEASE).await? {
        BeginOutcome::Begun(attempt) => Ok(Begun::Execute(attempt)),
        BeginOutcome::InProgress => Err(Problem::new(ErrorCode::IdempotencyInProgress)),
        BeginOutcome::Mismatch => Err(Problem::new(ErrorCode::IdempotencyMismatch)),
        BeginOutcome::Completed(record) => {
            let stored = serde_json::from_str::<StoredResponse>(&record).ok();
            let response = stored.and_then(|stored| stored.replay());
            let response = response.ok_or_else(|| Problem::new(ErrorCode::Internal))?;
            api.metrics.replays.inc();
            Ok(Begun::Replay(response))
        }
    }
}

/// Calls the handler, renews the lease meanwhile, and records the response if it is final.
async fn execute(
    api: Data<AppState>,
    key: String,
    attempt: Attempt,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = tokio::select! {
        response = respond(request, next) => response,
        never = renew_lease(&api, &key, &attempt) => match never {},
    };
    let recorded = match &response {
        Ok((response, body)) if is_final(response) => {
            let record = serde_json::to_string(&StoredResponse::new(response, body)).unwrap_or_default();
            api.idempotency_store.complete(&key, &attempt, &record).await
        }
        _ => api.idempotency_store.abandon(&key, &attempt).await,
    };
    if let Err(error) = recorded {
        // The response is still correct. The deduplication key prevents a second change by a repetition.
        tracing::warn!(%error, "response not stored for repetitions of the request");
    }
    response.map(|(response, _)| response)
}

/// True if a repetition gets this response. A 5xx, and a 409 with `Retry-After`, ask for another execution.
fn is_final(response: &ServiceResponse<BoxBody>) -> bool {
    !response.status().is_server_error() && !response.headers().contains_key(RETRY_AFTER)
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
async fn renew_lease(api: &AppState, key: &str, attempt: &Attempt) -> Infallible {
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
