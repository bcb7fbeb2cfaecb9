//! Handlers of a stream's recordings.

mod requests;

use actix_web::{
    HttpResponse,
    web::{Data, Path},
};

use self::requests::{NewRecording, RecordingPath};
use super::{
    app_state::AppState,
    egresses,
    extract::{JsonBody, Retry, StreamPath},
    problem::Problem,
    schemas::Recording,
};
use crate::{
    admission::RequestContext,
    domain::{EgressKind, ErrorCode},
    orchestrator::EgressOrder,
};

/// Errors of [`get`] besides those of every read.
pub const GET_ERRORS: &[ErrorCode] = &[ErrorCode::RecordingNotFound];
/// Errors of [`stop`] besides those of every change.
pub const STOP_ERRORS: &[ErrorCode] =
    &[ErrorCode::RecordingNotFound, ErrorCode::EgressUnavailable, ErrorCode::LivekitError];

const KIND: EgressKind = EgressKind::Recording;

/// `POST /streams/{id}/recordings`
///
/// Starts a recording to an MP4 file in the deployment's storage: of the room, of one participant, or of one track.
#[utoipa::path(
    post, path = "/streams/{id}/recordings", operation_id = "startRecording", tag = "broadcast",
    params(StreamPath),
    request_body = NewRecording,
    responses((status = 201, description = "The recording was started.", body = Recording, headers(("location"))))
)]
pub async fn start(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<StreamPath>,
    JsonBody(new): JsonBody<NewRecording>,
) -> Result<HttpResponse, Problem> {
    egresses::start(&api, context, retry, &path.id, (KIND, EgressOrder::Recording(new.0))).await
}

/// `GET /streams/{id}/recordings`
///
/// Lists a stream's recordings, oldest first, also those that have ended. Of recordings and broadcasts together, a
/// stream keeps the newest 32.
#[utoipa::path(
    get, path = "/streams/{id}/recordings", operation_id = "listRecordings", tag = "broadcast",
    params(StreamPath),
    responses((status = 200, description = "All recordings that are kept.", body = Vec<Recording>))
)]
pub async fn list(
    api: Data<AppState>,
    context: RequestContext,
    path: Path<StreamPath>,
) -> Result<HttpResponse, Problem> {
    egresses::list(&api, &context, &path.id, KIND).await
}

/// `GET /streams/{id}/recordings/{recordingId}`
///
/// Returns a recording, with the location of its files if the token has `roomAdmin` or `roomRecord`.
#[utoipa::path(
    get, path = "/streams/{id}/recordings/{recordingId}", operation_id = "getRecording", tag = "broadcast",
    params(RecordingPath),
    responses((status = 200, description = "The recording.", body = Recording))
)]
pub async fn get(
    api: Data<AppState>,
    context: RequestContext,
    path: Path<RecordingPath>,
) -> Result<HttpResponse, Problem> {
    egresses::get(&api, &context, &path.id, (KIND, path.recording_id())).await
}

/// `DELETE /streams/{id}/recordings/{recordingId}`
///
/// Stops a recording, which then completes its file. One that has ended is returned unchanged. Deletes no file.
#[utoipa::path(
    delete, path = "/streams/{id}/recordings/{recordingId}", operation_id = "stopRecording", tag = "broadcast",
    params(RecordingPath),
    responses((status = 200, description = "The recording, which is ending or has ended.", body = Recording))
)]
pub async fn stop(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<RecordingPath>,
) -> Result<HttpResponse, Problem> {
    egresses::stop(&api, context, retry, &path.id, (KIND, path.recording_id())).await
}
