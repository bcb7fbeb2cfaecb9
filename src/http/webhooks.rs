//! What LiveKit posts.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Payload},
};

use super::{
    app_state::AppState,
    extract::{MAX_BODY_BYTES, header_text, read_body},
    problem::Problem,
    schemas,
};
use crate::{domain::ErrorCode, orchestrator::Outcome};

/// The most bytes of a webhook with a valid token. LiveKit's limits are 64 KiB each for the metadata of a room and of a
/// participant, and for attributes; JSON escapes take up to six bytes a byte, and tracks come on top. LiveKit counts
/// a 413 as delivered, so the webhook would be lost.
const MAX_WEBHOOK_BYTES: usize = 2 * 1024 * 1024;

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
pub async fn receive(
    api: Data<AppState>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let authorization = header_text(request.headers(), header::AUTHORIZATION).unwrap_or_default();
    let limit = if api.webhooks.knows(authorization) { MAX_WEBHOOK_BYTES } else { MAX_BODY_BYTES };
    let body = read_body(&request, payload.into_inner(), limit).await?;
    let count = |event: &str, outcome: &str| api.metrics.webhooks.with_label_values(&[event, outcome]).inc();
    let webhook = api.webhooks.receive(authorization, &body).map_err(|error| {
        count("unknown", "refused");
        api.metrics.webhooks_refused.with_label_values(&[error.as_str()]).inc();
        Problem::with_detail(ErrorCode::InvalidSignature, error.to_string())
    })?;
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
