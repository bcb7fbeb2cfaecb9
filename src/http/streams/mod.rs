//! `/streams` and `/streams/{id}`.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
    rt,
    web::{Data, Path},
};
use serde::Serialize;
use tracing::Instrument;
use xxhash_rust::xxh3::xxh3_128;

use crate::http::{
    app_state::AppState,
    extract::{JsonForm, Query, Retry, etag, header_text, if_match, none_match, page_cursor},
    openapi,
    problem::{FieldError, Problem},
    schemas,
};
use crate::{
    access::{Action, Caller},
    admission::RequestContext,
    domain::{ErrorCode, RoomName, StopReason, StreamStatus, StreamView},
    orchestrator::{self, CreateRequest, Creation, Orchestrator, Patch, permit},
    store::{Guard, StreamFilter},
};

/// How many entries a page has unless asked for otherwise, and at the most.
pub const DEFAULT_PAGE: usize = 100;
/// See [`DEFAULT_PAGE`].
pub const MAX_PAGE: usize = 1_000;
/// The most participants that one may ask for; far beyond what one LiveKit room carries.
const MAX_PARTICIPANTS: u64 = 1_000_000;
/// The longest that one may let a stream stay empty: a day, the time that its keys live.
const MAX_EMPTY_TIMEOUT_SECONDS: u64 = 86_400;

/// The head of every answer about one stream: its version, and the cursor from which a feed goes on without a gap. The
/// header has the name that the client sends it back by.
fn head(status: StatusCode, view: &StreamView) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((header::ETAG, etag(view.stream.version)));
    response.insert_header(("last-event-id", view.cursor.to_string()));
    response
}

/// Whether the answer to a change shows `participants`: `roomCreate` creates and stops any stream but reads none.
fn may_read(caller: &Caller, view: &StreamView) -> bool {
    caller.is_allowed_in(Action::Read, &view.stream.room_name)
}

fn view_answer(status: StatusCode, view: &StreamView, with_participants: bool) -> HttpResponse {
    let mut response = head(status, view);
    if with_participants { response.json(view) } else { response.json(&view.stream) }
}

/// Answers with a body made of the view, or with 304 where the caller has it already.
fn unless_known<T: Serialize>(
    request: &HttpRequest,
    view: &StreamView,
    body: impl FnOnce() -> T,
) -> HttpResponse {
    if none_match(request.headers(), view.stream.version) {
        return head(StatusCode::NOT_MODIFIED, view).finish();
    }
    head(StatusCode::OK, view).json(body())
}

/// Runs a use case of several steps to its end, also when the client goes away in between.
async fn through<
    T: 'static,
    F: AsyncFnOnce(Arc<Orchestrator>) -> Result<T, orchestrator::Error> + 'static,
>(
    api: &AppState,
    steps: F,
) -> Result<T, Problem> {
    let orchestrator = api.orchestrator.clone();
    let done = rt::spawn(async move { steps(orchestrator).await }.in_current_span()).await;
    Ok(done.map_err(|_| Problem::new(ErrorCode::Internal))??)
}

/// `POST /streams`
///
/// Creates a stream and its LiveKit room.
#[utoipa::path(
    post, path = "/streams", operation_id = "createStream", tag = "streams", request_body = schemas::NewStream,
    responses(
        (status = 201, description = "It was created", body = schemas::ReadableStream,
            headers(("location" = String, description = "Where it is"), ("etag" = String, description = "The version, as `If-Match` and `If-None-Match` take it"), ("last-event-id" = String, description = "The cursor from which a feed goes on"))),
        (status = 200, description = "A live stream holds that room name: it is the answer", body = schemas::ReadableStream, headers(("etag" = String, description = "The version, as `If-Match` and `If-None-Match` take it"), ("last-event-id" = String, description = "The cursor from which a feed goes on"))),
    )
)]
pub async fn create(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    mut form: JsonForm,
) -> Result<HttpResponse, Problem> {
    let room_name = form.text_of(&["roomName", "name"], RoomName::parse);
    let metadata = form.metadata("metadata");
    let max_participants = form.integer("maxParticipants", 0, MAX_PARTICIPANTS);
    let empty_timeout = form.integer("emptyTimeout", 1, MAX_EMPTY_TIMEOUT_SECONDS);
    form.finish()?;
    let request = CreateRequest {
        id: retry.reserved_id(),
        room_name,
        metadata: metadata.unwrap_or_default(),
        // As in LiveKit, 0 means no limit.
        max_participants: max_participants.and_then(|max| u32::try_from(max).ok()).filter(|max| *max > 0),
        empty_timeout: empty_timeout.map(Duration::from_secs),
    };
    let Creation { stream, is_new } =
        through(&api, async move |orchestrator| orchestrator.create(request).await).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let view = api.orchestrator.view_changed(&context.caller, Action::Create, stream.id).await?;
    // The empty list of a new stream names no participant, so every creator gets it.
    let shown = may_read(&context.caller, &view) || is_new && view.participants.is_empty();
    let mut response = view_answer(status, &view, shown);
    if is_new {
        let location = format!("/streams/{}", stream.id).parse();
        response
            .headers_mut()
            .insert(header::LOCATION, location.map_err(|_| Problem::new(ErrorCode::Internal))?);
    }
    Ok(response)
}

