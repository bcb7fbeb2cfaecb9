//! What the routes of recordings and of broadcasts share: start, reads and stop.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};

use super::{
    app_state::AppState,
    extract::Retry,
    job_record::{ExecutedOnJob, MediaJob},
    problem::Problem,
    streams::run_to_end,
};
use crate::{
    access::Action,
    admission::RequestContext,
    domain::{EgressId, EgressKind, ErrorCode, StreamRef},
    orchestrator::{EgressOrder, EgressRequest, EgressView},
    store::Guard,
};

/// Errors of a start besides those of every change.
pub const START_ERRORS: &[ErrorCode] = &[
    ErrorCode::StreamNotActive,
    ErrorCode::TooManyEgresses,
    ErrorCode::EgressUnavailable,
    ErrorCode::LivekitError,
    ErrorCode::StorageNotConfigured,
    ErrorCode::ParticipantNotFound,
    ErrorCode::TrackNotFound,
    ErrorCode::RecordingNotFound,
    ErrorCode::BroadcastNotFound,
];

/// Name of a kind in paths.
const fn segment(kind: EgressKind) -> &'static str {
    match kind {
        EgressKind::Recording => "recordings",
        EgressKind::Broadcast => "broadcasts",
    }
}

fn document(status: StatusCode, view: &EgressView) -> HttpResponse {
    HttpResponse::build(status).json(view.egress.document(view.shows_location))
}

/// Builds the response to a change, the first one and its replays.
pub(super) fn changed(status: StatusCode, view: &EgressView) -> HttpResponse {
    let EgressView { stream, egress, .. } = view;
    let mut response = document(status, view);
    if status == StatusCode::CREATED {
        let location = format!("/streams/{stream}/{}/{}", segment(egress.kind), egress.id);
        if let Ok(location) = location.parse() {
            response.headers_mut().insert(header::LOCATION, location);
        }
    }
    let job = MediaJob::Egress(egress.kind, egress.id.clone());
    response.extensions_mut().insert(ExecutedOnJob { status, stream: *stream, job });
    response
}

/// Makes the response to an executed request again; `None` for a request that is to be executed.
///
/// # Errors
/// Errors of the read.
pub(super) async fn replayed(
    api: &AppState,
    context: &RequestContext,
    retry: &Retry,
    kind: EgressKind,
) -> Result<Option<HttpResponse>, Problem> {
    let Some(executed) = retry.executed_on_job() else { return Ok(None) };
    let MediaJob::Egress(_, id) = &executed.job else { return Err(Problem::new(ErrorCode::Internal)) };
    let view = api.orchestrator.egress(&context.caller, &executed.stream.to_string(), kind, id).await?;
    Ok(Some(changed(executed.status, &view)))
}

/// Returns the stream of a request that changes a recording or a broadcast.
///
/// # Errors
/// As [`crate::orchestrator::Orchestrator::find_reference`].
pub(super) async fn find_stream(
    api: &AppState,
    context: &RequestContext,
    retry: &Retry,
    id: &str,
) -> Result<StreamRef, Problem> {
    Ok(api.orchestrator.find_reference(&context.caller, Action::Record, &retry.stream(id)).await?)
}

/// Starts a recording or a broadcast.
///
/// # Errors
/// [`START_ERRORS`].
pub(super) async fn start(
    api: &AppState,
    context: RequestContext,
    retry: Retry,
    id: &str,
    (kind, order): (EgressKind, EgressOrder),
) -> Result<HttpResponse, Problem> {
    if let Some(response) = replayed(api, &context, &retry, kind).await? {
        return Ok(response);
    }
    let stream = find_stream(api, &context, &retry, id).await?;
    let request = EgressRequest {
        order,
        job: retry.reserved_id().map(Into::into),
        dedup_key: retry.dedup_key(),
        is_made: retry.previous().is_some_and(|previous| previous.changed_stream.is_some()),
    };
    let started = run_to_end(api, async move |orchestrator| {
        orchestrator.start_egress(&context.caller, &stream, request).await
    });
    Ok(changed(StatusCode::CREATED, &started.await?))
}

/// Lists the recordings or the broadcasts of a stream. Their number and their sizes are bounded, so the list is one
/// message.
///
/// # Errors
/// As [`crate::orchestrator::Orchestrator::find`].
pub(super) async fn list(
    api: &AppState,
    context: &RequestContext,
    id: &str,
    kind: EgressKind,
) -> Result<HttpResponse, Problem> {
    let known = api.orchestrator.egresses(&context.caller, id, kind).await?;
    let documents = known.iter().map(|view| view.egress.document(view.shows_location));
    Ok(HttpResponse::Ok().json(documents.collect::<Vec<_>>()))
}

/// Returns a recording or a broadcast.
///
/// # Errors
/// 404; as [`crate::orchestrator::Orchestrator::find`].
pub(super) async fn get(
    api: &AppState,
    context: &RequestContext,
    stream: &str,
    (kind, id): (EgressKind, EgressId),
) -> Result<HttpResponse, Problem> {
    let view = api.orchestrator.egress(&context.caller, stream, kind, &id).await?;
    Ok(document(StatusCode::OK, &view))
}

/// Stops a recording or a broadcast.
///
/// # Errors
/// 404, 502 and 503.
pub(super) async fn stop(
    api: &AppState,
    context: RequestContext,
    retry: Retry,
    stream: &str,
    (kind, id): (EgressKind, EgressId),
) -> Result<HttpResponse, Problem> {
    if let Some(response) = replayed(api, &context, &retry, kind).await? {
        return Ok(response);
    }
    let stream = find_stream(api, &context, &retry, stream).await?;
    let guard = Guard { dedup_key: retry.dedup_key(), ..Guard::default() };
    let stopped = run_to_end(api, async move |orchestrator| {
        orchestrator.stop_egress(&context.caller, &stream, (kind, &id), guard).await
    });
    Ok(changed(StatusCode::OK, &stopped.await?))
}
