//! Handlers that raise and lower hands.

use actix_web::{
    HttpResponse,
    web::{Data, Path},
};

use super::{one::identity, requests::ParticipantPath, responses};
use crate::{
    admission::RequestContext,
    domain::ErrorCode,
    http::{app_state::AppState, extract::Retry, problem::Problem, schemas},
    store::Guard,
};

/// Errors of [`raise`] besides those of every change.
pub const RAISE_ERRORS: &[ErrorCode] = &[
    ErrorCode::ParticipantNotFound,
    ErrorCode::ParticipantNotPresent,
    ErrorCode::ParticipantBlocked,
    ErrorCode::TooManyHands,
    ErrorCode::HandsTooFrequent,
    ErrorCode::StreamNotActive,
];
/// Errors of [`lower`] besides those of every change.
pub const LOWER_ERRORS: &[ErrorCode] = &[ErrorCode::ParticipantNotFound, ErrorCode::StreamNotActive];

/// `PUT /streams/{id}/participants/{identity}/hand`
///
/// Raises the hand of a viewer who asks to come on stage. A host is returned unchanged.
#[utoipa::path(
    put, path = "/streams/{id}/participants/{identity}/hand", operation_id = "raiseHand", tag = "participants",
    params(ParticipantPath),
    responses((status = 200, description = "The participant.", body = schemas::Participant))
)]
pub async fn raise(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<ParticipantPath>,
) -> Result<HttpResponse, Problem> {
    set_hand(true, &api, &context, &retry, &path).await
}

/// `DELETE /streams/{id}/participants/{identity}/hand`
///
/// Lowers the hand. A participant whose hand is down is returned unchanged.
#[utoipa::path(
    delete, path = "/streams/{id}/participants/{identity}/hand", operation_id = "lowerHand", tag = "participants",
    params(ParticipantPath),
    responses((status = 200, description = "The participant.", body = schemas::Participant))
)]
pub async fn lower(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<ParticipantPath>,
) -> Result<HttpResponse, Problem> {
    set_hand(false, &api, &context, &retry, &path).await
}

async fn set_hand(
    is_raised: bool,
    api: &AppState,
    context: &RequestContext,
    retry: &Retry,
    path: &ParticipantPath,
) -> Result<HttpResponse, Problem> {
    let (caller, identity) = (&context.caller, identity(path)?);
    let action = caller.hand_action(&identity);
    if let Some(executed) = retry.executed() {
        return responses::changed_again(api, caller, action, executed, &identity).await;
    }
    let stream = api.orchestrator.find_reference(caller, action, &retry.stream(&path.id)).await?;
    let guard = Guard { dedup_key: retry.dedup_key(), ..Guard::default() };
    let changed = api.orchestrator.set_hand(caller, &stream, identity, is_raised, guard).await?;
    Ok(responses::changed(&changed))
}
