//! Handler of LiveKit's webhooks.

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::{app_state::AppState, problem::Problem, webhook_signature::SignedWebhook};
use crate::{domain::ErrorCode, orchestrator::Outcome, rooms::webhook};

/// Errors of [`receive`].
pub const ERRORS: &[ErrorCode] = &[
    ErrorCode::InvalidSignature,
    ErrorCode::RateLimited,
    ErrorCode::StoreUnavailable,
    ErrorCode::PayloadTooLarge,
    ErrorCode::WebhookTimeout,
    ErrorCode::MalformedBody,
    ErrorCode::StreamCreating,
    ErrorCode::IngressUnavailable,
    ErrorCode::LivekitError,
];

/// Result of a webhook.
#[derive(Serialize, ToSchema)]
pub struct WebhookResult {
    #[schema(example = "applied")]
    outcome: &'static str,
}

/// `POST /webhooks/livekit`
///
/// Receives a webhook from LiveKit. The response is 200 only after the change is stored. The token is verified before
/// the body is read; the content type is not checked, because LiveKit uses its own.
#[utoipa::path(
    post, path = "/webhooks/livekit", operation_id = "receiveWebhook", tag = "livekit",
    params(("Authorization" = String, Header,
        description = "LiveKit's signature: a token that contains the SHA-256 of the body.")),
    request_body(content = Object, content_type = "application/webhook+json"),
    responses((status = 200, description = "The change is stored, or the webhook changes nothing.",
        body = WebhookResult))
)]
pub async fn receive(api: Data<AppState>, signed: SignedWebhook) -> Result<HttpResponse, Problem> {
    let (body, _) = signed.into_parts();
    let webhook = webhook::parse(body.bytes());
    let count = |event: &str, outcome: &str| api.metrics.webhooks.with_label_values(&[event, outcome]).inc();
    let outcome = match webhook.event {
        Some(event) => {
            api.webhook_processor.process(event).await.inspect_err(|_| count(webhook.name, "failed"))?
        }
        None => Outcome::Ignored,
    };
    count(webhook.name, outcome.as_str());
    if outcome == Outcome::Early {
        return Err(Problem::new(ErrorCode::StreamCreating));
    }
    Ok(HttpResponse::Ok().json(WebhookResult { outcome: outcome.as_str() }))
}
