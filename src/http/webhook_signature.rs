//! Signature of LiveKit's webhooks: the token in `Authorization` has the SHA-256 hash of the body.

use std::sync::Arc;

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header,
    web::{Bytes, Data},
};
use actix_web_lab::extract::{RequestSignature, RequestSignatureScheme};
use futures_util::{FutureExt, future::LocalBoxFuture};
use sha2::{Digest, Sha256, digest::Output};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    app_state::AppState,
    extract::{header_text, read_reserved_body},
    problem::Problem,
};
use crate::{
    access::token::{SignedHash, WebhookError},
    domain::{ErrorCode, Timestamp},
};

/// Maximum size of a webhook.
///
/// LiveKit's limits are 64 KiB each for the metadata of a room, the metadata of a participant, and attributes. JSON
/// escapes take up to six bytes for each byte, and tracks come on top. LiveKit counts a 413 as delivered, so a webhook
/// that is refused for its size would be lost.
const MAX_WEBHOOK_BYTES: usize = 2 * 1024 * 1024;
/// Maximum number of bytes of all webhooks whose bodies arrive or are processed at the same time.
///
/// One token signs one body, but it can be sent any number of times until it expires.
pub const MAX_WAITING_WEBHOOK_BYTES: usize = 16 * MAX_WEBHOOK_BYTES;

/// Body of a webhook whose signature is verified. The body is read only after the token is verified.
pub type SignedWebhook = RequestSignature<WebhookBody, WebhookSignature>;

/// Body of a webhook. Counts its bytes until it is dropped.
pub struct WebhookBody {
    bytes: Bytes,
    _reserved: Option<OwnedSemaphorePermit>,
}

impl WebhookBody {
    /// Returns the body.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl FromRequest for WebhookBody {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        async move {
            let budget = app_state(&request)?.webhook_bytes.clone();
            let mut reserved = None;
            let reserve = |bytes| reserve(&budget, &mut reserved, bytes);
            let read = read_reserved_body(&request, payload, MAX_WEBHOOK_BYTES, reserve).await;
            let bytes = read.map_err(|problem| match problem.code() {
                // LiveKit counts a 408 as delivered.
                ErrorCode::RequestTimeout => Problem::new(ErrorCode::WebhookTimeout),
                _ => problem,
            })?;
            Ok(Self { bytes, _reserved: reserved })
        }
        .boxed_local()
    }
}

/// Adds bytes to a reservation.
fn reserve(
    budget: &Arc<Semaphore>,
    reserved: &mut Option<OwnedSemaphorePermit>,
    bytes: usize,
) -> Result<(), Problem> {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let more = budget.clone().try_acquire_many_owned(bytes).map_err(|_| Problem::too_many_webhooks())?;
    match reserved {
        Some(reserved) => reserved.merge(more),
        None => *reserved = Some(more),
    }
    Ok(())
}

/// Hash that a webhook's body must have, and the hash of the bytes that have arrived.
pub struct WebhookSignature {
    signed: SignedHash,
    received: Sha256,
}

impl RequestSignatureScheme for WebhookSignature {
    type Signature = (SignedHash, Output<Sha256>);
    type Error = Problem;

    /// Verifies the token. Nothing of the body is read before.
    async fn init(request: &HttpRequest) -> Result<Self, Problem> {
        let api = app_state(request)?;
        let signed = api.webhook_verifier.verify_webhook(authorization(request), now());
        let signed = signed.map_err(|error| rejected(api, error))?;
        Ok(Self { signed, received: Sha256::new() })
    }

    async fn consume_chunk(&mut self, _: &HttpRequest, chunk: Bytes) -> Result<(), Problem> {
        self.received.update(&chunk);
        Ok(())
    }

    async fn finalize(self, _: &HttpRequest) -> Result<Self::Signature, Problem> {
        Ok((self.signed, self.received.finalize()))
    }

    fn verify(
        (signed, received): Self::Signature,
        request: &HttpRequest,
    ) -> Result<Self::Signature, Problem> {
        let api = app_state(request)?;
        signed.verify(&received).map_err(|error| rejected(api, error))?;
        Ok((signed, received))
    }
}

/// Counts a rejected webhook and returns its problem document.
fn rejected(api: &AppState, error: WebhookError) -> Problem {
    api.metrics.webhooks.with_label_values(&["unknown", "refused"]).inc();
    api.metrics.webhooks_refused.with_label_values(&[error.as_str()]).inc();
    Problem::with_detail(ErrorCode::InvalidSignature, error.to_string())
}

fn app_state(request: &HttpRequest) -> Result<&AppState, Problem> {
    let state = request.app_data::<Data<AppState>>();
    state.map(|state| state.as_ref()).ok_or_else(|| Problem::new(ErrorCode::Internal))
}

fn authorization(request: &HttpRequest) -> &str {
    header_text(request.headers(), header::AUTHORIZATION).unwrap_or_default()
}

fn now() -> Timestamp {
    Timestamp::from_millis(chrono::Utc::now().timestamp_millis())
}
