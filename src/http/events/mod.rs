//! Handlers of event feeds, state feeds and the history.

pub mod requests;

use std::{rc::Rc, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Bytes, Data, Path},
};
use futures_util::FutureExt;

use self::requests::{FollowEvents, FollowState, ReadHistory, ResumeCursor};
use crate::{
    admission::RequestContext,
    domain::{ErrorCode, Event},
    http::{
        app_state::AppState,
        extract::{AccessToken, Query, StreamPath},
        framing,
        hijack::ChunkedWriter,
        problem::Problem,
        schemas, sse,
    },
    orchestrator::ReadGrant,
    relay::{Delivery, Ended, LocalSubscription, ResetFrame, Start, StateUpdates, Subscription, Transport},
    store::{LogRead, ResetReason, StoreError},
};

/// Errors of [`follow`] besides those of every read.
pub const FOLLOW_ERRORS: &[ErrorCode] = &[ErrorCode::TooManyFeeds, ErrorCode::StreamNotFound];
/// Errors of [`follow_state`] besides those of every read.
pub const FOLLOW_STATE_ERRORS: &[ErrorCode] = &[ErrorCode::TooManyFeeds];
/// Errors of [`history`] besides those of every read.
pub const HISTORY_ERRORS: &[ErrorCode] = &[ErrorCode::InvalidCursor];

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
        // A read of the log would be cancelled at its first wait, and its work lost.
        if self.is_about_to_read() { None } else { sse::MessageSource::next(self).now_or_never() }
    }
}

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
        let subscription = subscribe(&api, &grant, start).await?;
        return sse::respond(&request, subscription.from(), lifetime, permit, subscription);
    };
    let grant = api.orchestrator.grant_stream(&context.caller, &stream).await?;
    let subscription = subscribe(&api, &grant, start).await?;
    if matches!(start, Start::After(_)) && subscription.is_exhausted() {
        // 204 tells an EventSource to stop reconnecting.
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
/// Returns at most `limit` events of a stream, oldest first: the newest events, or the first events after the cursor
/// `after`. Fails with `invalid_cursor` if the cursor is malformed or unknown, or if events after it have been trimmed.
#[utoipa::path(
    get, path = "/events/{id}", operation_id = "getHistory", tag = "events",
    params(StreamPath, ReadHistory),
    responses((status = 200, description = "The events.", body = Vec<schemas::Event>))
)]
pub async fn history(
    api: Data<AppState>,
    context: RequestContext,
    path: Path<StreamPath>,
    Query(ReadHistory { limit, after }): Query<ReadHistory>,
) -> Result<HttpResponse, Problem> {
    let grant = api.orchestrator.grant_stream(&context.caller, &path.id).await?;
    let events = match after {
        None => api.relay.newest(&grant, limit).await?,
        Some(Err(error)) => return Err(invalid_cursor(&format!("after {error}"))),
        Some(Ok(after)) => match api.relay.read_after(&grant, after, limit).await? {
            LogRead::Events { events, .. } => events,
            LogRead::Reset(ResetReason::Expired) => {
                return Err(invalid_cursor("events after this cursor are no longer kept"));
            }
            LogRead::Reset(ResetReason::Unreadable) => return Err(Problem::new(ErrorCode::Internal)),
            LogRead::Reset(_) => {
                return Err(invalid_cursor("after is not a cursor that this service gave out"));
            }
        },
    };
    let events: Vec<&Event> = events.iter().map(|event| &**event).collect();
    Ok(HttpResponse::Ok().json(events))
}

fn invalid_cursor(detail: &str) -> Problem {
    Problem::with_detail(ErrorCode::InvalidCursor, detail)
}

/// Messages of a state feed: a reset, if the client needs one, and then states.
struct States {
    reset: Option<Arc<ResetFrame>>,
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
    sse::respond(&request, updates.from(), lifetime, permit, States { reset, updates })
}

/// Returns the reset for a cursor that this service has not issued. An expired cursor needs none, because every message
/// of the feed is a whole state.
async fn reset_for(
    api: &AppState,
    grant: &ReadGrant,
    cursor: ResumeCursor,
) -> Result<Option<Arc<ResetFrame>>, Problem> {
    let reason = match cursor {
        ResumeCursor::Malformed => ResetReason::Unknown,
        ResumeCursor::Parsed(cursor) => match api.relay.read_after(grant, cursor, 1).await? {
            LogRead::Reset(reason) if reason != ResetReason::Expired => reason,
            _ => return Ok(None),
        },
    };
    let snapshot = api.relay.snapshot(grant).await?;
    api.metrics.resets.with_label_values(&[reason.as_str()]).inc();
    Ok(Some(snapshot.reset(reason.as_str())))
}
