//! `/events`, `/events/{id}` and `/sse/{id}/updates`.

use std::{rc::Rc, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::HeaderValue,
    web::{Bytes, Data, Path},
};

use futures_util::FutureExt;

use crate::http::{
    app_state::AppState,
    extract::Query,
    framing,
    hijack::ChunkedWriter,
    openapi,
    problem::Problem,
    schemas, sse,
    streams::{DEFAULT_PAGE, MAX_PAGE},
};
use crate::{
    access::ReadGrant,
    admission::RequestContext,
    domain::{Cursor, ErrorCode, Event},
    relay::{Delivery, Ended, LocalSubscription, ResetFrame, Start, StateUpdates, Subscription, Transport},
    store::{LogRead, Lost, StoreError},
};

/// Where a client wants to resume: the header that a browser sends when it reconnects, before the parameter that its
/// URL may still hold from the first time.
fn resume_cursor(request: &HttpRequest, query: &Query) -> Option<Result<Cursor, ()>> {
    let header =
        request.headers().get("last-event-id").map(HeaderValue::as_bytes).filter(|bytes| !bytes.is_empty());
    let bytes =
        header.or_else(|| query.text("lastEventId").filter(|text| !text.is_empty()).map(str::as_bytes))?;
    // What is there but is no text is no cursor either.
    Some(std::str::from_utf8(bytes).map_err(|_| ()).and_then(|text| text.parse().map_err(|_| ())))
}

impl sse::MessageSource for Subscription<LocalSubscription> {
    fn attach(&mut self, writer: Rc<ChunkedWriter>) {
        Self::attach(self, writer);
    }

    async fn next(&mut self) -> Result<Bytes, Ended> {
        let bytes = match Self::next(self).await {
            Delivery::Event(frame) => framing::event(&frame).clone(),
            Delivery::Reset(reset) => framing::reset(&reset).clone(),
            Delivery::Ended(reason) => return Err(reason),
        };
        self.sent(bytes.len());
        Ok(bytes)
    }

    fn ready(&mut self) -> Option<Result<Bytes, Ended>> {
        // A reading of the log is not begun to be given up at once.
        if self.is_about_to_read() { None } else { sse::MessageSource::next(self).now_or_never() }
    }
}

/// `GET /events`
///
/// Follows one stream or all of them. Each message is `event: <type>`, `id: <cursor>`, `data: <event>`; or `event: reset`
/// with a snapshot to start again from.
#[utoipa::path(
    get, path = "/events", operation_id = "followEvents", tag = "events",
    params(openapi::Resume, ("Last-Event-ID" = Option<String>, Header, description = "The cursor of the last event that the caller has had"),
        ("streamId" = Option<String>, Query, description = "A stream, by id or room name; all unless set"),
        ("limit" = Option<usize>, Query, minimum = 0, maximum = 1000, description = "So many of the newest events first"),
    ),
    responses(
        (status = 200, description = "Server-sent events", body = String, content_type = "text/event-stream"),
        (status = 204, description = "The stream is over, and the caller has seen its last event"),
    )
)]
pub async fn follow(
    api: Data<AppState>,
    context: RequestContext,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let limit = query.integer("limit", 0, MAX_PAGE);
    let wanted =
        query.parsed("streamId", "must not be empty", |text| (!text.is_empty()).then(|| text.to_owned()));
    let start = match (resume_cursor(&request, &query), limit) {
        (Some(Ok(cursor)), _) => Start::After(cursor),
        (Some(Err(())), _) => Start::Unknown,
        (None, Some(limit)) => Start::Newest(limit),
        (None, None) => Start::Now,
    };
    query.finish()?;
    let (permit, lifetime) = api.open_feed(&context)?;
    let Some(wanted) = wanted else {
        let grant = api.orchestrator.grant_all(&context.caller)?;
        let subscription = subscribe(&api, &grant, start).await?;
        return sse::respond(&request, subscription.from(), lifetime, permit, subscription);
    };
    let grant = api.orchestrator.grant_stream(&context.caller, &wanted).await?;
    let subscription = subscribe(&api, &grant, start).await?;
    if matches!(start, Start::After(_)) && subscription.is_exhausted() {
        // The client has seen the end: this tells an EventSource to stop reconnecting.
        return Ok(HttpResponse::NoContent().finish());
    }
    sse::respond(&request, subscription.from(), lifetime, permit, subscription)
}

