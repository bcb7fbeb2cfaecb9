//! Signature of LiveKit's webhooks: the token in `Authorization` has the SHA-256 hash of the body.

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header,
    web::{Bytes, Data},
};
use actix_web_lab::extract::{RequestSignature, RequestSignatureScheme};
use futures_util::{FutureExt, future::LocalBoxFuture};
use sha2::{Digest, Sha256, digest::Output};

use super::{
    app_state::AppState,
    extract::{MAX_BODY_BYTES, header_text, read_body},
    problem::Problem,
};
use crate::{
    access::token::WebhookError,
    domain::{ErrorCode, Timestamp},
};

/// Maximum size of a webhook with a valid token.
///
/// LiveKit's limits are 64 KiB each for the metadata of a room, the metadata of a participant, and attributes. JSON
/// escapes take up to six bytes for each byte, and tracks come on top. LiveKit counts a 413 as delivered, so a webhook
/// that is refused for its size would be lost.
const MAX_WEBHOOK_BYTES: usize = 2 * 1024 * 1024;

/// Body of a webhook whose signature is verified.
pub type SignedWebhook = RequestSignature<WebhookBody, WebhookSignature>;

/// Body of a webhook. Only a request with a valid token may exceed [`MAX_BODY_BYTES`].
pub struct WebhookBody(pub Bytes);

impl FromRequest for WebhookBody {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        async move {
            let is_signed =
                app_state(&request)?.webhook_verifier.has_valid_webhook_token(authorization(&request), now());
            let limit = if is_signed { MAX_WEBHOOK_BYTES } else { MAX_BODY_BYTES };
            read_body(&request, payload, limit).await.map(Self)
        }
        .boxed_local()
    }
}

/// Hash of a webhook's body, calculated while the body arrives.
pub struct WebhookSignature(Sha256);

impl RequestSignatureScheme for WebhookSignature {
    type Signature = Output<Sha256>;
    type Error = Problem;

    async fn init(_: &HttpRequest) -> Result<Self, Problem> {
        Ok(Self(Sha256::new()))
    }

    async fn consume_chunk(&mut self, _: &HttpRequest, chunk: Bytes) -> Result<(), Problem> {
        self.0.update(&chunk);
        Ok(())
    }

    async fn finalize(self, _: &HttpRequest) -> Result<Self::Signature, Problem> {
        Ok(self.0.finalize())
    }

    fn verify(hash: Self::Signature, request: &HttpRequest) -> Result<Self::Signature, Problem> {
        let api = app_state(request)?;
        match api.webhook_verifier.verify_webhook(authorization(request), &hash, now()) {
            Ok(()) => Ok(hash),
            Err(error) => Err(rejected(api, error)),
        }
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
