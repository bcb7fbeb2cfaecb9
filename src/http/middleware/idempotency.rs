//! `Idempotency-Key`: the same request again gets the same answer, on whatever instance, and its change is made once.
//!
//! The answer is kept in the store for a day. While a request is carried out its key is held with a lease that is
//! prolonged as long as this process lives, so that after a death the key is free within [`LEASE`]. The next attempt then
//! has what the first had: the id of a stream that it creates, and the mark of a change that it makes.

use std::time::Duration;

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
        extract::{MAX_BODY_BYTES, Repeatable, header_text, read_body},
        problem::{FieldError, Problem},
    },
    store::{Attempt, BeginOutcome, DedupKey},
};

/// The header that names a request.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header that says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key.
const MAX_KEY_BYTES: usize = 255;
/// For how long a key is held by somebody who does not say that they are still alive.
const LEASE: Duration = Duration::from_secs(10);
/// How often they say so.
const HOLD_EVERY: Duration = Duration::from_secs(3);
/// The headers that belong to an answer and are kept with it. The others are of the request at hand.
const KEPT_HEADERS: [&str; 5] = ["content-type", "etag", "location", "last-event-id", "cache-control"];

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    /// In base64: the record is JSON, and a body need not be text.
    body: String,
}

impl Kept {
    fn of(response: &ServiceResponse<BoxBody>, body: &Bytes) -> Self {
        let header =
            |name: &&str| Some(((*name).to_owned(), header_text(response.headers(), *name)?.to_owned()));
        Self {
            status: response.status().as_u16(),
            headers: KEPT_HEADERS.iter().filter_map(header).collect(),
            body: STANDARD.encode(body),
        }
    }

    fn replay(&self) -> Option<HttpResponse> {
        let mut response = HttpResponse::build(StatusCode::from_u16(self.status).ok()?);
        for (name, value) in &self.headers {
            response.insert_header((name.as_str(), value.as_str()));
        }
        response.insert_header((REPLAYED, "true"));
        Some(response.body(STANDARD.decode(&self.body).ok()?))
    }
}

/// A key of 1 to 255 printable characters of ASCII; none where there is no such header.
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

fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Answers a request, once for each key.
///
/// # Errors
/// Those of the handler.
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
    let payload = request.take_payload();
    let body = match read_body(request.request(), payload, MAX_BODY_BYTES).await {
        Ok(body) => body,
        Err(problem) => return Ok(request.error_response(problem)),
    };
    // A key is the caller's own: what somebody else did under the same one is none of their business.
    let owner = request.extensions().get::<RequestContext>().and_then(|context| context.caller.fingerprint());
    let key = digest(&[owner.as_deref().unwrap_or_default().as_bytes(), key.as_bytes()]);
    let precondition = header_text(request.headers(), "if-match").unwrap_or_default();
    let fingerprint = digest(&[
        request.method().as_str().as_bytes(),
        request.path().as_bytes(),
        precondition.as_bytes(),
        &body,
    ]);
    request.set_payload(Payload::from(body));
    let known = match api.answers.begin(&key, &fingerprint, LEASE).await {
        Ok(known) => known,
        Err(error) => return Ok(request.error_response(Problem::from(error))),
    };
    let attempt = match known {
        BeginOutcome::Begun(attempt) => attempt,
        BeginOutcome::InProgress => {
            return Ok(request.error_response(Problem::new(ErrorCode::IdempotencyInProgress)));
        }
        BeginOutcome::Mismatch => {
            return Ok(request.error_response(Problem::new(ErrorCode::IdempotencyMismatch)));
        }
        BeginOutcome::Completed(answer) => {
            let kept = serde_json::from_str::<Kept>(&answer).ok().and_then(|kept| kept.replay());
            let Some(response) = kept else {
                return Ok(request.error_response(Problem::new(ErrorCode::Internal)));
            };
            api.metrics.replays.inc();
            return Ok(request.into_response(response));
        }
    };
    let repeatable = Repeatable { dedup_key: DedupKey::Request(key.clone()), attempt: attempt.clone() };
    request.extensions_mut().insert(repeatable);
    // To its end and its record, also when the client goes away in between.
    let carried_out = rt::spawn(carry_out(api.clone(), key, attempt, request, next).in_current_span());
    carried_out.await.unwrap_or_else(|_| Err(Problem::new(ErrorCode::Internal).into()))
}

async fn carry_out(
    api: Data<AppState>,
    key: String,
    attempt: Attempt,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let answered = async {
        let response = next.call(request).await?;
        let (head, body) = response.into_parts();
        let (head_of_answer, body) = body.into_parts();
        let body = to_bytes(body).await.unwrap_or_default();
        Ok::<_, Error>((
            ServiceResponse::new(head, head_of_answer.set_body(BoxBody::new(body.clone()))),
            body,
        ))
    };
    let mut tick = interval(HOLD_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.reset();
    tokio::pin!(answered);
    let answered = loop {
        tokio::select! {
            answered = &mut answered => break answered,
            _ = tick.tick() => {
                if let Err(error) = api.answers.renew(&key, &attempt, LEASE).await {
                    tracing::warn!(%error, "an idempotency key could not be held");
                }
            }
        }
    };
    let recorded = match &answered {
        Ok((response, body)) if is_final(response) => {
            let kept = serde_json::to_string(&Kept::of(response, body)).unwrap_or_default();
            api.answers.complete(&key, &attempt, &kept).await
        }
        _ => api.answers.abandon(&key, &attempt).await,
    };
    if let Err(error) = recorded {
        // The answer is true all the same. A retry makes the change once, and finds out what it came to.
        tracing::warn!(%error, "the answer could not be kept for a retry");
    }
    answered.map(|(response, _)| response)
}

/// Reports whether a retry gets this response. A 5xx, and a 409 with `Retry-After`, ask for another execution.
fn is_final(response: &ServiceResponse<BoxBody>) -> bool {
    !response.status().is_server_error() && !response.headers().contains_key(RETRY_AFTER)
}