fn status_filter(text: &str) -> Option<StreamFilter> {
    if text == "all" { Some(StreamFilter::All) } else { text.parse().ok().map(StreamFilter::Status) }
}

/// A page of a list, with the way to the next in the `Link` header (RFC 8288).
pub fn page<T: Serialize>(request: &HttpRequest, items: &[T], next: Option<&str>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    if let Some(next) = next {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let given = url::form_urlencoded::parse(request.query_string().as_bytes());
        query.extend_pairs(given.filter(|(name, _)| name != "cursor" && name != "access_token"));
        query.append_pair("cursor", &page_cursor(next));
        let link = format!("<{}?{}>; rel=\"next\"", request.path(), query.finish());
        response.insert_header((header::LINK, link));
    }
    let Ok(body) = serde_json::to_vec(items) else {
        return HttpResponse::from_error(Problem::new(ErrorCode::Internal));
    };
    let tag = page_tag(&body);
    response.insert_header((header::ETAG, tag.clone()));
    let known = header_text(request.headers(), header::IF_NONE_MATCH);
    if known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag)) {
        return response.status(StatusCode::NOT_MODIFIED).finish();
    }
    response.content_type(mime::APPLICATION_JSON).body(body)
}

/// The entity tag of a page: a weak one, because a page has no version, and nothing is changed through it.
fn page_tag(body: &[u8]) -> String {
    format!("W/\"{:032x}\"", xxh3_128(body))
}

/// `GET /streams`
///
/// Lists streams, newest first.
#[utoipa::path(
    get, path = "/streams", operation_id = "listStreams", tag = "streams",
    params(
        openapi::Page,
        ("status" = Option<String>, Query, description = "`creating`, `active`, `stopping`, `stopped`, `error` or `all`; unless set, everything not stopped"),
        ("If-None-Match" = Option<String>, Header, description = "A page that the caller has, by its `ETag`"),
    ),
    responses(
        (status = 200, description = "A page", body = Vec<schemas::StreamSummary>,
            headers(("link" = String, description = "The next page, as `rel=\"next\"` (RFC 8288)"), ("etag" = String, description = "Of this page as it is"))),
        (status = 304, description = "The caller has this page"),
    )
)]
pub async fn list(
    api: Data<AppState>,
    context: RequestContext,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let words = "must be creating, active, stopping, stopped, error or all";
    let filter = query.parsed("status", words, status_filter);
    let limit = query.integer("limit", 1, MAX_PAGE);
    let cursor = query.page_cursor();
    query.finish()?;
    let filter = filter.unwrap_or(StreamFilter::NotStopped);
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    let listed = api.orchestrator.list(&context.caller, filter, limit, cursor.as_deref()).await?;
    Ok(page(&request, &listed.items, listed.next.as_deref()))
}

/// `GET /streams/{id}`
///
/// A stream with its participants.
#[utoipa::path(
    get, path = "/streams/{id}", operation_id = "getStream", tag = "streams", params(("id" = String, Path, description = "The stream's id, or the name of its room"), ("If-None-Match" = Option<String>, Header, description = "Versions that the caller has")),
    responses(
        (status = 200, description = "The stream", body = schemas::Stream, headers(("etag" = String, description = "The version, as `If-Match` and `If-None-Match` take it"), ("last-event-id" = String, description = "The cursor from which a feed goes on"))),
        (status = 304, description = "The caller has this version"),
    )
)]
pub async fn get(
    api: Data<AppState>,
    context: RequestContext,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let view = api.orchestrator.view(&context.caller, &id).await?;
    Ok(unless_known(&request, &view, || &view))
}

