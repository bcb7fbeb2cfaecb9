//! WebSocket feeds: `GET /ws`, and `GET /` with `Upgrade: websocket`. One connection carries any number of feeds.
//!
//! Messages are JSON. Commands of the client: `subscribe` (`streamId`, `after`?), `unsubscribe` (`streamId`), `ping`.
//! Messages of the server: `connected`, `subscribed`, `unsubscribed`, `pong`, `error` (a problem document; the
//! connection stays open), `reset`, and events.

mod connection;
mod feed;
mod messages;
mod outbox;
mod read_progress;

use actix_web::{
    HttpRequest, HttpResponse, rt,
    web::{Data, Payload},
};

use self::{connection::Connection, messages::MAX_MESSAGE_BYTES};
use super::{
    app_state::AppState,
    extract::AccessToken,
    hijack::ConnectionHandle,
    problem::{FieldError, Problem},
};
use crate::{admission::RequestContext, domain::ErrorCode};

/// Errors of [`upgrade`].
pub const ERRORS: &[ErrorCode] = &[ErrorCode::TooManyFeeds, ErrorCode::ForeignOrigin];

/// `GET /ws`
///
/// Opens a WebSocket with JSON messages and any number of feeds (see docs/REFERENCE.md). `GET /` opens one too, with
/// `Upgrade: websocket`.
#[utoipa::path(
    get, path = "/ws", operation_id = "openWebSocket", tag = "events",
    params(AccessToken),
    responses((status = 101, description = "The WebSocket is open."))
)]
pub async fn upgrade(
    api: Data<AppState>,
    context: RequestContext,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let (permit, lifetime) = api.open_feed(&context)?;
    let connection = request.conn_data::<ConnectionHandle>();
    let connection = connection.ok_or_else(|| Problem::new(ErrorCode::Internal))?.clone();
    let (response, session, messages) = actix_ws::handle(&request, payload).map_err(|_| {
        Problem::invalid(vec![FieldError::new("upgrade", "must be websocket, with the headers of RFC 6455")])
    })?;
    let messages = messages.max_frame_size(MAX_MESSAGE_BYTES).aggregate_continuations();
    let messages = messages.max_continuation_size(MAX_MESSAGE_BYTES);
    let connection = Connection::new(api, context, (session, connection), lifetime, permit);
    rt::spawn(connection.run(messages));
    Ok(response)
}
