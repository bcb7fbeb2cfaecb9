//! What LiveKit posts.

use actix_web::{HttpResponse, web::Data};

use super::{
    app_state::AppState,
    problem::Problem,
    schemas,
    webhook_signature::{SignedWebhook, WebhookBody},
};
use crate::{domain::ErrorCode, orchestrator::Outcome, rooms::webhook};

/// `POST /webhooks/livekit`
///
/// Takes what LiveKit posts. 200 only once the change is stored. The signature decides, not the
/// content type, which is LiveKit's own.
#[utoipa::path(
    post, path = "/webhooks/livekit", operation_id = "receiveWebhook", tag = "livekit",
    params(("Authorization" = String, Header, description = "LiveKit's signature: a token with the SHA-256 of the body")),
    request_body(content = Object, content_type = "application/webhook+json"),
    responses((status = 200, description = "What it came to is stored", body = schemas::Heard))
)]
pub async fn receive(api: Data<AppState>, signed: SignedWebhook) -> Result<HttpResponse, Problem> {
    let (WebhookBody(body), _) = signed.into_parts();
    let webhook = webhook::parse(&body);
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
    Ok(HttpResponse::Ok().json(serde_json::json!({ "outcome": outcome.as_str() })))
}
