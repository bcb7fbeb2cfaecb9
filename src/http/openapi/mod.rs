//! The OpenAPI document: what utoipa reads from the handlers, completed from the route table.

mod complete;
mod headers;
mod problems;

use std::sync::LazyLock;

use serde_json::Value;
use utoipa::OpenApi;

use super::{
    backstage, blocks, broadcasts, docs, events, health, history, ingresses, pages, participants,
    problem::ProblemDocument, recordings, streams, webhook_endpoints, webhooks, websocket,
};
use crate::store::KindFilter;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Livestream Orchestrator",
        description = "Creates and stops LiveKit rooms, issues join tokens, tracks the participants of every stream, \
                       and publishes every change over SSE, WebSocket and gRPC.",
    ),
    paths(
        streams::create,
        streams::list,
        streams::get,
        streams::state,
        streams::patch,
        streams::stop,
        backstage::go_live,
        backstage::stop_live,
        participants::list,
        participants::one::get,
        participants::one::patch,
        participants::hand::raise,
        participants::hand::lower,
        participants::one::remove,
        participants::mute::one,
        participants::mute::all,
        blocks::list,
        blocks::block,
        blocks::unblock,
        ingresses::create,
        ingresses::list,
        ingresses::get,
        ingresses::delete,
        recordings::start,
        recordings::list,
        recordings::get,
        recordings::stop,
        broadcasts::start,
        broadcasts::list,
        broadcasts::get,
        broadcasts::patch,
        broadcasts::stop,
        participants::join,
        participants::leave,
        events::follow,
        events::history,
        events::follow_state,
        websocket::upgrade,
        webhook_endpoints::create,
        webhook_endpoints::list,
        webhook_endpoints::get,
        webhook_endpoints::patch,
        webhook_endpoints::delete,
        webhook_endpoints::rotate_secret,
        webhook_endpoints::test,
        webhook_endpoints::replay,
        history::streams,
        history::stream,
        history::visits,
        history::events,
        history::viewers,
        history::erase,
        webhooks::receive,
        health::summary,
        health::live,
        health::ready,
        health::metrics,
        pages::index,
        pages::room,
        pages::history,
        pages::asset,
        pages::vendor,
        docs::page,
        docs::file,
        docs::openapi,
    ),
    // Schemas that no handler names: those of error responses and of parameters.
    components(schemas(ProblemDocument, KindFilter)),
    tags(
        (name = "streams", description = "Create, read, change and stop streams."),
        (name = "participants", description = "Issue join tokens, list and remove participants."),
        (name = "broadcast", description = "Sources from encoders (OBS, ffmpeg, WHIP clients), \
                                             recordings, RTMP and HLS."),
        (name = "events", description = "Feeds that resume after the last received event, and the history."),
        (name = "webhook endpoints", description = "URLs of applications to which events are posted."),
        (name = "history", description = "Streams beyond their lifetime in Redis, with `DATABASE_URL`."),
        (name = "livekit", description = "Webhooks from LiveKit."),
        (name = "operation", description = "Health, metrics and this document."),
        (name = "pages", description = "The bundled web client."),
    )
)]
struct Document;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| complete::complete(serde_json::to_value(Document::openapi()).unwrap_or_default()));

/// Returns the complete OpenAPI document.
pub fn openapi() -> &'static Value {
    &DOCUMENT
}
