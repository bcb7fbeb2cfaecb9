//! Joining, leaving, and who is there.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Path},
};
use serde::Serialize;

use crate::http::{
    app_state::AppState,
    extract::{JsonForm, Query, Retry},
    openapi,
    problem::{FieldError, Problem},
    schemas,
    streams::{DEFAULT_PAGE, MAX_PAGE, page},
};
use crate::{
    access::{Action, Caller},
    admission::RequestContext,
    domain::{DisplayName, Identity, Participant, Role, Stream, StreamId, Timestamp, ids::NameError},
    orchestrator::{JoinRequest, LeaveRequest, ParticipantQuery},
    store::UnknownKind,
};

/// The names of the one field that says who somebody is.
const IDENTITY: [&str; 3] = ["participantName", "userId", "identity"];

/// `GET /streams/{id}/participants`
///
/// Pages through a stream's participants: those who may publish first, then the newest.
#[utoipa::path(
    get, path = "/streams/{id}/participants", operation_id = "listParticipants", tag = "participants",
    params(("id" = String, Path, description = "The stream's id, or the name of its room"), openapi::Page,
        ("state" = Option<schemas::ParticipantState>, Query, description = "Only those in this state"),
        ("kind" = Option<schemas::KindFilter>, Query, description = "Only those of this kind, recorders and hidden participants included, which no other list shows. Hidden ones need `roomAdmin` or `roomList`"),
        ("If-None-Match" = Option<String>, Header, description = "A page that the caller has, by its `ETag`"),
    ),
    responses(
        (status = 200, description = "A page", body = Vec<schemas::Participant>,
            headers(("link" = String, description = "The next page, as `rel=\"next\"` (RFC 8288)"), ("etag" = String, description = "Of this page as it is"))),
        (status = 304, description = "The caller has this page"),
    )
)]
pub async fn list(
    api: Data<AppState>,
    context: RequestContext,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let state = query.parsed("state", "must be joining, active or disconnected", |text| text.parse().ok());
    let kind = query.parsed("kind", &UnknownKind.to_string(), |text| text.parse().ok());
    let limit = query.integer("limit", 1, MAX_PAGE);
    let cursor = query.page_cursor();
    query.finish()?;
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    let query = ParticipantQuery { state, kind, limit, after: cursor };
    let listed = api.orchestrator.participants(&context.caller, &id, query).await?;
    Ok(page(&request, &listed.items, listed.next.as_deref()))
}

/// `POST /streams/{id}/join`
///
/// Makes a join token.
#[utoipa::path(
    post, path = "/streams/{id}/join", operation_id = "joinStream", tag = "participants", params(("id" = String, Path, description = "The stream's id, or the name of its room")),
    request_body = schemas::Joining,
    responses((status = 200, description = "A token, and where to use it", body = schemas::Joined))
)]
pub async fn join(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    id: Path<String>,
    mut form: JsonForm,
) -> Result<HttpResponse, Problem> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer<'a> {
        token: &'a str,
        stream_id: StreamId,
        participant_name: &'a Identity,
        identity: &'a Identity,
        role: Role,
        ws_url: &'a str,
        expires_at: Timestamp,
    }
    let identity = form.required_text_of(&IDENTITY, Identity::parse);
    let name = form.text("name", DisplayName::parse);
    let role = form.text("role", |text| text.parse().map_err(|_| "must be host or viewer"));
    let metadata = form.metadata("metadata");
    let attributes = form.attributes("attributes");
    form.finish()?;
    let Some(identity) = identity else { return Err(Problem::invalid(Vec::new())) };
    let role = role.unwrap_or(Role::Host);
    let named = retry.stream(&id);
    let stream = api.orchestrator.find_reference(&context.caller, Action::Join, &named).await?;
    let dedup_key = retry.dedup_key();
    let request = JoinRequest { identity: identity.clone(), name, role, metadata, attributes, dedup_key };
    let joined = api.orchestrator.join(&stream, request).await?;
    let answer = Answer {
        token: &joined.token.jwt,
        stream_id: joined.stream.id,
        participant_name: &identity,
        identity: &identity,
        role,
        ws_url: &api.livekit_public_url,
        expires_at: joined.token.expires_at,
    };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(answer))
}

/// The rules for identities are for callers. A participant that LiveKit reports can leave under any identity.
async fn require_parsable_unless_known(
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
/// Takes somebody out of the room. Again, or for one who never came: the same answer.
#[utoipa::path(
    post, path = "/streams/{id}/leave", operation_id = "leaveStream", tag = "participants", params(("id" = String, Path, description = "The stream's id, or the name of its room")),
    request_body = schemas::Leaving,
    responses((status = 200, description = "They are not there any more", body = schemas::Left))
)]
pub async fn leave(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    id: Path<String>,
    mut form: JsonForm,
) -> Result<HttpResponse, Problem> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer<'a> {
        stream_id: StreamId,
        participant_name: &'a Identity,
        identity: &'a Identity,
        participant: Option<Participant>,
    }
    let identity = form.required_text_of(&IDENTITY, |text| Identity::reported(text).ok_or(NameError::Empty));
    form.finish()?;
    let Some(identity) = identity else { return Err(Problem::invalid(Vec::new())) };
    let action = context.caller.leave_action(&identity);
    let stream = api.orchestrator.find(&context.caller, action, &retry.stream(&id)).await?;
    require_parsable_unless_known(&api, &context.caller, action, &stream, &identity).await?;
    let previous = retry.previous().cloned();
    let request = LeaveRequest { identity: identity.clone(), dedup_key: retry.dedup_key(), previous };
    let left = api.orchestrator.leave(stream, request).await?;
    Ok(HttpResponse::Ok().json(Answer {
        stream_id: left.stream.id,
        participant_name: &identity,
        identity: &identity,
        participant: left.participant,
    }))
}
