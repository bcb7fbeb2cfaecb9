//! Handlers of a stream's ingresses.

mod requests;
mod responses;

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};

use self::{
    requests::{IngressPath, NewIngress},
    responses::Ingress,
};
use crate::{
    access::Action,
    admission::RequestContext,
    domain::{ErrorCode, StreamId},
    http::{
        app_state::AppState,
        extract::{JsonBody, Retry, StreamPath},
        job_record::{ExecutedOnJob, MediaJob},
        problem::Problem,
        request_record::{Details, Executed},
        streams::run_to_end,
    },
    orchestrator::IngressRequest,
    store::Guard,
};

/// Errors of [`create`] besides those of every change.
pub const CREATE_ERRORS: &[ErrorCode] = &[
    ErrorCode::StreamNotActive,
    ErrorCode::ParticipantBlocked,
    ErrorCode::IngressExists,
    ErrorCode::TooManyIngresses,
    ErrorCode::IngressNotFound,
    ErrorCode::IngressUnavailable,
    ErrorCode::LivekitError,
];
/// Errors of [`get`] besides those of every read.
pub const GET_ERRORS: &[ErrorCode] =
    &[ErrorCode::IngressNotFound, ErrorCode::IngressUnavailable, ErrorCode::LivekitError];
/// Errors of [`delete`] besides those of every change.
pub const DELETE_ERRORS: &[ErrorCode] = &[ErrorCode::IngressUnavailable, ErrorCode::LivekitError];

/// `POST /streams/{id}/ingresses`
///
/// Creates an ingress: an address to which an encoder pushes RTMP or WHIP, or a URL that LiveKit pulls. Its participant
/// has the kind `ingress`. The response has the stream key.
#[utoipa::path(
    post, path = "/streams/{id}/ingresses", operation_id = "createIngress", tag = "broadcast",
    params(StreamPath),
    request_body = NewIngress,
    responses((status = 201, description = "The ingress was created.", body = Ingress, headers(("location"))))
)]
pub async fn create(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<StreamPath>,
    JsonBody(new): JsonBody<NewIngress>,
) -> Result<HttpResponse, Problem> {
    let caller = context.caller.clone();
    if let Some(ExecutedOnJob { stream, job: MediaJob::Ingress(id), .. }) = retry.executed_on_job() {
        return Ok(responses::created(api.orchestrator.ingress(&caller, &stream.to_string(), id).await?));
    }
    let action = Action::ManageIngresses;
    let stream = api.orchestrator.find_reference(&caller, action, &retry.stream(&path.id)).await?;
    let request = IngressRequest {
        kind: new.kind,
        identity: new.identity,
        name: new.name,
        source: new.source,
        job: retry.reserved_id().map(Into::into),
        dedup_key: retry.dedup_key(),
        is_made: retry.previous().is_some_and(|previous| previous.changed_stream.is_some()),
    };
    let created = run_to_end(&api, async move |orchestrator| {
        orchestrator.create_ingress(&caller, &stream, request).await
    });
    Ok(responses::created(created.await?))
}

/// `GET /streams/{id}/ingresses`
///
/// Lists a stream's ingresses, oldest first, at most 32. A stream that has ended has none.
#[utoipa::path(
    get, path = "/streams/{id}/ingresses", operation_id = "listIngresses", tag = "broadcast",
    params(StreamPath),
    responses((status = 200, description = "All ingresses, without their stream keys.", body = Vec<Ingress>))
)]
pub async fn list(
    api: Data<AppState>,
    context: RequestContext,
    path: Path<StreamPath>,
) -> Result<HttpResponse, Problem> {
    let ingresses = api.orchestrator.ingresses(&context.caller, &path.id).await?;
    Ok(HttpResponse::Ok().json(ingresses))
}

/// `GET /streams/{id}/ingresses/{ingressId}`
///
/// Returns an ingress, with its stream key if the token has `roomAdmin` or `ingressAdmin`.
#[utoipa::path(
    get, path = "/streams/{id}/ingresses/{ingressId}", operation_id = "getIngress", tag = "broadcast",
    params(IngressPath),
    responses((status = 200, description = "The ingress.", body = Ingress))
)]
pub async fn get(
    api: Data<AppState>,
    context: RequestContext,
    path: Path<IngressPath>,
) -> Result<HttpResponse, Problem> {
    let found = api.orchestrator.ingress(&context.caller, &path.id, &path.ingress_id()).await?;
    Ok(responses::read(&found))
}

/// `DELETE /streams/{id}/ingresses/{ingressId}`
///
/// Deletes an ingress and ends its session. Succeeds if the stream has no such ingress.
#[utoipa::path(
    delete, path = "/streams/{id}/ingresses/{ingressId}", operation_id = "deleteIngress", tag = "broadcast",
    params(IngressPath),
    responses((status = 204, description = "The stream has no such ingress."))
)]
pub async fn delete(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<IngressPath>,
) -> Result<HttpResponse, Problem> {
    let (caller, action) = (context.caller.clone(), Action::ManageIngresses);
    if let Some(executed) = retry.executed() {
        let stream = api.orchestrator.find(&caller, action, &executed.stream.to_string()).await?;
        return Ok(deleted(stream.id));
    }
    let stream = api.orchestrator.find_reference(&caller, action, &retry.stream(&path.id)).await?;
    let guard = Guard { dedup_key: retry.dedup_key(), ..Guard::default() };
    let (id, ingress) = (stream.id, path.ingress_id());
    let done = run_to_end(&api, async move |orchestrator| {
        orchestrator.delete_ingress(&caller, &stream, &ingress, guard).await
    });
    done.await?;
    Ok(deleted(id))
}

fn deleted(stream: StreamId) -> HttpResponse {
    let mut response = HttpResponse::NoContent().finish();
    response.extensions_mut().insert(Executed {
        status: StatusCode::NO_CONTENT,
        stream,
        details: Details::None,
    });
    response
}
