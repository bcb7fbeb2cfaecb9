//! The OpenAPI document: what utoipa reads off the handlers, and what the route table knows besides, so that neither has to
//! repeat the other.

mod complete;

use std::sync::LazyLock;

use serde_json::Value;
use utoipa::{IntoParams, OpenApi};

use super::{docs, events, health, pages, participants, schemas, streams, webhooks, websocket};

/// Where the caller has been, for a feed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "read by utoipa alone")]
pub struct Resume {
    /// The cursor of the last event that the caller has had; the `Last-Event-ID` header goes before it.
    #[param(rename = "lastEventId", example = "1768384800000-0")]
    last_event_id: Option<String>,
    /// A LiveKit access token, where headers cannot be set.
    access_token: Option<String>,
}

/// A page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "read by utoipa alone")]
pub struct Page {
    /// How many entries.
    #[param(minimum = 1, maximum = 1_000, default = 100)]
    limit: Option<usize>,
    /// Where the page begins: taken from the `Link` header of the one before.
    cursor: Option<String>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Livestream Orchestrator",
        description = "Creates and stops LiveKit rooms, hands out join tokens, knows who is in every stream, and tells \
                       every change over SSE, WebSocket or gRPC.",
    ),
    paths(
        streams::create,
        streams::list,
        streams::get,
        streams::state,
        streams::patch,
        streams::stop,
        participants::list,
        participants::join,
        participants::leave,
        events::follow,
        events::history,
        events::follow_state,
        websocket::upgrade,
        webhooks::receive,
        health::summary,
        health::live,
        health::ready,
        health::metrics,
        pages::index,
        pages::room,
        pages::asset,
        pages::vendor,
        docs::page,
        docs::file,
        docs::openapi,
    ),
    components(schemas(
        schemas::Stream,
        schemas::StreamSummary,
        schemas::StreamState,
        schemas::Participant,
        schemas::Event,
        schemas::Problem,
    )),
    tags(
        (name = "streams", description = "Creating, reading, changing and stopping streams."),
        (name = "participants", description = "Letting people in and putting them out."),
        (name = "events", description = "Feeds that resume exactly where a client was, and history."),
        (name = "livekit", description = "What LiveKit posts."),
        (name = "operation", description = "Health, metrics, this document."),
        (name = "pages", description = "The bundled client."),
    )
)]
struct Document;

/// The document, complete.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| complete::complete(serde_json::to_value(Document::openapi()).unwrap_or_default()));

/// The document, for tests and tools.
pub fn openapi() -> &'static Value {
    &DOCUMENT
}
