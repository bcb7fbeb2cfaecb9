//! Handlers of `/webhook-endpoints`.

mod requests;
mod responses;

use actix_web::{
    HttpResponse,
    http::header,
    web::{Data, Path},
};
use secrecy::ExposeSecret;

use self::{
    requests::{EndpointPatch, NewEndpoint, Replay},
    responses::{Endpoint, Secret, Tested, created, recorded},
};
use super::{
    app_state::AppState,
    extract::{EndpointPath, JsonBody, Retry},
    problem::Problem,
};
use crate::{
    admission::RequestContext,
    domain::{EndpointId, ErrorCode},
    outbound_webhooks::{self, Error},
    store::DedupKey,
};

/// Errors of [`create`] besides those of every change.
pub const CREATE_ERRORS: &[ErrorCode] = &[
    ErrorCode::StreamNotFound,
    ErrorCode::EndpointNotFound,
    ErrorCode::TooManyEndpoints,
    ErrorCode::OperationInProgress,
];
/// Errors of [`get`].
pub const GET_ERRORS: &[ErrorCode] = &[ErrorCode::EndpointNotFound];
/// Errors of [`patch`], [`delete`] and [`rotate_secret`] besides those of every change.
pub const CHANGE_ERRORS: &[ErrorCode] =
    &[ErrorCode::EndpointNotFound, ErrorCode::EndpointFromFile, ErrorCode::OperationInProgress];
/// Errors of [`test()`].
pub const TEST_ERRORS: &[ErrorCode] = &[ErrorCode::EndpointNotFound, ErrorCode::ForeignOrigin];
/// Errors of [`replay`] besides those of every change.
pub const REPLAY_ERRORS: &[ErrorCode] = &[
    ErrorCode::EndpointNotFound,
    ErrorCode::CursorNotKept,
    ErrorCode::InvalidCursor,
    ErrorCode::OperationInProgress,
];

/// Parses the id in the path. No endpoint has a text that is no id.
fn id(path: &EndpointPath) -> Result<EndpointId, Problem> {
    path.endpoint_id.parse().map_err(|_| Error::NotFound.into())
}

/// `POST /webhook-endpoints`
///
/// Creates a webhook endpoint. It gets the events after this response, each as a signed POST (Standard Webhooks 1.0).
/// The secret is in this response only.
#[utoipa::path(
    post, path = "/webhook-endpoints", operation_id = "createWebhookEndpoint", tag = "webhook endpoints",
    request_body = NewEndpoint,
    responses((status = 201, description = "The endpoint was created.", body = Endpoint, headers(("location"))))
)]
pub async fn create(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    JsonBody(new): JsonBody<NewEndpoint>,
) -> Result<HttpResponse, Problem> {
    if let Some(executed) = retry.executed_on_endpoint() {
        let endpoint = api.webhook_endpoints.get(&executed.endpoint).await?;
        return Ok(created(endpoint.into(), None));
    }
    let new = outbound_webhooks::NewEndpoint {
        id: retry.reserved_id(),
        url: new.url,
        events: new.events,
        stream: new.stream,
        metadata: new.metadata,
    };
    let endpoint = api.webhook_endpoints.create(&context.caller, new).await?;
    let (id, secret) = (endpoint.id.clone(), endpoint.secrets.current.clone());
    Ok(recorded(created(endpoint.into(), Some(&secret)), &id))
}

/// `GET /webhook-endpoints`
///
/// Lists all webhook endpoints, at most 100.
#[utoipa::path(
    get, path = "/webhook-endpoints", operation_id = "listWebhookEndpoints", tag = "webhook endpoints",
    responses((status = 200, description = "All endpoints.", body = Vec<Endpoint>))
)]
pub async fn list(api: Data<AppState>) -> Result<HttpResponse, Problem> {
    let endpoints = api.webhook_endpoints.list().await?;
    Ok(HttpResponse::Ok().json(endpoints.into_iter().map(Endpoint::from).collect::<Vec<_>>()))
}

/// `GET /webhook-endpoints/{endpointId}`
///
/// Returns a webhook endpoint, and how far its deliveries are behind.
#[utoipa::path(
    get, path = "/webhook-endpoints/{endpointId}", operation_id = "getWebhookEndpoint", tag = "webhook endpoints",
    params(EndpointPath),
    responses((status = 200, description = "The endpoint.", body = Endpoint))
)]
pub async fn get(api: Data<AppState>, path: Path<EndpointPath>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(Endpoint::from(api.webhook_endpoints.get(&id(&path)?).await?)))
}

