//! The table of routes. Each path has a fixed set of methods; any other is 405 with `Allow`.

use actix_web::{
    Resource, Route,
    guard::Header,
    web::{ServiceConfig, delete, get, head, patch, post, resource, route, to},
};

use super::{events, health, pages, participants, problem::Problem, streams, webhooks, websocket};
use crate::domain::ErrorCode;

/// A path with its routes, and a word to those who try another method.
fn path(pattern: &str, allow: &'static str, routes: Vec<Route>) -> Resource {
    let resource = routes.into_iter().fold(resource(pattern), Resource::route);
    resource.default_service(to(move || async move { Err::<String, _>(Problem::method_not_allowed(allow)) }))
}

/// A path that can only be read. A HEAD is answered as the GET would be, without the body.
macro_rules! readable {
    ($pattern:expr, $handler:expr) => {
        path($pattern, "GET, HEAD", vec![get().to($handler), head().to($handler)])
    };
}

/// Everything.
pub fn configure(config: &mut ServiceConfig, with_metrics: bool) {
    config
        .service(path(
            "/streams",
            "GET, HEAD, POST",
            vec![get().to(streams::list), head().to(streams::list), post().to(streams::create)],
        ))
        .service(path(
            "/streams/{id}",
            "GET, HEAD, PATCH, DELETE",
            vec![
                get().to(streams::get),
                head().to(streams::get),
                patch().to(streams::patch),
                delete().to(streams::stop),
            ],
        ))
        .service(readable!("/streams/{id}/state", streams::state))
        .service(readable!("/streams/{id}/participants", participants::list))
        .service(path("/streams/{id}/join", "POST", vec![post().to(participants::join)]))
        .service(path("/streams/{id}/leave", "POST", vec![post().to(participants::leave)]))
        .service(path("/events", "GET", vec![get().to(events::follow)]))
        .service(readable!("/events/{id}", events::history))
        .service(path("/sse/{id}/updates", "GET", vec![get().to(events::follow_state)]))
        .service(path("/webhooks/livekit", "POST", vec![post().to(webhooks::receive)]))
        .service(path("/webhook", "POST", vec![post().to(webhooks::receive)]))
        .service(readable!("/health", health::summary))
        .service(readable!("/health/live", health::live))
        .service(readable!("/health/ready", health::ready))
        .service(path("/ws", "GET", vec![get().to(websocket::upgrade)]))
        .service(path(
            "/",
            "GET, HEAD",
            vec![
                get().guard(Header("upgrade", "websocket")).to(websocket::upgrade),
                get().to(pages::index),
                head().to(pages::index),
            ],
        ))
        .service(readable!("/index.html", pages::index))
        .service(readable!("/room.html", pages::room))
        .service(readable!("/assets/{file}", pages::asset))
        .service(readable!("/vendor/{file}", pages::vendor));
    if with_metrics {
        config.service(readable!("/metrics", health::metrics));
    }
    config.default_service(unknown());
}

/// `/metrics` alone.
pub fn configure_metrics(config: &mut ServiceConfig) {
    config.service(readable!("/metrics", health::metrics)).default_service(unknown());
}

fn unknown() -> Route {
    route().to(|| async { Err::<String, _>(Problem::new(ErrorCode::RouteNotFound)) })
}