/// Subscribes through the local fan-out of this worker thread.
async fn subscribe(
    api: &AppState,
    grant: &ReadGrant,
    start: Start,
) -> Result<Subscription<LocalSubscription>, StoreError> {
    api.relay.subscribe_local(grant, start, Transport::Sse, framing::EVENT_ENCODER).await
}

/// `GET /events/{id}`
///
/// A stream's events, oldest first: the newest of them, or those after a cursor.
#[utoipa::path(
    get, path = "/events/{id}", operation_id = "getHistory", tag = "events",
    params(("id" = String, Path, description = "The stream's id, or the name of its room"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "How many; 100 unless set"),
        ("after" = Option<String>, Query, description = "A cursor"),
    ),
    responses((status = 200, description = "Events", body = Vec<schemas::Event>))
)]
pub async fn history(
    api: Data<AppState>,
    context: RequestContext,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let limit = query.integer("limit", 1, MAX_PAGE);
    let after = query.text("after").map(str::parse::<Cursor>);
    query.finish()?;
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    let bad_cursor = |detail: &str| Problem::with_detail(ErrorCode::InvalidCursor, detail);
    let grant = api.orchestrator.grant_stream(&context.caller, &id).await?;
    let events: Vec<Arc<Event>> = match after {
        None => api.relay.newest(&grant, limit).await?,
        Some(Err(error)) => return Err(bad_cursor(&format!("after {error}"))),
        Some(Ok(after)) => match api.relay.read_after(&grant, after, limit).await? {
            LogRead::Events { events, .. } => events,
            LogRead::Lost(Lost::Expired) => {
                return Err(bad_cursor("events after this cursor are no longer kept"));
            }
            LogRead::Lost(Lost::Unreadable) => return Err(Problem::new(ErrorCode::Internal)),
            LogRead::Lost(_) => {
                return Err(bad_cursor("after is not a cursor that this service gave out"));
            }
        },
    };
    let events: Vec<&Event> = events.iter().map(|event| &**event).collect();
    Ok(HttpResponse::Ok().json(events))
}

/// A feed of whole states, perhaps after a reset.
struct States {
    reset: Option<ResetFrame>,
    updates: StateUpdates,
}

impl sse::MessageSource for States {
    async fn next(&mut self) -> Result<Bytes, Ended> {
        if let Some(reset) = self.reset.take() {
            return Ok(framing::reset(&reset).clone());
        }
        self.updates.next().await.map(|state| state.message.clone())
    }
}

/// `GET /sse/{id}/updates`
///
/// Follows whole states of one stream: one at once, then one after each burst of changes.
#[utoipa::path(
    get, path = "/sse/{id}/updates", operation_id = "followState", tag = "events",
    params(("id" = String, Path, description = "The stream's id, or the name of its room"), openapi::Resume, ("Last-Event-ID" = Option<String>, Header, description = "The cursor of the last event that the caller has had")),
    responses(
        (status = 200, description = "Server-sent events, each a `StreamState`", body = String, content_type = "text/event-stream"),
        (status = 204, description = "The stream is over, and the caller has seen its last state"),
    )
)]
pub async fn follow_state(
    api: Data<AppState>,
    context: RequestContext,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request)?;
    let cursor = resume_cursor(&request, &query);
    let (permit, lifetime) = api.open_feed(&context)?;
    let grant = api.orchestrator.grant_stream(&context.caller, &id).await?;
    let updates = api.relay.follow_state(&grant, framing::state).await?;
    let updates = updates.ok_or_else(|| Problem::new(ErrorCode::StreamNotFound))?;
    let reset = match cursor {
        None => None,
        Some(Ok(cursor)) if updates.starts_ended() && cursor == updates.from() => {
            return Ok(HttpResponse::NoContent().finish());
        }
        Some(cursor) => reset_for(&api, &grant, cursor).await?,
    };
    sse::respond(&request, updates.from(), lifetime, permit, States { reset, updates })
}

/// Every message of this feed is a whole state, so only a cursor that was never given out needs a word.
async fn reset_for(
    api: &AppState,
    grant: &ReadGrant,
    cursor: Result<Cursor, ()>,
) -> Result<Option<ResetFrame>, Problem> {
    let lost = match cursor {
        Err(()) => Lost::Unknown,
        Ok(cursor) => match api.relay.read_after(grant, cursor, 1).await? {
            LogRead::Lost(lost) if lost != Lost::Expired => lost,
            _ => return Ok(None),
        },
    };
    let snapshot = api.relay.snapshot(grant).await?;
    api.metrics.resets.with_label_values(&[lost.as_str()]).inc();
    Ok(Some(ResetFrame::new(lost.as_str(), snapshot)))
}
