//! Handlers of one participant.

use actix_web::{
    HttpResponse,
    web::{Data, Path},
};

use super::{
    requests::{ParticipantPatch, ParticipantPath},
    responses,
};
use crate::{
    access::Action,
    admission::RequestContext,
    domain::{ErrorCode, Identity},
    http::{
        app_state::AppState,
        extract::{JsonBody, Retry},
        problem::Problem,
        schemas,
        streams::run_to_end,
    },
    orchestrator::{self, LeaveRequest},
};

/// Errors of [`get`] besides those of every read.
pub const GET_ERRORS: &[ErrorCode] = &[ErrorCode::ParticipantNotFound];
/// Errors of [`patch`] besides those of every change.
pub const PATCH_ERRORS: &[ErrorCode] = &[
    ErrorCode::ParticipantNotFound,
    ErrorCode::StreamNotActive,
    ErrorCode::LivekitError,
    ErrorCode::LivekitUnavailable,
    ErrorCode::OperationInProgress,
];

/// Errors of [`remove`] besides those of every change.
pub const REMOVE_ERRORS: &[ErrorCode] = &[
    ErrorCode::ParticipantNotFound,
    ErrorCode::StreamNotActive,
    ErrorCode::LivekitError,
    ErrorCode::LivekitUnavailable,
];

/// Reads the identity of a path. LiveKit may report any text, so every text that is not empty is accepted.
pub(super) fn identity(path: &ParticipantPath) -> Result<Identity, Problem> {
    Identity::reported(path.identity.clone()).ok_or_else(|| Problem::new(ErrorCode::ParticipantNotFound))
}

/// `GET /streams/{id}/participants/{identity}`
///
/// Returns a participant. A hidden participant needs `roomAdmin` or `roomList`.
#[utoipa::path(
    get, path = "/streams/{id}/participants/{identity}", operation_id = "getParticipant", tag = "participants",
    params(ParticipantPath),
    responses((status = 200, description = "The participant.", body = schemas::Participant))
)]
pub async fn get(
    api: Data<AppState>,
    context: RequestContext,
    path: Path<ParticipantPath>,
) -> Result<HttpResponse, Problem> {
    let participant = api.orchestrator.participant(&context.caller, &path.id, &identity(&path)?).await?;
    Ok(HttpResponse::Ok().json(participant))
}

/// `PATCH /streams/{id}/participants/{identity}`
///
/// Changes a participant's role, name and metadata, at once in LiveKit if the participant is connected.
#[utoipa::path(
    patch, path = "/streams/{id}/participants/{identity}", operation_id = "patchParticipant",
    tag = "participants", params(ParticipantPath),
    request_body = ParticipantPatch,
    responses((status = 200, description = "The participant after the change.", body = schemas::Participant))
)]
pub async fn patch(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<ParticipantPath>,
    JsonBody(ParticipantPatch { role, name, metadata }): JsonBody<ParticipantPatch>,
) -> Result<HttpResponse, Problem> {
    let (caller, identity) = (context.caller.clone(), identity(&path)?);
    if let Some(executed) = retry.executed() {
        return responses::changed_again(&api, &caller, Action::Moderate, executed, &identity).await;
    }
    let id = retry.stream(&path.id);
    let stream = api.orchestrator.find_reference(&caller, Action::Moderate, &id).await?;
    let patch =
        orchestrator::ParticipantPatch { identity, role, name, metadata, dedup_key: retry.dedup_key() };
    let changed = run_to_end(&api, async move |orchestrator| {
        orchestrator.patch_participant(&caller, &stream, patch).await
    });
    Ok(responses::changed(&changed.await?))
}

/// `DELETE /streams/{id}/participants/{identity}`
///
/// Removes a participant from the room. Tokens that were created before do not admit it any more; a new one does.
#[utoipa::path(
    delete, path = "/streams/{id}/participants/{identity}", operation_id = "removeParticipant",
    tag = "participants", params(ParticipantPath),
    responses((status = 200, description = "The participant, which has left.", body = schemas::Participant))
)]
pub async fn remove(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<ParticipantPath>,
) -> Result<HttpResponse, Problem> {
    let (caller, identity, action) = (context.caller.clone(), identity(&path)?, Action::Remove);
    if let Some(executed) = retry.executed() {
        return responses::changed_again(&api, &caller, action, executed, &identity).await;
    }
    let stream = api.orchestrator.find(&caller, action, &retry.stream(&path.id)).await?;
    let previous = retry.previous().cloned();
    let request = LeaveRequest { identity, dedup_key: retry.dedup_key(), previous };
    let removed =
        run_to_end(&api, async move |orchestrator| orchestrator.remove(&caller, stream, request).await);
    Ok(responses::changed(&removed.await?))
}
