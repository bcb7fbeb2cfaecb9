//! Responses about participants.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    access::{Action, Caller},
    domain::{Identity, Participant, Role, StreamId, Timestamp},
    http::{
        app_state::AppState,
        problem::Problem,
        request_record::{Details, Executed},
        schemas,
    },
    orchestrator::{self, JoiningTerms},
};

/// A join token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Joined<'a> {
    /// A LiveKit access token for the room, valid until `expiresAt`.
    pub(super) token: &'a str,
    #[schema(value_type = String, pattern = "^[0-9a-f-]{36}$")]
    pub(super) stream_id: StreamId,
    #[schema(value_type = String)]
    pub(super) participant_name: &'a Identity,
    #[schema(value_type = String)]
    pub(super) identity: &'a Identity,
    pub(super) role: Role,
    /// Address of LiveKit.
    #[schema(example = "wss://livekit.example.com")]
    pub(super) ws_url: &'a str,
    #[schema(value_type = String, format = DateTime)]
    pub(super) expires_at: Timestamp,
}

/// The participant that left.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Left<'a> {
    #[schema(value_type = String, pattern = "^[0-9a-f-]{36}$")]
    pub(super) stream_id: StreamId,
    #[schema(value_type = String)]
    pub(super) participant_name: &'a Identity,
    #[schema(value_type = String)]
    pub(super) identity: &'a Identity,
    /// The participant's entry; null if this identity never joined.
    #[schema(value_type = Option<schemas::Participant>, required = true)]
    pub(super) participant: Option<Participant>,
}

/// Builds the response to a join, the first one and its replays.
pub(super) fn joined(
    orchestrator::Joined { stream, token, terms }: &orchestrator::Joined,
    identity: &Identity,
    ws_url: &str,
) -> HttpResponse {
    let response = HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(Joined {
        token: &token.jwt,
        stream_id: stream.id,
        participant_name: identity,
        identity,
        role: terms.role,
        ws_url,
        expires_at: token.validity.expires_at(),
    });
    let details = Details::Token(*terms);
    Executed { details, ..Executed::on(stream.id, StatusCode::OK) }.attach_to(response)
}

/// Builds the response to a change of a participant, the first one and its replays.
pub(super) fn changed(changed: &orchestrator::ChangedParticipant) -> HttpResponse {
    let response = HttpResponse::Ok().json(&changed.participant);
    let details = JoiningTerms::of(&changed.participant).map_or(Details::None, Details::Joining);
    Executed { details, ..Executed::on(changed.stream.id, StatusCode::OK) }.attach_to(response)
}

/// Builds the response to a change of a participant again. Changes nothing.
///
/// # Errors
/// As [`orchestrator::Orchestrator::participant_again`].
pub(super) async fn changed_again(
    api: &AppState,
    caller: &Caller,
    action: Action,
    executed: &Executed,
    identity: &Identity,
) -> Result<HttpResponse, Problem> {
    let joining = match &executed.details {
        Details::Joining(terms) => Some(*terms),
        _ => None,
    };
    let changed =
        api.orchestrator.participant_again(caller, action, executed.stream, identity, joining).await?;
    Ok(self::changed(&changed))
}

/// Builds the response to a leave, the first one and its replays.
pub(super) fn left(left: orchestrator::Left, identity: &Identity) -> HttpResponse {
    let stream = left.stream.id;
    let participant = left.participant;
    let body = Left { stream_id: stream, participant_name: identity, identity, participant };
    Executed::on(stream, StatusCode::OK).attach_to(HttpResponse::Ok().json(body))
}
