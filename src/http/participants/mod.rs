//! Handlers of a stream's participants.

pub mod hand;
pub mod mute;
mod mute_requests;
pub mod one;
pub mod requests;
mod responses;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};

use self::{
    requests::{Join, Leave, ListParticipants},
    responses::{Joined, Left},
};
use crate::{
    access::{Action, Caller},
    admission::RequestContext,
    domain::{ErrorCode, Identity, Stream},
    http::{
        app_state::AppState,
        extract::{IfNoneMatch, JsonBody, Query, Retry, StreamPath},
        list_page,
        problem::{FieldError, Problem},
        request_record::{Details, Executed},
        schemas,
    },
    orchestrator::{JoinRequest, LeaveRequest, ParticipantQuery},
};

/// Errors of [`join`] besides those of every change.
pub const JOIN_ERRORS: &[ErrorCode] = &[
    ErrorCode::LivekitError,
    ErrorCode::LivekitUnavailable,
    ErrorCode::StreamNotActive,
    ErrorCode::StreamFull,
    ErrorCode::StreamBackstage,
    ErrorCode::ParticipantBlocked,
];
/// Errors of [`leave`] besides those of every change.
pub const LEAVE_ERRORS: &[ErrorCode] = &[ErrorCode::LivekitError, ErrorCode::LivekitUnavailable];

/// `GET /streams/{id}/participants`
///
/// Lists a stream's participants: hosts first, then newest first.
#[utoipa::path(
    get, path = "/streams/{id}/participants", operation_id = "listParticipants", tag = "participants",
    params(StreamPath, ListParticipants, IfNoneMatch),
    responses(
        (status = 200, description = "A page of participants.", body = Vec<schemas::Participant>,
            headers(("link"), ("etag"))),
        (status = 304, description = "The client has this page."),
    )
)]
pub async fn list(
    api: Data<AppState>,
    context: RequestContext,
    request: HttpRequest,
    path: Path<StreamPath>,
    stored: IfNoneMatch,
    Query(ListParticipants { state, kind, page }): Query<ListParticipants>,
) -> Result<HttpResponse, Problem> {
    let query = ParticipantQuery { state, kind, limit: page.limit, after: page.cursor };
    let listed = api.orchestrator.participants(&context.caller, &path.id, query).await?;
    list_page::respond(&request, &stored, &listed)
}

/// `POST /streams/{id}/join`
///
/// Creates a join token.
#[utoipa::path(
    post, path = "/streams/{id}/join", operation_id = "joinStream", tag = "participants",
    params(StreamPath),
    request_body = Join,
    responses((status = 200, description = "The token and the address of LiveKit.", body = Joined))
)]
pub async fn join(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<StreamPath>,
    JsonBody(Join { identity, name, role, metadata, attributes }): JsonBody<Join>,
) -> Result<HttpResponse, Problem> {
    let (orchestrator, caller) = (&api.orchestrator, &context.caller);
    let dedup_key = retry.dedup_key();
    let request = JoinRequest { identity: identity.clone(), name, role, metadata, attributes, dedup_key };
    let joined = match retry.executed() {
        Some(Executed { stream, details: Details::Token(token), .. }) => {
            orchestrator.join_again(caller, *stream, request, *token).await?
        }
        _ => {
            let stream = orchestrator.find_reference(caller, Action::Join, &retry.stream(&path.id)).await?;
            orchestrator.join(caller, &stream, request).await?
        }
    };
    Ok(responses::joined(&joined, &identity, &api.livekit_public_url))
}

/// Requires a valid identity, unless the stream has a participant with it. LiveKit may report any identity.
async fn require_valid_or_known(
    api: &AppState,
    caller: &Caller,
    action: Action,
    stream: &Stream,
    identity: &Identity,
) -> Result<(), Problem> {
    let Err(rule) = Identity::parse(identity.as_str()) else { return Ok(()) };
    if api.orchestrator.has_participant(caller, action, stream, identity).await? {
        return Ok(());
    }
    Err(Problem::invalid(vec![FieldError::new("identity", rule)]))
}

/// `POST /streams/{id}/leave`
///
/// Removes a participant from the room. The response is the same if the participant has left before or never joined.
#[utoipa::path(
    post, path = "/streams/{id}/leave", operation_id = "leaveStream", tag = "participants",
    params(StreamPath),
    request_body = Leave,
    responses((status = 200, description = "The participant is not in the room.", body = Left))
)]
pub async fn leave(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<StreamPath>,
    JsonBody(Leave { identity }): JsonBody<Leave>,
) -> Result<HttpResponse, Problem> {
    let action = context.caller.leave_action(&identity);
    if let Some(executed) = retry.executed() {
        let left = api.orchestrator.left(&context.caller, executed.stream, &identity).await?;
        return Ok(responses::left(left, &identity));
    }
    let stream = api.orchestrator.find(&context.caller, action, &retry.stream(&path.id)).await?;
    require_valid_or_known(&api, &context.caller, action, &stream, &identity).await?;
    let previous = retry.previous().cloned();
    let request = LeaveRequest { identity: identity.clone(), dedup_key: retry.dedup_key(), previous };
    let left = api.orchestrator.leave(&context.caller, stream, request).await?;
    Ok(responses::left(left, &identity))
}