/// `PATCH /webhook-endpoints/{endpointId}`
///
/// Changes a webhook endpoint. `{"disabled": false}` enables it again, and its deliveries continue where they ended.
#[utoipa::path(
    patch, path = "/webhook-endpoints/{endpointId}", operation_id = "patchWebhookEndpoint",
    tag = "webhook endpoints",
    params(EndpointPath), request_body = EndpointPatch,
    responses((status = 200, description = "The endpoint after the change.", body = Endpoint))
)]
pub async fn patch(
    api: Data<AppState>,
    retry: Retry,
    path: Path<EndpointPath>,
    JsonBody(EndpointPatch { url, events, metadata, disabled }): JsonBody<EndpointPatch>,
) -> Result<HttpResponse, Problem> {
    let id = id(&path)?;
    let endpoint = match retry.executed_on_endpoint() {
        Some(_) => api.webhook_endpoints.get(&id).await?,
        None => {
            let patch = outbound_webhooks::EndpointPatch { url, events, metadata, disabled };
            api.webhook_endpoints.patch(&id, patch).await?
        }
    };
    Ok(recorded(HttpResponse::Ok().json(Endpoint::from(endpoint)), &id))
}

/// `DELETE /webhook-endpoints/{endpointId}`
///
/// Deletes a webhook endpoint.
#[utoipa::path(
    delete, path = "/webhook-endpoints/{endpointId}", operation_id = "deleteWebhookEndpoint",
    tag = "webhook endpoints",
    params(EndpointPath),
    responses((status = 204, description = "The endpoint was deleted."))
)]
pub async fn delete(
    api: Data<AppState>,
    retry: Retry,
    path: Path<EndpointPath>,
) -> Result<HttpResponse, Problem> {
    let id = id(&path)?;
    // An earlier attempt at the same request may have deleted it.
    let is_repeated = retry.executed_on_endpoint().is_some() || retry.previous().is_some();
    if retry.executed_on_endpoint().is_none() && !api.webhook_endpoints.delete(&id).await? && !is_repeated {
        return Err(Error::NotFound.into());
    }
    Ok(recorded(HttpResponse::NoContent().finish(), &id))
}

/// `POST /webhook-endpoints/{endpointId}/rotate-secret`
///
/// Replaces the secret of a webhook endpoint. The old secret signs too for a day, as do at most two old ones.
#[utoipa::path(
    post, path = "/webhook-endpoints/{endpointId}/rotate-secret", operation_id = "rotateWebhookSecret",
    tag = "webhook endpoints",
    params(EndpointPath),
    responses((status = 200, description = "The new secret.", body = Secret))
)]
pub async fn rotate_secret(
    api: Data<AppState>,
    retry: Retry,
    path: Path<EndpointPath>,
) -> Result<HttpResponse, Problem> {
    let id = id(&path)?;
    let secret = match retry.executed_on_endpoint() {
        Some(_) => api.webhook_endpoints.get(&id).await.map(|_| None)?,
        None => {
            let dedup = retry.dedup_key().map(|key| match key {
                DedupKey::Webhook(key) | DedupKey::Request(key) => key,
            });
            Some(api.webhook_endpoints.rotate_secret(&id, dedup.as_deref()).await?)
        }
    };
    let secret = secret.map(|secret| secret.expose_secret().to_owned());
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(recorded(response.json(Secret { secret }), &id))
}

/// `POST /webhook-endpoints/{endpointId}/test`
///
/// Sends an event of the type `test` to a webhook endpoint, whatever its filter, and returns the answer.
#[utoipa::path(
    post, path = "/webhook-endpoints/{endpointId}/test", operation_id = "testWebhookEndpoint",
    tag = "webhook endpoints",
    params(EndpointPath),
    responses((status = 200, description = "The answer of the endpoint.", body = Tested))
)]
pub async fn test(api: Data<AppState>, path: Path<EndpointPath>) -> Result<HttpResponse, Problem> {
    let tested = api.webhook_endpoints.test(&id(&path)?).await?;
    Ok(HttpResponse::Ok().json(Tested::from(tested)))
}

/// `POST /webhook-endpoints/{endpointId}/replay`
///
/// Delivers every event after a cursor again, with the same `webhook-id`s.
#[utoipa::path(
    post, path = "/webhook-endpoints/{endpointId}/replay", operation_id = "replayWebhookEvents",
    tag = "webhook endpoints",
    params(EndpointPath), request_body = Replay,
    responses((status = 202, description = "The deliveries begin within seconds.", body = Endpoint))
)]
pub async fn replay(
    api: Data<AppState>,
    retry: Retry,
    path: Path<EndpointPath>,
    JsonBody(Replay { after }): JsonBody<Replay>,
) -> Result<HttpResponse, Problem> {
    let id = id(&path)?;
    if retry.executed_on_endpoint().is_none() {
        api.webhook_endpoints.replay(&id, after).await?;
    }
    let endpoint = Endpoint::from(api.webhook_endpoints.get(&id).await?);
    Ok(recorded(HttpResponse::Accepted().json(endpoint), &id))
}
