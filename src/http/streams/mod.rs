//! Handlers of `/streams` and `/streams/{id}`.

pub mod requests;
mod responses;

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    rt,
    web::{Data, Path},
};
use tracing::Instrument;

use self::requests::{ListStreams, NewStream, StreamPatch};
use crate::{
    access::Action,
    admission::RequestContext,
    domain::{ErrorCode, StreamId, StreamStatus},
    http::{
        app_state::AppState,
        extract::{IfMatch, IfNoneMatch, JsonBody, Query, Retry, StreamPath},
        list_page,
        problem::{FieldError, Problem},
        schemas::{ReadableStream, Stream, StreamState, StreamSummary},
    },
    orchestrator::{self, CreateRequest, Creation, Orchestrator, Patch},
    store::Guard,
};

/// Errors of [`create`] besides those of every change. [`ErrorCode::StreamNotFound`] answers a repetition whose stream
/// has expired.
pub const CREATE_ERRORS: &[ErrorCode] = &[
    ErrorCode::StreamNotFound,
    ErrorCode::LivekitError,
    ErrorCode::LivekitUnavailable,
    ErrorCode::RoomExists,
    ErrorCode::RoomNameLocked,
    ErrorCode::OperationInProgress,
];
/// Errors of [`patch`] besides those of every change.
pub const PATCH_ERRORS: &[ErrorCode] = &[
    ErrorCode::IngressUnavailable,
    ErrorCode::LivekitError,
    ErrorCode::LivekitUnavailable,
    ErrorCode::StreamNotActive,
    ErrorCode::VersionMismatch,
    ErrorCode::InvalidTransition,
    ErrorCode::OperationInProgress,
];
/// Errors of [`stop`] besides those of every change.
pub const STOP_ERRORS: &[ErrorCode] = &[
    ErrorCode::IngressUnavailable,
    ErrorCode::LivekitError,
    ErrorCode::LivekitUnavailable,
    ErrorCode::VersionMismatch,
    ErrorCode::InvalidTransition,
    ErrorCode::OperationInProgress,
];

/// Runs a use case of several steps to its end, even if the client disconnects in between.
pub(in crate::http) async fn run_to_end<T: 'static>(
    api: &AppState,
    steps: impl AsyncFnOnce(Arc<Orchestrator>) -> Result<T, orchestrator::Error> + 'static,
) -> Result<T, Problem> {
    let orchestrator = api.orchestrator.clone();
    let done = rt::spawn(async move { steps(orchestrator).await }.in_current_span()).await;
    Ok(done.map_err(|_| Problem::new(ErrorCode::Internal))??)
}

/// Responds to a change, the first time and again, with the stream as it is now.
pub(in crate::http) async fn changed(
    api: &AppState,
    context: &RequestContext,
    action: Action,
    status: StatusCode,
    id: StreamId,
) -> Result<HttpResponse, Problem> {
    let view = api.orchestrator.view_changed(&context.caller, action, id).await?;
    Ok(responses::changed(status, &context.caller, &view))
}

/// `POST /streams`
///
/// Creates a stream and its LiveKit room.
#[utoipa::path(
    post, path = "/streams", operation_id = "createStream", tag = "streams",
    request_body = NewStream,
    responses(
        (status = 201, description = "The stream was created.", body = ReadableStream,
            headers(("location"), ("etag"), ("last-event-id"))),
        (status = 200, description = "A live stream has this room name. The response is that stream.",
            body = ReadableStream, headers(("etag"), ("last-event-id"))),
    )
)]
pub async fn create(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    JsonBody(new): JsonBody<NewStream>,
) -> Result<HttpResponse, Problem> {
    if let Some(executed) = retry.executed() {
        return changed(&api, &context, Action::Create, executed.status, executed.stream).await;
    }
    let request = CreateRequest {
        id: retry.reserved_id(),
        room_name: new.room_name,
        metadata: new.metadata,
        max_participants: new.max_participants,
        empty_timeout: new.empty_timeout,
        audience: new.audience,
        backstage: new.backstage,
    };
    let caller = context.caller.clone();
    let Creation { stream, is_new } =
        run_to_end(&api, async move |orchestrator| orchestrator.create(&caller, request).await).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    changed(&api, &context, Action::Create, status, stream.id).await
}

/// `GET /streams`
///
/// Lists streams, newest first.
#[utoipa::path(
    get, path = "/streams", operation_id = "listStreams", tag = "streams",
    params(ListStreams, IfNoneMatch),
    responses(
        (status = 200, description = "A page of streams.", body = Vec<StreamSummary>,
            headers(("link"), ("etag"))),
        (status = 304, description = "The client has this page."),
    )
)]
pub async fn list(
    api: Data<AppState>,
    context: RequestContext,
    request: HttpRequest,
    stored: IfNoneMatch,
    Query(ListStreams { filter, page }): Query<ListStreams>,
) -> Result<HttpResponse, Problem> {
    let listed = api.orchestrator.list(&context.caller, filter, page.limit, page.cursor.as_deref()).await?;
    list_page::respond(&request, &stored, &listed)
}