/// `GET /streams/{id}/state`
///
/// A stream's state.
#[utoipa::path(
    get, path = "/streams/{id}/state", operation_id = "getStreamState", tag = "streams", params(("id" = String, Path, description = "The stream's id, or the name of its room"), ("If-None-Match" = Option<String>, Header, description = "Versions that the caller has")),
    responses(
        (status = 200, description = "The state", body = schemas::StreamState, headers(("etag" = String, description = "The version, as `If-Match` and `If-None-Match` take it"), ("last-event-id" = String, description = "The cursor from which a feed goes on"))),
        (status = 304, description = "The caller has this version"),
    )
)]
pub async fn state(
    api: Data<AppState>,
    context: RequestContext,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let view = api.orchestrator.view(&context.caller, &id).await?;
    Ok(unless_known(&request, &view, || view.state()))
}

/// `PATCH /streams/{id}`
///
/// Changes a stream's metadata, or stops it.
#[utoipa::path(
    patch, path = "/streams/{id}", operation_id = "patchStream", tag = "streams", params(("id" = String, Path, description = "The stream's id, or the name of its room"), ("If-Match" = Option<String>, Header, description = "The version that the stream must be at, as its `ETag`")),
    request_body = schemas::StreamPatch,
    responses((status = 200, description = "The stream after it", body = schemas::ReadableStream, headers(("etag" = String, description = "The version, as `If-Match` and `If-None-Match` take it"), ("last-event-id" = String, description = "The cursor from which a feed goes on"))))
)]
pub async fn patch(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    request: HttpRequest,
    id: Path<String>,
    mut form: JsonForm,
) -> Result<HttpResponse, Problem> {
    let metadata = form.metadata_patch("metadata");
    let status = form.text("status", |text| {
        text.parse::<StreamStatus>().map_err(|_| "must be creating, active, stopping, stopped or error")
    });
    let asked_in_body = form.integer("version", 1, u64::MAX);
    form.finish()?;
    // `{status: "stopped"}` alone is the same as DELETE, and whoever may do the one may do the other.
    let stops = status == Some(StreamStatus::Stopped);
    let action = if stops && metadata.is_none() { Action::Stop } else { Action::Update };
    let stream = api.orchestrator.find(&context.caller, action, &retry.stream(&id)).await?;
    if stops {
        permit(&context.caller, Action::Stop, &stream.room_name)?;
    }
    let asked_in_header = if_match(request.headers(), stream.version)?;
    if let (Some(body), Some(header)) = (asked_in_body, asked_in_header)
        && body != header
    {
        return Err(Problem::invalid(vec![FieldError::new("version", "contradicts If-Match")]));
    }
    let version = asked_in_body.or(asked_in_header);
    let patch = Patch { metadata, status, version, dedup_key: retry.dedup_key() };
    let patched = through(&api, async move |orchestrator| orchestrator.patch(stream, patch).await).await?;
    let view = api.orchestrator.view_changed(&context.caller, action, patched.id).await?;
    Ok(view_answer(StatusCode::OK, &view, may_read(&context.caller, &view)))
}

/// `DELETE /streams/{id}`
///
/// Stops a stream. A stream that is `stopped` or in `error` is returned unchanged, without an event.
#[utoipa::path(
    delete, path = "/streams/{id}", operation_id = "stopStream", tag = "streams", params(("id" = String, Path, description = "The stream's id, or the name of its room"), ("If-Match" = Option<String>, Header, description = "The version that the stream must be at, as its `ETag`")),
    responses((status = 200, description = "The stopped stream, or the stream in `error`", body = schemas::ReadableStream, headers(("etag" = String, description = "The version, as `If-Match` and `If-None-Match` take it"), ("last-event-id" = String, description = "The cursor from which a feed goes on"))))
)]
pub async fn stop(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let stream = api.orchestrator.find(&context.caller, Action::Stop, &retry.stream(&id)).await?;
    let version = if_match(request.headers(), stream.version)?;
    let guard = Guard { version, dedup_key: retry.dedup_key(), lease: None };
    let stopped = through(&api, async move |orchestrator| {
        orchestrator.stop(&stream, StopReason::Requested, guard).await
    })
    .await?;
    let view = api.orchestrator.view_changed(&context.caller, Action::Stop, stopped.id).await?;
    Ok(view_answer(StatusCode::OK, &view, may_read(&context.caller, &view)))
}
