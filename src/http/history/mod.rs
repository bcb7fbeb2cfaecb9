//! Handlers of `/history`.

mod csv;
mod page;
mod requests;
mod responses;
mod summary;

use std::sync::Arc;

use actix_web::{
    HttpResponse, rt,
    web::{Data, Path},
};

use self::{
    page::{PageResponder, row_limit},
    requests::{
        HistoryPath, ListEvents, ListHistory, ListVisits, PersonPath, ReadViewers, stream_key, visit_key,
    },
    responses::{Event, Stream, ViewerCount, Visit},
    summary::Summary,
};
use super::{
    app_state::AppState,
    extract::{IfNoneMatch, Query},
    list_page::{PageQuery, encode_cursor},
    problem::{FieldError, Problem},
    schemas,
};
use crate::{
    admission::RequestContext,
    domain::{ErrorCode, Identity},
    history::{History, Rows},
};

/// Errors of every operation besides those of every read.
pub const ERRORS: &[ErrorCode] = &[ErrorCode::HistoryDisabled, ErrorCode::HistoryUnavailable];
/// Errors of [`events`] besides those of every read.
pub const EVENTS_ERRORS: &[ErrorCode] =
    &[ErrorCode::HistoryDisabled, ErrorCode::HistoryUnavailable, ErrorCode::InvalidCursor];

/// Errors of [`erase`] besides those of every operation.
pub const ERASE_ERRORS: &[ErrorCode] =
    &[ErrorCode::HistoryDisabled, ErrorCode::HistoryUnavailable, ErrorCode::ForeignOrigin];

fn history(api: &AppState) -> Result<&Arc<History>, Problem> {
    api.history.as_ref().ok_or_else(|| Problem::new(ErrorCode::HistoryDisabled))
}

/// Parses the position of a page.
fn position<T>(page: &PageQuery, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Problem> {
    let Some(key) = &page.cursor else { return Ok(None) };
    let invalid = || Problem::invalid(vec![FieldError::new("cursor", "is not a cursor of this list")]);
    parse(key).map(Some).ok_or_else(invalid)
}

/// `GET /history/streams`
///
/// Lists the streams of the history, newest first. A token with `roomAdmin` gets those of its room.
#[utoipa::path(
    get, path = "/history/streams", operation_id = "listHistory", tag = "history",
    params(ListHistory, IfNoneMatch),
    responses(
        (status = 200, description = "A page of streams.", headers(("link"), ("etag")),
            content((Vec<Stream> = "application/json"), (String = "text/csv"))),
        (status = 304, description = "The client has this page."),
    )
)]
pub async fn streams(
    api: Data<AppState>,
    context: RequestContext,
    responder: PageResponder,
    Query(ListHistory { selection, page }): Query<ListHistory>,
) -> Result<HttpResponse, Problem> {
    let (history, before) = (history(&api)?, position(&page, stream_key)?);
    let records = history.streams(&context.caller, selection, before, row_limit(page.limit)).await?;
    responder.respond(&records.map(Stream::from), ("cursor", encode_cursor))
}

/// `GET /history/streams/{id}`
///
/// Returns a stream of the history with its peak, its visitors and their watch times, and its recordings. Visits count
/// once they have ended.
#[utoipa::path(
    get, path = "/history/streams/{id}", operation_id = "getHistoryStream", tag = "history",
    params(HistoryPath),
    responses((status = 200, description = "The stream.", body = Summary))
)]
pub async fn stream(
    api: Data<AppState>,
    context: RequestContext,
    path: Path<HistoryPath>,
) -> Result<HttpResponse, Problem> {
    let summary = history(&api)?.summary(&context.caller, &path.id).await?;
    let summary = Summary::of(summary).ok_or_else(|| Problem::new(ErrorCode::Internal))?;
    Ok(HttpResponse::Ok().json(summary))
}

