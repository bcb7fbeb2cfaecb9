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
    admission::{ReadMeter, RequestContext},
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

/// Messages of an event feed.
struct Events {
    subscription: Subscription<LocalSubscription>,
    meter: ReadMeter,
}

impl sse::MessageSource for Events {
    fn attach(&mut self, writer: Rc<ChunkedWriter>) {
        self.subscription.attach(writer);
    }

    async fn next(&mut self) -> Result<Bytes, Ended> {
        let delivery = self.subscription.next().await;
        self.meter.add(self.subscription.take_read_bytes());
        let bytes = match delivery {
            Delivery::Event(frame) => framing::event(&frame).clone(),
            Delivery::Reset(reset) => framing::reset(&reset).clone(),
            Delivery::Ended(reason) => return Err(reason),
        };
        self.subscription.sent(bytes.len());
        Ok(bytes)
    }

    fn ready(&mut self) -> Option<Result<Bytes, Ended>> {
        // A read of the log would be cancelled at its first wait, and its work lost.
        if self.subscription.is_about_to_read() { None } else { self.next().now_or_never() }
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
        let events = subscribe(&api, &context, &grant, start).await?;
        return sse::respond(&request, events.subscription.from(), lifetime, permit, events);
    };
    let grant = api.orchestrator.grant_stream(&context.caller, &stream).await?;
    let events = subscribe(&api, &context, &grant, start).await?;
    if matches!(start, Start::After(_)) && events.subscription.is_exhausted() {
        // 204 tells an EventSource to stop reconnecting.
        return Ok(HttpResponse::NoContent().finish());
    }
    sse::respond(&request, events.subscription.from(), lifetime, permit, events)
}

/// Subscribes through the local fan-out of this worker thread. What is read meanwhile is charged also if the client has
/// gone.
async fn subscribe(
    api: &AppState,
    context: &RequestContext,
    grant: &ReadGrant,
    start: Start,
) -> Result<Events, StoreError> {
    let opening = api.relay.subscribe_local(grant, start, Transport::Sse, framing::EVENT_ENCODER);
    let mut events = Events { subscription: opening.await?, meter: api.admission.read_meter(context) };
    events.meter.add(events.subscription.take_read_bytes());
    Ok(events)
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
    let mut meter = api.admission.read_meter(&context);
    meter.add(updates.first_bytes() + reset.as_ref().map_or(0, |reset| reset.json().len()));
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
