//! Handlers of a stream's broadcasts.

mod requests;

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};

use self::requests::{BroadcastPath, NewBroadcast, PatchBroadcast};
use super::{
    app_state::AppState,
    egresses,
    extract::{JsonBody, Retry, StreamPath},
    problem::Problem,
    schemas::Broadcast,
    streams::run_to_end,
};
use crate::{
    admission::RequestContext,
    domain::{EgressKind, ErrorCode},
    orchestrator::{EgressOrder, TargetsRequest},
};

/// Errors of [`get`] besides those of every read.
pub const GET_ERRORS: &[ErrorCode] = &[ErrorCode::BroadcastNotFound];
/// Errors of [`patch`] besides those of every change.
pub const PATCH_ERRORS: &[ErrorCode] = &[
    ErrorCode::BroadcastNotFound,
    ErrorCode::OutputNotFound,
    ErrorCode::BroadcastEnded,
    ErrorCode::LastOutput,
    ErrorCode::TooManyOutputs,
    ErrorCode::EgressUnavailable,
    ErrorCode::LivekitError,
];
/// Errors of [`stop`] besides those of every change.
pub const STOP_ERRORS: &[ErrorCode] =
    &[ErrorCode::BroadcastNotFound, ErrorCode::EgressUnavailable, ErrorCode::LivekitError];

const KIND: EgressKind = EgressKind::Broadcast;

/// `POST /streams/{id}/broadcasts`
///
/// Starts a broadcast of the room: by RTMP to other services, as HLS to the deployment's storage, or both.
#[utoipa::path(
    post, path = "/streams/{id}/broadcasts", operation_id = "startBroadcast", tag = "broadcast",
    params(StreamPath),
    request_body = NewBroadcast,
    responses((status = 201, description = "The broadcast was started.", body = Broadcast, headers(("location"))))
)]
pub async fn start(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<StreamPath>,
    JsonBody(new): JsonBody<NewBroadcast>,
) -> Result<HttpResponse, Problem> {
    egresses::start(&api, context, retry, &path.id, (KIND, EgressOrder::Broadcast(new.0))).await
}

/// `GET /streams/{id}/broadcasts`
///
/// Lists a stream's broadcasts, oldest first, also those that have ended. Of recordings and broadcasts together, a
/// stream keeps the newest 32.
#[utoipa::path(
    get, path = "/streams/{id}/broadcasts", operation_id = "listBroadcasts", tag = "broadcast",
    params(StreamPath),
    responses((status = 200, description = "All broadcasts that are kept.", body = Vec<Broadcast>))
)]
pub async fn list(
    api: Data<AppState>,
    context: RequestContext,
    path: Path<StreamPath>,
) -> Result<HttpResponse, Problem> {
    egresses::list(&api, &context, &path.id, KIND).await
}

/// `GET /streams/{id}/broadcasts/{broadcastId}`
///
/// Returns a broadcast. No address has its stream key.
#[utoipa::path(
    get, path = "/streams/{id}/broadcasts/{broadcastId}", operation_id = "getBroadcast", tag = "broadcast",
    params(BroadcastPath),
    responses((status = 200, description = "The broadcast.", body = Broadcast))
)]
pub async fn get(
    api: Data<AppState>,
    context: RequestContext,
    path: Path<BroadcastPath>,
) -> Result<HttpResponse, Problem> {
    egresses::get(&api, &context, &path.id, (KIND, path.broadcast_id())).await
}

/// `PATCH /streams/{id}/broadcasts/{broadcastId}`
///
/// Adds and removes RTMP outputs of a broadcast that runs. An address that it has already, and an output that has
/// ended, change nothing.
#[utoipa::path(
    patch, path = "/streams/{id}/broadcasts/{broadcastId}", operation_id = "patchBroadcast", tag = "broadcast",
    params(BroadcastPath),
    request_body = PatchBroadcast,
    responses((status = 200, description = "The changed broadcast.", body = Broadcast))
)]
pub async fn patch(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<BroadcastPath>,
    JsonBody(patch): JsonBody<PatchBroadcast>,
) -> Result<HttpResponse, Problem> {
    if let Some(response) = egresses::replayed(&api, &context, &retry, KIND).await? {
        return Ok(response);
    }
    let stream = egresses::find_stream(&api, &context, &retry, &path.id).await?;
    let PatchBroadcast { add, remove } = patch;
    let (job, dedup_key) = (retry.reserved_id().map(Into::into), retry.dedup_key());
    let (id, request) = (path.broadcast_id(), TargetsRequest { add, remove, job, dedup_key });
    let changed = run_to_end(&api, async move |orchestrator| {
        orchestrator.change_targets(&context.caller, &stream, &id, request).await
    });
    Ok(egresses::changed(StatusCode::OK, &changed.await?))
}

/// `DELETE /streams/{id}/broadcasts/{broadcastId}`
///
/// Stops a broadcast with all its outputs. One that has ended is returned unchanged.
#[utoipa::path(
    delete, path = "/streams/{id}/broadcasts/{broadcastId}", operation_id = "stopBroadcast", tag = "broadcast",
    params(BroadcastPath),
    responses((status = 200, description = "The broadcast, which is ending or has ended.", body = Broadcast))
)]
pub async fn stop(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<BroadcastPath>,
) -> Result<HttpResponse, Problem> {
    egresses::stop(&api, context, retry, &path.id, (KIND, path.broadcast_id())).await
}
