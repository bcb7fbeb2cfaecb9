//! Handlers that take a stream live or backstage.

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};

use super::{
    app_state::AppState,
    extract::{Retry, StreamPath},
    problem::Problem,
    schemas::ReadableStream,
    streams::{changed, run_to_end},
};
use crate::{access::Action, admission::RequestContext, domain::ErrorCode, store::Guard};

/// Errors of [`go_live`] and [`stop_live`] besides those of every change.
pub const ERRORS: &[ErrorCode] = &[ErrorCode::StreamNotActive];

/// `POST /streams/{id}/go_live`
///
/// Takes a stream live: viewers have access. A live stream is returned unchanged, without an event.
#[utoipa::path(
    post, path = "/streams/{id}/go_live", operation_id = "goLive", tag = "streams",
    params(StreamPath),
    responses((status = 200, description = "The live stream.", body = ReadableStream,
        headers(("etag"), ("last-event-id"))))
)]
pub async fn go_live(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<StreamPath>,
) -> Result<HttpResponse, Problem> {
    set_live(true, &api, &context, &retry, &path.id).await
}

/// `POST /streams/{id}/stop_live`
///
/// Takes a stream backstage: viewers are removed from the room and have no access until the stream goes live again. A
/// stream that is backstage is returned unchanged, without an event.
#[utoipa::path(
    post, path = "/streams/{id}/stop_live", operation_id = "stopLive", tag = "streams",
    params(StreamPath),
    responses((status = 200, description = "The stream, which is backstage.", body = ReadableStream,
        headers(("etag"), ("last-event-id"))))
)]
pub async fn stop_live(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<StreamPath>,
) -> Result<HttpResponse, Problem> {
    set_live(false, &api, &context, &retry, &path.id).await
}

async fn set_live(
    is_live: bool,
    api: &AppState,
    context: &RequestContext,
    retry: &Retry,
    id: &str,
) -> Result<HttpResponse, Problem> {
    let action = Action::SetLive;
    if let Some(executed) = retry.executed() {
        return changed(api, context, action, executed.status, executed.stream).await;
    }
    let stream = api.orchestrator.find_reference(&context.caller, action, &retry.stream(id)).await?;
    let guard = Guard { dedup_key: retry.dedup_key(), ..Guard::default() };
    let caller = context.caller.clone();
    let set = run_to_end(api, async move |orchestrator| match is_live {
        true => orchestrator.go_live(&caller, &stream, guard).await,
        false => orchestrator.stop_live(&caller, &stream, guard).await,
    });
    changed(api, context, action, StatusCode::OK, set.await?.id).await
}
