//! Handlers of event feeds, state feeds and the history.

mod all_streams;
mod feed;
pub mod requests;

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data, Path},
};

use self::{
    all_streams::AllStreams,
    feed::Events,
    requests::{FollowEvents, FollowState, ReadHistory, ResumeCursor},
};
use crate::{
    admission::RequestContext,
    domain::{Cursor, ErrorCode, Event},
    http::{
        app_state::AppState,
        extract::{AccessToken, Query, StreamPath},
        framing, list_page,
        problem::Problem,
        schemas, sse,
    },
    orchestrator::ReadGrant,
    relay::{ClientStates, Ended, ResetParts, Start, Transport},
    store::{LogRead, ResetReason},
};

/// Errors of [`follow`] besides those of every read.
pub const FOLLOW_ERRORS: &[ErrorCode] = &[ErrorCode::TooManyFeeds, ErrorCode::StreamNotFound];
/// Errors of [`follow_state`] besides those of every read.
pub const FOLLOW_STATE_ERRORS: &[ErrorCode] = &[ErrorCode::TooManyFeeds];
/// Errors of [`history`] besides those of every read.
pub const HISTORY_ERRORS: &[ErrorCode] = &[ErrorCode::InvalidCursor];

/// `GET /events`
///
/// Streams the events of one stream or of all streams. Each message has `event: <type>`, `id: <cursor>` and
/// `data: <event>`. If events after the client's cursor are no longer available, the first message is `event: reset`
/// with a snapshot.
#[utoipa::path(
    get, path = "/events", operation_id = "followEvents", tag = "events",
    params(FollowEvents, AccessToken),
    responses(
        (status = 200, description = "Server-sent events.", body = String, content_type = "text/event-stream"),
        (status = 204, description = "The stream has ended, and the client has its last event."),
    )
)]
pub async fn follow(
    api: Data<AppState>,
    context: RequestContext,
    request: HttpRequest,
    Query(FollowEvents { stream, start }): Query<FollowEvents>,
) -> Result<HttpResponse, Problem> {
    let (permit, lifetime) = api.open_feed(&context)?;
    let Some(stream) = stream else {
        let grant = api.orchestrator.grant_all(&context.caller)?;
        let events = AllStreams::open(&api, context, grant, start).await?;
        let (from, budget) = (events.from(), api.relay.budget().clone());
        return sse::respond(&request, from, (lifetime, budget), permit, events);
    };
    let grant = api.orchestrator.grant_stream(&context.caller, &stream).await?;
    let events = Events::open(&api, &context, &grant, start).await?;
    if matches!(start, Start::After(_)) && events.subscription.is_exhausted() {
        // 204 tells an EventSource to stop reconnecting.
        return Ok(HttpResponse::NoContent().finish());
    }
    let (from, budget) = (events.from, api.relay.budget().clone());
    sse::respond(&request, from, (lifetime, budget), permit, events)
}

/// `GET /events/{id}`
///
/// Returns at most `limit` events of a stream, oldest first: the newest events, or the first events after the cursor
/// `after`. A response ends after 1 MiB, and `Link` names the next one. Fails with `invalid_cursor` if the cursor is
/// malformed or unknown, or if events after it have been trimmed.
#[utoipa::path(
    get, path = "/events/{id}", operation_id = "getHistory", tag = "events",
    params(StreamPath, ReadHistory),
    responses((status = 200, description = "The events.", body = Vec<schemas::Event>, headers(("link"))))
)]
pub async fn history(
    api: Data<AppState>,
    context: RequestContext,
    request: HttpRequest,
    path: Path<StreamPath>,
    Query(ReadHistory { limit, after }): Query<ReadHistory>,
) -> Result<HttpResponse, Problem> {
    let grant = api.orchestrator.grant_stream(&context.caller, &path.id).await?;
    let read = match after {
        None => api.relay.newest(&grant, limit).await?,
        Some(Err(error)) => return Err(invalid_cursor(&format!("after {error}"))),
        Some(Ok(after)) => api.relay.read_after(&grant, after, limit).await?,
    };
    match read {
        LogRead::Events { events, complete } => history_page(&request, &events, complete),
        LogRead::Reset(ResetReason::Expired) => {
            Err(invalid_cursor("events after this cursor are no longer kept"))
        }
        LogRead::Reset(ResetReason::Unreadable) => Err(Problem::new(ErrorCode::Internal)),
        LogRead::Reset(_) => Err(invalid_cursor("after is not a cursor that this service gave out")),
    }
}