/// `GET /streams/{id}`
///
/// Returns a stream with its participants.
#[utoipa::path(
    get, path = "/streams/{id}", operation_id = "getStream", tag = "streams",
    params(StreamPath, IfNoneMatch),
    responses(
        (status = 200, description = "The stream.", body = Stream, headers(("etag"), ("last-event-id"))),
        (status = 304, description = "The client has this version."),
    )
)]
pub async fn get(
    api: Data<AppState>,
    context: RequestContext,
    path: Path<StreamPath>,
    stored: IfNoneMatch,
) -> Result<HttpResponse, Problem> {
    let view = api.orchestrator.view(&context.caller, &path.id).await?;
    Ok(responses::read(&stored, &view, || &view))
}

/// `GET /streams/{id}/state`
///
/// Returns a stream's state.
#[utoipa::path(
    get, path = "/streams/{id}/state", operation_id = "getStreamState", tag = "streams",
    params(StreamPath, IfNoneMatch),
    responses(
        (status = 200, description = "The state.", body = StreamState, headers(("etag"), ("last-event-id"))),
        (status = 304, description = "The client has this version."),
    )
)]
pub async fn state(
    api: Data<AppState>,
    context: RequestContext,
    path: Path<StreamPath>,
    stored: IfNoneMatch,
) -> Result<HttpResponse, Problem> {
    let view = api.orchestrator.view(&context.caller, &path.id).await?;
    Ok(responses::read(&stored, &view, || view.state()))
}

/// Combines the versions that the body and the `If-Match` header require.
fn required_version(body: Option<u64>, header: Option<u64>) -> Result<Option<u64>, Problem> {
    match (body, header) {
        (Some(body), Some(header)) if body != header => {
            Err(Problem::invalid(vec![FieldError::new("version", "contradicts If-Match")]))
        }
        (body, header) => Ok(body.or(header)),
    }
}

/// `PATCH /streams/{id}`
///
/// Changes a stream's metadata, or stops the stream.
#[utoipa::path(
    patch, path = "/streams/{id}", operation_id = "patchStream", tag = "streams",
    params(StreamPath, IfMatch),
    request_body = StreamPatch,
    responses((status = 200, description = "The stream after the change.", body = ReadableStream,
        headers(("etag"), ("last-event-id"))))
)]
pub async fn patch(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    if_match: IfMatch,
    path: Path<StreamPath>,
    JsonBody(StreamPatch { metadata, status, version }): JsonBody<StreamPatch>,
) -> Result<HttpResponse, Problem> {
    // `{status: "stopped"}` alone is the same as DELETE, so the same grants suffice.
    let stops = status == Some(StreamStatus::Stopped);
    let action = if stops && metadata.is_none() { Action::Stop } else { Action::Update };
    if let Some(executed) = retry.executed() {
        return changed(&api, &context, action, executed.status, executed.stream).await;
    }
    let stream = api.orchestrator.find(&context.caller, action, &retry.stream(&path.id)).await?;
    let version = required_version(version, if_match.required_version(&stream.accepted_versions())?)?;
    let patch = Patch { metadata, status, version, dedup_key: retry.dedup_key() };
    let caller = context.caller.clone();
    let patched =
        run_to_end(&api, async move |orchestrator| orchestrator.patch(&caller, stream, patch).await).await?;
    changed(&api, &context, action, StatusCode::OK, patched.id).await
}

/// `DELETE /streams/{id}`
///
/// Stops a stream. A stream that is `stopped` or in `error` is returned unchanged, without an event.
#[utoipa::path(
    delete, path = "/streams/{id}", operation_id = "stopStream", tag = "streams",
    params(StreamPath, IfMatch),
    responses((status = 200, description = "The stopped stream, or the stream in `error`.", body = ReadableStream,
        headers(("etag"), ("last-event-id"))))
)]
pub async fn stop(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    if_match: IfMatch,
    path: Path<StreamPath>,
) -> Result<HttpResponse, Problem> {
    if let Some(executed) = retry.executed() {
        return changed(&api, &context, Action::Stop, executed.status, executed.stream).await;
    }
    let stream = api.orchestrator.find(&context.caller, Action::Stop, &retry.stream(&path.id)).await?;
    let version = if_match.required_version(&stream.accepted_versions())?;
    let guard = Guard { version, dedup_key: retry.dedup_key(), lease: None };
    let caller = context.caller.clone();
    let stopped =
        run_to_end(&api, async move |orchestrator| orchestrator.stop(&caller, &stream, guard).await).await?;
    changed(&api, &context, Action::Stop, StatusCode::OK, stopped.id).await
}