/// `GET /history/streams/{id}/visits`
///
/// Lists the ended visits of a stream in the order of the connections.
#[utoipa::path(
    get, path = "/history/streams/{id}/visits", operation_id = "listVisits", tag = "history",
    params(HistoryPath, ListVisits, IfNoneMatch),
    responses(
        (status = 200, description = "A page of visits.", headers(("link"), ("etag")),
            content((Vec<Visit> = "application/json"), (String = "text/csv"))),
        (status = 304, description = "The client has this page."),
    )
)]
pub async fn visits(
    api: Data<AppState>,
    context: RequestContext,
    path: Path<HistoryPath>,
    responder: PageResponder,
    Query(ListVisits { page }): Query<ListVisits>,
) -> Result<HttpResponse, Problem> {
    let (history, after) = (history(&api)?, position(&page, visit_key)?);
    let visits = history.visits(&context.caller, &path.id, after, row_limit(page.limit)).await?;
    responder.respond(&visits.map(Visit::from), ("cursor", encode_cursor))
}

/// `GET /history/streams/{id}/events`
///
/// Returns the events of a stream from the first one on, as clients received them, or those after the cursor `after`.
#[utoipa::path(
    get, path = "/history/streams/{id}/events", operation_id = "listHistoryEvents", tag = "history",
    params(HistoryPath, ListEvents, IfNoneMatch),
    responses(
        (status = 200, description = "A page of events.", headers(("link"), ("etag")),
            content((Vec<schemas::Event> = "application/json"), (String = "text/csv"))),
        (status = 304, description = "The client has this page."),
    )
)]
pub async fn events(
    api: Data<AppState>,
    context: RequestContext,
    path: Path<HistoryPath>,
    responder: PageResponder,
    Query(ListEvents { limit, after }): Query<ListEvents>,
) -> Result<HttpResponse, Problem> {
    let history = history(&api)?;
    let stream = history.stream(&context.caller, &path.id).await?;
    let invalid = |error| Problem::with_detail(ErrorCode::InvalidCursor, format!("after {error}"));
    let after = after.map_err(invalid)?;
    let records = history.events(&stream, after, row_limit(limit)).await?;
    let rows: Option<Vec<_>> = records.rows.into_iter().map(Event::of).collect();
    let rows = rows.ok_or_else(|| Problem::new(ErrorCode::Internal))?;
    responder.respond(&Rows { rows, has_more: records.has_more }, ("after", str::to_owned))
}

/// `GET /history/streams/{id}/viewers`
///
/// Returns the numbers of viewers over time: the greatest number in each step, from the creation of the stream to its
/// end. Has no pages: a step must give at most 10,000 points.
#[utoipa::path(
    get, path = "/history/streams/{id}/viewers", operation_id = "getViewers", tag = "history",
    params(HistoryPath, ReadViewers, IfNoneMatch),
    responses(
        (status = 200, description = "The numbers of viewers.", headers(("etag")),
            content((Vec<ViewerCount> = "application/json"), (String = "text/csv"))),
        (status = 304, description = "The client has these numbers."),
    )
)]
pub async fn viewers(
    api: Data<AppState>,
    context: RequestContext,
    path: Path<HistoryPath>,
    responder: PageResponder,
    Query(ReadViewers { step }): Query<ReadViewers>,
) -> Result<HttpResponse, Problem> {
    let points = history(&api)?.viewers(&context.caller, &path.id, step).await?;
    // All points are below the bound of a message.
    let points = Rows { rows: points, has_more: false };
    responder.respond(&points.map(ViewerCount::from), ("step", str::to_owned))
}

/// `DELETE /history/participants/{identity}`
///
/// Erases a person from the history. In every event and visit a random text takes the place of the identity, and names,
/// metadata and attributes are removed. Waits until what happened before the request is stored: 503 after 15 s. What
/// happens later may name the person again. Continues if the client leaves.
#[utoipa::path(
    delete, path = "/history/participants/{identity}", operation_id = "erasePerson", tag = "history",
    params(PersonPath),
    responses((status = 204, description = "The history does not name the person."))
)]
pub async fn erase(
    api: Data<AppState>,
    context: RequestContext,
    path: Path<PersonPath>,
) -> Result<HttpResponse, Problem> {
    let history = history(&api)?.clone();
    if let Some(identity) = Identity::reported(path.into_inner().identity) {
        let erasure = rt::spawn(async move { history.erase(&context.caller, &identity).await });
        erasure.await.map_err(|_| Problem::new(ErrorCode::Internal))??;
    }
    Ok(HttpResponse::NoContent().finish())
}