/// Builds the response with a page of events. `Link` names the next page unless this page ends with the log.
fn history_page(
    request: &HttpRequest,
    events: &[Arc<Event>],
    complete: bool,
) -> Result<HttpResponse, Problem> {
    let events: Vec<&Event> = events.iter().map(|event| &**event).collect();
    let (body, count) = list_page::render(&events)?;
    let mut response = HttpResponse::Ok();
    let last = events[..count].last().filter(|_| !complete || count < events.len());
    if let Some(last) = last {
        let next = list_page::next_link(request, "after", &last.cursor.to_string());
        response.insert_header((header::LINK, next));
    }
    Ok(response.content_type(mime::APPLICATION_JSON).body(body))
}

fn invalid_cursor(detail: &str) -> Problem {
    Problem::with_detail(ErrorCode::InvalidCursor, detail)
}

/// Messages of a state feed: a reset, if the client needs one, and then states.
struct States {
    reset: Option<ResetParts>,
    updates: ClientStates,
}

impl sse::MessageSource for States {
    const TRANSPORT: Transport = Transport::State;

    async fn next(&mut self) -> Result<Bytes, Ended> {
        if let Some(part) = self.reset.as_mut().and_then(Iterator::next) {
            return Ok(framing::reset(&part));
        }
        self.updates.next().await.map(|state| state.message.clone())
    }
}

/// `GET /sse/{id}/updates`
///
/// Streams whole states of one stream: the current state at once, then the newest state after each burst of changes, at
/// most about one every 100 ms. If the client's cursor is unknown, the first message is `event: reset` with a snapshot.
#[utoipa::path(
    get, path = "/sse/{id}/updates", operation_id = "followState", tag = "events",
    params(StreamPath, FollowState, AccessToken),
    responses(
        (status = 200, description = "Server-sent events; the data of each is a `StreamState`.",
            body = String, content_type = "text/event-stream"),
        (status = 204, description = "The stream has ended, and the client has its last state."),
    )
)]
pub async fn follow_state(
    api: Data<AppState>,
    context: RequestContext,
    request: HttpRequest,
    path: Path<StreamPath>,
    Query(FollowState { cursor }): Query<FollowState>,
) -> Result<HttpResponse, Problem> {
    let (permit, lifetime) = api.open_feed(&context)?;
    let grant = api.orchestrator.grant_stream(&context.caller, &path.id).await?;
    let updates = api.relay.follow_state(&grant, framing::state).await?;
    let updates = updates.ok_or_else(|| Problem::new(ErrorCode::StreamNotFound))?;
    let reset = match cursor {
        None => None,
        Some(ResumeCursor::Parsed(cursor)) if updates.starts_ended() && cursor == updates.from() => {
            return Ok(HttpResponse::NoContent().finish());
        }
        Some(cursor) => reset_for(&api, &grant, cursor).await?,
    };
    let first_bytes = updates.first_bytes() + reset.as_ref().map_or(0, ResetParts::bytes);
    api.admission.read_meter(&context).charge(first_bytes).await;
    // A client that is cut off before the end of the reset must not resume from the current state.
    let from = reset.is_none().then(|| updates.from());
    let budget = api.relay.budget().clone();
    sse::respond(&request, from, (lifetime, budget), permit, States { reset, updates })
}

/// Returns the reset for a cursor that this service has not issued. An expired cursor needs none, because every message
/// of the feed is a whole state.
async fn reset_for(
    api: &AppState,
    grant: &ReadGrant,
    cursor: ResumeCursor,
) -> Result<Option<ResetParts>, Problem> {
    let (reason, from) = match cursor {
        ResumeCursor::Malformed => (ResetReason::Unknown, Cursor::ORIGIN),
        ResumeCursor::Parsed(cursor) => match api.relay.read_after(grant, cursor, 1).await? {
            LogRead::Reset(reason) if reason != ResetReason::Expired => (reason, cursor),
            _ => return Ok(None),
        },
    };
    let reset = api.relay.reset(grant, reason, from).await?;
    api.metrics.resets.with_label_values(&[reason.as_str()]).inc();
    Ok(Some(ResetParts::of(reset)))
}
