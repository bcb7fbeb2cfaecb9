//! Handlers that mute participants.

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};

use super::{
    mute_requests::{Mute, MuteEverybody},
    one::identity,
    requests::ParticipantPath,
    responses,
};
use crate::{
    access::Action,
    admission::RequestContext,
    domain::ErrorCode,
    http::{
        app_state::AppState,
        extract::{JsonBody, Retry, StreamPath},
        problem::Problem,
        schemas::{self, ReadableStream},
        streams::{changed, run_to_end},
    },
    orchestrator::MuteRequest,
};

/// Errors of [`one`] besides those of every change.
pub const ONE_ERRORS: &[ErrorCode] = &[
    ErrorCode::ParticipantNotFound,
    ErrorCode::TrackNotFound,
    ErrorCode::StreamNotActive,
    ErrorCode::LivekitError,
    ErrorCode::LivekitUnavailable,
];
/// Errors of [`all`] besides those of every change.
pub const ALL_ERRORS: &[ErrorCode] =
    &[ErrorCode::StreamNotActive, ErrorCode::LivekitError, ErrorCode::LivekitUnavailable];

/// `POST /streams/{id}/participants/{identity}/mute`
///
/// Mutes tracks of a participant, which may unmute them. Succeeds if the participant sends no track of the source.
#[utoipa::path(
    post, path = "/streams/{id}/participants/{identity}/mute", operation_id = "muteParticipant",
    tag = "participants", params(ParticipantPath),
    request_body = Mute,
    responses((status = 200, description = "The participant.", body = schemas::Participant))
)]
pub async fn one(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<ParticipantPath>,
    JsonBody(Mute(tracks)): JsonBody<Mute>,
) -> Result<HttpResponse, Problem> {
    let (caller, identity) = (context.caller.clone(), identity(&path)?);
    if let Some(executed) = retry.executed() {
        return responses::changed_again(&api, &caller, Action::Moderate, executed, &identity).await;
    }
    let stream = api.orchestrator.find(&caller, Action::Moderate, &retry.stream(&path.id)).await?;
    let request = MuteRequest { identity, tracks, dedup_key: retry.dedup_key() };
    let muted = run_to_end(&api, async move |orchestrator| orchestrator.mute(&caller, stream, request).await);
    Ok(responses::changed(&muted.await?))
}

/// `POST /streams/{id}/mute`
///
/// Mutes the tracks of one source of all participants, except some.
#[utoipa::path(
    post, path = "/streams/{id}/mute", operation_id = "muteParticipants", tag = "participants",
    params(StreamPath),
    request_body = MuteEverybody,
    responses((status = 200, description = "The stream.", body = ReadableStream,
        headers(("etag"), ("last-event-id"))))
)]
pub async fn all(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<StreamPath>,
    JsonBody(MuteEverybody(request)): JsonBody<MuteEverybody>,
) -> Result<HttpResponse, Problem> {
    let action = Action::Moderate;
    if let Some(executed) = retry.executed() {
        return changed(&api, &context, action, executed.status, executed.stream).await;
    }
    let stream = api.orchestrator.find(&context.caller, action, &retry.stream(&path.id)).await?;
    let (id, caller) = (stream.id, context.caller.clone());
    run_to_end(&api, async move |orchestrator| orchestrator.mute_all(&caller, &stream, request).await)
        .await?;
    changed(&api, &context, action, StatusCode::OK, id).await
}
